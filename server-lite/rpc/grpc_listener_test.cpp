// SPDX-License-Identifier: Apache-2.0
// The cluster RPC as other processes see it: a server on a random port, called with gRPC's generic client.
#include "server-lite/rpc/grpc_listener.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "server-lite/server.h"
#include "server-lite/testing.h"

namespace drover::server {
namespace {

struct Rpc : ::testing::Test {
    void SetUp() override {
        ServerOptions options;
        options.rpc_bind_address = "127.0.0.1";
        options.rpc_port = 0;
        auto started = Server::start(options);
        ASSERT_TRUE(started) << started.error().message();
        server = std::move(*started);
        stub = std::make_unique<grpc::GenericStub>(
            grpc::CreateChannel(server->rpc_address(), grpc::InsecureChannelCredentials()));
    }

    // Calls and waits; `context` may be cancelled meanwhile.
    grpc::Status call(const std::string& method, const std::string& bytes, std::string* out,
                      grpc::ClientContext& context) {
        grpc::Slice slice(bytes);
        grpc::ByteBuffer request(&slice, 1), response;
        std::promise<grpc::Status> promise;
        stub->UnaryCall(&context, method, grpc::StubOptions(), &request, &response,
                        [&](grpc::Status status) { promise.set_value(std::move(status)); });
        auto status = promise.get_future().get();
        if (status.ok() && out) {
            std::vector<grpc::Slice> slices;
            if (!response.Dump(&slices).ok()) return grpc::Status(grpc::StatusCode::INTERNAL, "unreadable");
            for (const auto& part : slices)
                out->append(reinterpret_cast<const char*>(part.begin()), part.size());
        }
        return status;
    }
    grpc::Status call(const std::string& method, const google::protobuf::Message& request,
                      google::protobuf::Message* out) {
        grpc::ClientContext context;
        std::string bytes;
        auto status = call(method, request.SerializeAsString(), &bytes, context);
        if (status.ok() && out) EXPECT_TRUE(out->ParseFromString(bytes));
        return status;
    }

    std::unique_ptr<Server> server;
    std::unique_ptr<grpc::GenericStub> stub;
};

TEST_F(Rpc, AnswersAsThePortDoes) {
    cluster::JobRegisterRequest request;
    *request.mutable_job() = testing::batch_job("over-the-wire", 1);
    cluster::JobRegisterResponse response;
    auto status = call("/drover.cluster.Job/Register", request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_FALSE(response.eval_id().empty());
    cluster::JobGetRequest get;
    get.set_job_id("over-the-wire");
    cluster::JobGetResponse got;
    ASSERT_TRUE(call("/drover.cluster.Job/Get", get, &got).ok());
    EXPECT_EQ(got.job().id(), "over-the-wire");
}

TEST_F(Rpc, PassesErrorsOn) {
    cluster::JobGetRequest get;
    get.set_job_id("missing");
    auto status = call("/drover.cluster.Job/Get", get, nullptr);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
    EXPECT_EQ(status.error_message(), "job not found");
}

TEST_F(Rpc, RefusesWhatIsNoCallOfOurs) {
    grpc::ClientContext a, b, c;
    EXPECT_EQ(call("/drover.cluster.Job/Explode", "", nullptr, a).error_code(),
              grpc::StatusCode::UNIMPLEMENTED);
    EXPECT_EQ(call("/google.protobuf.Any/Get", "", nullptr, b).error_code(), grpc::StatusCode::UNIMPLEMENTED);
    EXPECT_EQ(call("/drover.cluster.Job/Get", "\x0a\xff\xff\xff", nullptr, c).error_code(),
              grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(Rpc, EndsABlockingQueryWhenTheCallerIsGone) {
    cluster::ListRequest list;
    list.mutable_query()->set_min_index(1'000'000);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
    EXPECT_EQ(call("/drover.cluster.Job/List", list.SerializeAsString(), nullptr, context).error_code(),
              grpc::StatusCode::DEADLINE_EXCEEDED);
    // The server has let go of it: nobody watches the state any more.
    const int64_t end = mono_now() + 10 * kSecond;
    std::string watchers;
    do {
        watchers =
            testing::ask<cluster::StatsResponse>(server->port(), "Cluster.Stats", cluster::StatusRequest())
                .sections()
                .at("state")
                .values()
                .at("watchers");
    } while (watchers != "0" && mono_now() < end);
    EXPECT_EQ(watchers, "0");
}

TEST_F(Rpc, StopsWhileCallsWait) {
    cluster::ListRequest list;
    list.mutable_query()->set_min_index(1'000'000);
    grpc::ClientContext context;
    std::promise<grpc::Status> ended;
    std::thread caller([&] {
        ended.set_value(call("/drover.cluster.Job/List", list.SerializeAsString(), nullptr, context));
    });
    const int64_t end = mono_now() + 10 * kSecond;
    while (mono_now() < end &&
           testing::ask<cluster::StatsResponse>(server->port(), "Cluster.Stats", cluster::StatusRequest())
                   .sections()
                   .at("state")
                   .values()
                   .at("watchers") == "0") {
    }
    server->stop();
    EXPECT_FALSE(ended.get_future().get().ok());
    caller.join();
}

TEST_F(Rpc, NamesAnAddressThatIsInUse) {
    ServerOptions options;
    options.rpc_bind_address = "127.0.0.1";
    options.rpc_port =
        static_cast<uint16_t>(std::stoi(server->rpc_address().substr(server->rpc_address().rfind(':') + 1)));
    auto second = Server::start(options);
    ASSERT_FALSE(second);
    EXPECT_NE(second.error().message().find(server->rpc_address()), std::string::npos)
        << second.error().message();
}

}  // namespace
}  // namespace drover::server
