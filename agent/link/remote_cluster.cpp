// SPDX-License-Identifier: Apache-2.0
#include "agent/link/remote_cluster.h"

#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/byte_buffer.h>

#include <set>

#include "agent/grpc_threads.h"
#include "base/clock.h"
#include "base/host_port.h"
#include "base/strings.h"

namespace drover::agent {
namespace {

constexpr int64_t kCallNs = 30 * kSecond;
constexpr int64_t kBlockingDefaultNs = 5 * kMinute;
constexpr int64_t kBlockingSlackNs = 20 * kSecond;  // servers add up to a sixteenth to a wait
constexpr int kMessageBytesMax = 256 << 20;

// A blocking query may take as long as it says, everything else kCallNs.
int64_t deadline_of(const google::protobuf::Message& request) {
    const auto* field = request.GetDescriptor()->FindFieldByName("query");
    if (field == nullptr || field->message_type() != cluster::QueryOptions::descriptor()) return kCallNs;
    const auto& query =
        static_cast<const cluster::QueryOptions&>(request.GetReflection()->GetMessage(request, field));
    if (query.min_index() == 0) return kCallNs;
    const int64_t wait = query.max_wait_ns() > 0 ? query.max_wait_ns() : kBlockingDefaultNs;
    return wait + wait / 16 + kBlockingSlackNs;
}

grpc::ByteBuffer to_buffer(const google::protobuf::Message& message) {
    const grpc::Slice slice(message.SerializeAsString());
    return grpc::ByteBuffer(&slice, 1);
}

Result<std::unique_ptr<google::protobuf::Message>> from_buffer(const grpc::ByteBuffer& buffer,
                                                               const google::protobuf::Descriptor& type) {
    std::vector<grpc::Slice> slices;
    if (auto status = buffer.Dump(&slices); !status.ok())
        return make_error(Code::Internal, "{}", status.error_message());
    std::string bytes;
    bytes.reserve(buffer.Length());
    for (const auto& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    std::unique_ptr<google::protobuf::Message> message(
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(&type)->New());
    if (!message->ParseFromString(bytes)) {
        return make_error(Code::Internal, "a server's answer is no {} ({} bytes)", type.full_name(),
                          bytes.size());
    }
    return message;
}

Status check_address(const std::string& address) {
    DROVER_TRY(const auto parsed, parse_host_port(address).context("server address"));
    if (parsed.port == 0)
        return make_error(Code::InvalidArgument, "server address \"{}\": expected host:port", address);
    return {};
}

}  // namespace

struct RemoteCluster::Impl : std::enable_shared_from_this<RemoteCluster::Impl> {
    struct Server {
        std::string address;
        std::unique_ptr<grpc::GenericStub> stub;
    };
    // One call of the port: tried at each server in turn.
    struct Call {
        const google::protobuf::MethodDescriptor* method = nullptr;
        std::string path;
        grpc::ByteBuffer request;
        grpc::ByteBuffer response;
        std::unique_ptr<grpc::ClientContext> context;  // of the present try
        int64_t deadline_ns = 0;
        Done done;
        std::vector<std::string> tried;
        std::shared_ptr<ports::CancelToken> cancel;
        bool cancelled = false;
    };

    std::shared_ptr<Server> connect(const std::string& address) {
        grpc::ChannelArguments arguments;
        arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
        arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
        arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
        arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
        arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30000);
        arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000);
        auto server = std::make_shared<Server>();
        server->address = address;
        server->stub = std::make_unique<grpc::GenericStub>(
            grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
        return server;
    }

    // The next server this call has not tried, beginning with the one that answered last.
    std::shared_ptr<Server> pick(const Call& call) {
        for (size_t i = 0; i < list.size(); ++i) {
            const size_t at = (current + i) % list.size();
            const auto& address = list[at];
            if (std::find(call.tried.begin(), call.tried.end(), address) != call.tried.end()) continue;
            auto& server = servers[address];
            if (!server) server = connect(address);
            return server;
        }
        return nullptr;
    }

