// SPDX-License-Identifier: Apache-2.0
// Goal: the transport against a real gRPC server that knows only bytes: answers, errors, failover, cancel.
#include "agent/link/remote_cluster.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <thread>

namespace drover::agent {
namespace {

// Answers Job.Get with the id asked for; "missing" is NotFound, "hang" waits until cancelled.
class FakeServer : public grpc::CallbackGenericService {
 public:
    FakeServer() {
        grpc::ServerBuilder builder;
        builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
        builder.RegisterCallbackGenericService(this);
        server_ = builder.BuildAndStart();
    }
    ~FakeServer() override { server_->Shutdown(std::chrono::system_clock::now()); }

    std::string address() const { return fmt::format("127.0.0.1:{}", port_); }

    grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
        class Reactor : public grpc::ServerGenericBidiReactor {
         public:
            Reactor(std::string method) : method_(std::move(method)) { StartRead(&request_); }
            void OnReadDone(bool ok) override {
                std::vector<grpc::Slice> slices;
                std::string bytes;
                if (!ok || !request_.Dump(&slices).ok()) return finish(grpc::Status::CANCELLED);
                for (const auto& s : slices) bytes.append(reinterpret_cast<const char*>(s.begin()), s.size());
                cluster::JobGetRequest request;
                if (method_ != "/drover.cluster.Job/Get" || !request.ParseFromString(bytes)) {
                    return finish(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, method_));
                }
                if (request.job_id() == "hang") return;
                if (request.job_id() == "missing")
                    return finish(grpc::Status(grpc::StatusCode::NOT_FOUND, "job not found"));
                cluster::JobGetResponse response;
                response.mutable_job()->set_id(request.job_id());
                const grpc::Slice slice(response.SerializeAsString());
                response_ = grpc::ByteBuffer(&slice, 1);
                if (!finished_.exchange(true)) StartWriteAndFinish(&response_, {}, grpc::Status::OK);
            }
            void OnCancel() override { finish(grpc::Status::CANCELLED); }
            void OnDone() override { delete this; }

         private:
            // A call ends once, by its answer or by its cancelling: whichever comes first.
            void finish(const grpc::Status& status) {
                if (!finished_.exchange(true)) Finish(status);
            }

            std::string method_;
            std::atomic<bool> finished_ = false;
            grpc::ByteBuffer request_, response_;
        };
        return new Reactor(context->method());
    }

 private:
    int port_ = 0;
    std::unique_ptr<grpc::Server> server_;
};

Result<cluster::JobGetResponse> get(ports::ClusterPort& port, const std::string& id) {
    cluster::JobGetRequest request;
    request.set_job_id(id);
    return ports::call_sync<cluster::JobGetResponse>(port, "Job.Get", request);
}

TEST(RemoteCluster, PassesAnswersAndErrorsThrough) {
    FakeServer server;
    auto cluster = *RemoteCluster::create({server.address()});
    const auto answer = get(*cluster, "web");
    ASSERT_TRUE(answer) << answer.error().message();
    EXPECT_EQ(answer->job().id(), "web");
    const auto missing = get(*cluster, "missing");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code(), Code::NotFound);
    EXPECT_EQ(missing.error().message(), "job not found");
}

TEST(RemoteCluster, GoesToTheNextServerAndStaysThere) {
    FakeServer server;
    auto cluster = *RemoteCluster::create({"127.0.0.1:1", server.address()});
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(get(*cluster, "web"));
}

TEST(RemoteCluster, SaysWhichServersCannotBeReached) {
    auto cluster = *RemoteCluster::create({"127.0.0.1:1", "127.0.0.1:2"});
    const auto answer = get(*cluster, "web");
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code(), Code::Unavailable);
    EXPECT_TRUE(answer.error().message().starts_with("no server reachable (tried 127.0.0.1:1, 127.0.0.1:2)"))
        << answer.error().message();
}

TEST(RemoteCluster, ReconnectsToAServerThatCameBack) {
    auto server = std::make_unique<FakeServer>();
    auto cluster = *RemoteCluster::create({server->address()});
    EXPECT_TRUE(get(*cluster, "web"));
    server.reset();
    EXPECT_FALSE(get(*cluster, "web"));
    server = std::make_unique<FakeServer>();
    cluster->set_servers({server->address()});
    EXPECT_TRUE(get(*cluster, "web"));
}

TEST(RemoteCluster, CancelEndsACallAndSoDoesTheEnd) {
    FakeServer server;
    auto cluster = *RemoteCluster::create({server.address()});
    cluster::JobGetRequest request;
    request.set_job_id("hang");
    for (const bool by_token : {true, false}) {
        auto cancel = std::make_shared<ports::CancelToken>();
        std::promise<Code> promise;
        ports::call<cluster::JobGetResponse>(
            *cluster, "Job.Get", request, [&](auto result) { promise.set_value(result.error().code()); },
            cancel);
        if (by_token)
            cancel->cancel();
        else
            cluster.reset();
        auto future = promise.get_future();
        ASSERT_EQ(future.wait_for(std::chrono::seconds(10)), std::future_status::ready);
        EXPECT_EQ(future.get(), Code::Cancelled);
    }
}

TEST(RemoteCluster, RefusesAddressesThatAreNone) {
    for (const char* address : {"", "host", ":4647", "host:", "host:x", "host:0", "host:70000"}) {
        EXPECT_FALSE(RemoteCluster::create({address})) << address;
    }
    EXPECT_FALSE(RemoteCluster::create({}));
}

}  // namespace
}  // namespace drover::agent