    void attempt(const std::shared_ptr<Call>& call, const std::string& last_error) {
        std::shared_ptr<Server> server;
        bool stopping = false;
        {
            std::lock_guard lock(mutex);
            stopping = closed || call->cancelled;
            if (!stopping) {
                server = pick(*call);
                if (server) {
                    call->tried.push_back(server->address);
                    call->context = std::make_unique<grpc::ClientContext>();
                    call->context->set_deadline(std::chrono::system_clock::now() +
                                                std::chrono::nanoseconds(call->deadline_ns));
                    open.insert(call);
                }
            }
        }
        if (stopping) return call->done(make_error(Code::Cancelled, "call was cancelled"));
        if (!server) {
            return call->done(make_error(Code::Unavailable, "no server reachable (tried {}): {}",
                                         join(call->tried, ", "), last_error));
        }
        call->response.Clear();
        server->stub->UnaryCall(call->context.get(), call->path, grpc::StubOptions(), &call->request,
                                &call->response,
                                [self = shared_from_this(), call, server](const grpc::Status& status) {
                                    self->finished(call, *server, status);
                                });
    }

    void finished(const std::shared_ptr<Call>& call, const Server& server, const grpc::Status& status) {
        bool stopping = false;
        {
            std::lock_guard lock(mutex);
            open.erase(call);
            stopping = closed || call->cancelled;
            if (status.error_code() != grpc::StatusCode::UNAVAILABLE) {
                const auto found = std::find(list.begin(), list.end(), server.address);
                if (found != list.end()) current = static_cast<size_t>(found - list.begin());
            }
        }
        if (status.ok()) return call->done(from_buffer(call->response, *call->method->output_type()));
        if (stopping) return call->done(make_error(Code::Cancelled, "call was cancelled"));
        if (status.error_code() == grpc::StatusCode::UNAVAILABLE)
            return attempt(call, status.error_message());
        call->done(Error(static_cast<Code>(status.error_code()), status.error_message()));
    }

    void cancel(const std::shared_ptr<Call>& call) {
        std::lock_guard lock(mutex);
        call->cancelled = true;
        if (open.contains(call)) call->context->TryCancel();
    }

    void close() {
        std::lock_guard lock(mutex);
        closed = true;
        for (const auto& call : open) call->context->TryCancel();
    }

    mutable std::mutex mutex;
    std::vector<std::string> list;
    size_t current = 0;
    std::map<std::string, std::shared_ptr<Server>> servers;
    std::set<std::shared_ptr<Call>> open;
    bool closed = false;
};

Result<std::unique_ptr<RemoteCluster>> RemoteCluster::create(std::vector<std::string> servers) {
    if (servers.empty()) return make_error(Code::InvalidArgument, "no server address given");
    for (const auto& address : servers) DROVER_CHECK(check_address(address));
    keep_grpc_threads();
    auto impl = std::make_shared<Impl>();
    impl->list = std::move(servers);
    return std::unique_ptr<RemoteCluster>(new RemoteCluster(std::move(impl)));
}

RemoteCluster::RemoteCluster(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
RemoteCluster::~RemoteCluster() {
    impl_->close();
}

void RemoteCluster::call(const google::protobuf::MethodDescriptor& method,
                         std::shared_ptr<const Message> request, Done done,
                         std::shared_ptr<ports::CancelToken> cancel) {
    auto call = std::make_shared<Impl::Call>();
    call->method = &method;
    call->path = fmt::format("/{}/{}", method.service()->full_name(), method.name());
    call->request = to_buffer(*request);
    call->deadline_ns = deadline_of(*request);
    call->done = std::move(done);
    call->cancel = cancel;
    if (cancel) {
        cancel->on_cancel([weak_impl = std::weak_ptr(impl_), weak_call = std::weak_ptr(call)] {
            const auto impl = weak_impl.lock();
            const auto open = weak_call.lock();
            if (impl && open) impl->cancel(open);
        });
    }
    impl_->attempt(call, "");
}

void RemoteCluster::set_servers(std::vector<std::string> servers) {
    std::erase_if(servers, [](const std::string& address) { return !check_address(address); });
    if (servers.empty()) return;
    std::lock_guard lock(impl_->mutex);
    const std::string now = impl_->list[impl_->current];
    impl_->list = std::move(servers);
    const auto found = std::find(impl_->list.begin(), impl_->list.end(), now);
    impl_->current = found == impl_->list.end() ? 0 : static_cast<size_t>(found - impl_->list.begin());
    std::erase_if(impl_->servers, [this](const auto& entry) {
        return std::find(impl_->list.begin(), impl_->list.end(), entry.first) == impl_->list.end();
    });
}

std::vector<std::string> RemoteCluster::servers() const {
    std::lock_guard lock(impl_->mutex);
    return impl_->list;
}

}  // namespace drover::agent
