// SPDX-License-Identifier: Apache-2.0
// The generated stubs of Nomad's plugin protocol behind PluginRpc: reactors here only convert and hand on.
// Beside exec_stream.cpp the one file of the agent that sees gRPC's client classes of the plugin protocol.
#include "agent/host/plugin_rpc.h"

#include <grpcpp/create_channel_posix.h>
#include <sys/socket.h>

#include "agent/grpc_threads.h"
#include "agent/host/dial.h"
#include "agent/host/plugin_rpc_impl.h"

namespace drover::agent {

namespace {

// How most calls end: the answer as the SDK's value, or just that there was one.
template <class Response, class T>
auto converted(Done<T> done) {
    return [done = std::move(done)](Result<Response> r) {
        if (!r) return done(std::move(r).error());
        done(wire::from_proto(*r));
    };
}
template <class Response>
auto finished(Done<void> done) {
    return [done = std::move(done)](Result<Response> r) { r ? done(Status()) : done(std::move(r).error()); };
}

// Init and Driver.Shutdown are newer than most plugins.
Done<void> tolerate_missing(Done<void> done) {
    return [done = std::move(done)](Status status) {
        if (!status && status.error().code() == Code::Unimplemented) return done(Status());
        done(std::move(status));
    };
}

}  // namespace

Result<std::shared_ptr<PluginRpc>> PluginRpc::connect(const Handshake& address, const HostLimits& limits,
                                                      boost::asio::io_context& io) {
    DROVER_TRY(UniqueFd fd, dial_plugin(address));
    pid_t peer = 0;
    if (address.network == Handshake::Network::Unix) {
        ucred credentials{};
        socklen_t size = sizeof credentials;
        if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
            return Error::from_errno("SO_PEERCRED");
        peer = credentials.pid;
        if (credentials.uid != ::geteuid()) {
            return make_error(Code::PermissionDenied, "{} is served by user {}, expected {}", address.address,
                              credentials.uid, ::geteuid());
        }
    }
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetMaxSendMessageSize(-1);
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    keep_grpc_threads();
    auto channel = grpc::CreateCustomInsecureChannelFromFd("plugin", fd.release(), arguments);
    return std::shared_ptr<PluginRpc>(
        new PluginRpc(std::make_shared<Impl>(std::move(channel), peer, limits, io)));
}

PluginRpc::~PluginRpc() {
    close();
}

pid_t PluginRpc::peer_pid() const {
    return impl_->peer_pid;
}

void PluginRpc::on_trouble(std::function<void(std::string reason)> callback) {
    std::lock_guard lock(impl_->mutex);
    impl_->trouble = std::move(callback);
}

void PluginRpc::close() {
    std::vector<std::function<void()>> open;
    {
        std::lock_guard lock(impl_->mutex);
        impl_->closed = true;
        impl_->trouble = nullptr;
        for (auto& [id, cancel] : impl_->calls) open.push_back(cancel);
    }
    for (auto& cancel : open) cancel();
}

void PluginRpc::wait_idle() {
    std::unique_lock lock(impl_->mutex);
    impl_->idle.wait(lock, [&] { return impl_->calls.empty(); });
}

bool PluginRpc::idle() const {
    std::lock_guard lock(impl_->mutex);
    return impl_->calls.empty();
}

// ---- every plugin ----

void PluginRpc::plugin_info(int64_t deadline_ns, Done<sdk::PluginInfo> done) {
    impl_->unary<basepb::PluginInfoResponse>(
        "PluginInfo", deadline_ns, basepb::PluginInfoRequest(),
        [s = impl_->base.get()](auto... a) { s->async()->PluginInfo(a...); },
        converted<basepb::PluginInfoResponse>(done));
}

void PluginRpc::config_schema(Done<std::optional<ConfigSchema>> done) {
    impl_->unary<basepb::ConfigSchemaResponse>(
        "ConfigSchema", impl_->limits.call_ns, basepb::ConfigSchemaRequest(),
        [s = impl_->base.get()](auto... a) { s->async()->ConfigSchema(a...); },
        [done](Result<basepb::ConfigSchemaResponse> r) {
            if (!r) return done(std::move(r).error());
            if (!r->has_spec() || r->spec().block_case() == wire::hclspecpb::Spec::BLOCK_NOT_SET) {
                return done(std::optional<ConfigSchema>());
            }
            auto schema = ConfigSchema::compile(r->spec());
            if (!schema) return done(std::move(schema).error().context("the schema of the plugin's config"));
            done(std::optional<ConfigSchema>(std::move(*schema)));
        });
}

void PluginRpc::set_config(std::string msgpack, const sdk::AgentConfig& agent, std::string api_version,
                           Done<void> done) {
    basepb::SetConfigRequest request;
    request.set_msgpack_config(std::move(msgpack));
    request.set_plugin_api_version(std::move(api_version));
    wire::to_proto(agent, request.mutable_nomad_config());
    impl_->unary<basepb::SetConfigResponse>(
        "SetConfig", impl_->limits.call_ns, std::move(request),
        [s = impl_->base.get()](auto... a) { s->async()->SetConfig(a...); },
        finished<basepb::SetConfigResponse>(done));
}

void PluginRpc::shutdown(Done<void> done) {
    impl_->unary<plugin::Empty>(
        "Shutdown", impl_->limits.shutdown_ns, plugin::Empty(),
        [s = impl_->controller.get()](auto... a) { s->async()->Shutdown(a...); },
        finished<plugin::Empty>(done));
}

std::unique_ptr<OpenCall> PluginRpc::stdio(std::function<void(const std::string&)> text, Done<void> ended) {
    return impl_->stream<plugin::StdioData>(
        "StreamStdio", google::protobuf::Empty(),
        [s = impl_->stdio.get()](auto... a) { s->async()->StreamStdio(a...); },
        [text](const plugin::StdioData& m) { text(m.data()); }, std::move(ended));
}

// ---- drivers ----

void PluginRpc::driver_init(Done<void> done) {
    impl_->unary<driverpb::InitResponse>(
        "Init", impl_->limits.call_ns, driverpb::InitRequest(),
        [s = impl_->driver.get()](auto... a) { s->async()->Init(a...); },
        finished<driverpb::InitResponse>(tolerate_missing(std::move(done))));
}

void PluginRpc::driver_shutdown(Done<void> done) {
    impl_->unary<driverpb::ShutdownResponse>(
        "Driver.Shutdown", impl_->limits.shutdown_ns, driverpb::ShutdownRequest(),
        [s = impl_->driver.get()](auto... a) { s->async()->Shutdown(a...); },
        finished<driverpb::ShutdownResponse>(tolerate_missing(std::move(done))));
}

void PluginRpc::task_config_schema(Done<ConfigSchema> done) {
    impl_->unary<driverpb::TaskConfigSchemaResponse>(
        "TaskConfigSchema", impl_->limits.call_ns, driverpb::TaskConfigSchemaRequest(),
        [s = impl_->driver.get()](auto... a) { s->async()->TaskConfigSchema(a...); },
        [done](Result<driverpb::TaskConfigSchemaResponse> r) {
            if (!r) return done(std::move(r).error());
            done(ConfigSchema::compile(r->spec()).context("the schema of the driver's task config"));
        });
}

void PluginRpc::capabilities(Done<sdk::Capabilities> done) {
    impl_->unary<driverpb::CapabilitiesResponse>(
        "Capabilities", impl_->limits.call_ns, driverpb::CapabilitiesRequest(),
        [s = impl_->driver.get()](auto... a) { s->async()->Capabilities(a...); },
        [done](Result<driverpb::CapabilitiesResponse> r) {
            if (!r) return done(std::move(r).error());
            done(wire::from_proto(r->capabilities()));
        });
}

std::unique_ptr<OpenCall> PluginRpc::fingerprint(std::function<void(sdk::Fingerprint)> message,
                                                 Done<void> ended) {
    return impl_->stream<driverpb::FingerprintResponse>(
        "Fingerprint", driverpb::FingerprintRequest(),
        [s = impl_->driver.get()](auto... a) { s->async()->Fingerprint(a...); },
        [message](const driverpb::FingerprintResponse& m) { message(wire::from_proto(m)); },
        std::move(ended));
}

std::unique_ptr<OpenCall> PluginRpc::task_events(std::function<void(sdk::TaskEvent)> message,
                                                 Done<void> ended) {
    return impl_->stream<driverpb::DriverTaskEvent>(
        "TaskEvents", driverpb::TaskEventsRequest(),
        [s = impl_->driver.get()](auto... a) { s->async()->TaskEvents(a...); },
        [message](const driverpb::DriverTaskEvent& m) { message(wire::from_proto(m)); }, std::move(ended));
}

void PluginRpc::start_task(const sdk::TaskConfig& config, Done<sdk::StartedTask> done) {
    driverpb::StartTaskRequest request;
    wire::to_proto(config, request.mutable_task());
    impl_->unary<driverpb::StartTaskResponse>(
        "StartTask", impl_->limits.start_task_ns, std::move(request),
        [s = impl_->driver.get()](auto... a) { s->async()->StartTask(a...); },
        converted<driverpb::StartTaskResponse>(done));
}

void PluginRpc::recover_task(const sdk::TaskHandle& handle, Done<void> done) {
    driverpb::RecoverTaskRequest request;
    request.set_task_id(handle.config.id);
    wire::to_proto(handle, request.mutable_handle());
    impl_->unary<driverpb::RecoverTaskResponse>(
        "RecoverTask", impl_->limits.call_ns, std::move(request),
        [s = impl_->driver.get()](auto... a) { s->async()->RecoverTask(a...); },
        finished<driverpb::RecoverTaskResponse>(done));
}

std::unique_ptr<OpenCall> PluginRpc::wait_task(const std::string& task_id, Done<sdk::ExitResult> done) {
    driverpb::WaitTaskRequest request;
    request.set_task_id(task_id);
    auto gate = std::make_shared<std::atomic<bool>>(false);
    auto context = impl_->unary<driverpb::WaitTaskResponse>(
        "WaitTask", 0, std::move(request),
        [s = impl_->driver.get()](auto... a) { s->async()->WaitTask(a...); },
        [done, gate](Result<driverpb::WaitTaskResponse> r) {
            if (gate->load()) return;
            if (!r) return done(std::move(r).error());
            done(wire::from_proto(*r));
        });
    return std::make_unique<OpenContext>(std::move(context), std::move(gate));
}

void PluginRpc::stop_task(const std::string& task_id, int64_t timeout_ns, const std::string& signal,
                          Done<void> done) {
    driverpb::StopTaskRequest request;
    request.set_task_id(task_id);
    *request.mutable_timeout() = wire::duration_to_proto(timeout_ns);
    request.set_signal(signal);
    impl_->unary<driverpb::StopTaskResponse>(
        "StopTask", timeout_ns + impl_->limits.stop_slack_ns, std::move(request),
        [s = impl_->driver.get()](auto... a) { s->async()->StopTask(a...); },
        finished<driverpb::StopTaskResponse>(done));
}

void PluginRpc::destroy_task(const std::string& task_id, bool force, Done<void> done) {
    driverpb::DestroyTaskRequest request;
    request.set_task_id(task_id);
    request.set_force(force);
    impl_->unary<driverpb::DestroyTaskResponse>(
        "DestroyTask", impl_->limits.call_ns, std::move(request),
        [s = impl_->driver.get()](auto... a) { s->async()->DestroyTask(a...); },
        finished<driverpb::DestroyTaskResponse>(done));
}

void PluginRpc::signal_task(const std::string& task_id, const std::string& signal, Done<void> done) {
    driverpb::SignalTaskRequest request;
    request.set_task_id(task_id);
    request.set_signal(signal);
    impl_->unary<driverpb::SignalTaskResponse>(
        "SignalTask", impl_->limits.call_ns, std::move(request),
        [s = impl_->driver.get()](auto... a) { s->async()->SignalTask(a...); },
        finished<driverpb::SignalTaskResponse>(done));
}

void PluginRpc::inspect_task(const std::string& task_id, Done<sdk::TaskStatus> done) {
    driverpb::InspectTaskRequest request;
    request.set_task_id(task_id);
    impl_->unary<driverpb::InspectTaskResponse>(
        "InspectTask", impl_->limits.call_ns, std::move(request),
        [s = impl_->driver.get()](auto... a) { s->async()->InspectTask(a...); },
        converted<driverpb::InspectTaskResponse>(done));
}

std::unique_ptr<OpenCall> PluginRpc::task_stats(const std::string& task_id, int64_t interval_ns,
                                                std::function<void(sdk::TaskStats)> message,
                                                Done<void> ended) {
    driverpb::TaskStatsRequest request;
    request.set_task_id(task_id);
    *request.mutable_collection_interval() = wire::duration_to_proto(interval_ns);
    return impl_->stream<driverpb::TaskStatsResponse>(
        "TaskStats", std::move(request),
        [s = impl_->driver.get()](auto... a) { s->async()->TaskStats(a...); },
        [message](const driverpb::TaskStatsResponse& m) {
            if (m.has_stats()) message(wire::from_proto(m.stats()));
        },
        std::move(ended));
}

void PluginRpc::exec_task(const std::string& task_id, const std::vector<std::string>& command,
                          int64_t timeout_ns, Done<sdk::ExecOutput> done) {
    driverpb::ExecTaskRequest request;
    request.set_task_id(task_id);
    for (const auto& part : command) request.add_command(part);
    *request.mutable_timeout() = wire::duration_to_proto(timeout_ns);
    impl_->unary<driverpb::ExecTaskResponse>(
        "ExecTask", impl_->limits.exec_ns, std::move(request),
        [s = impl_->driver.get()](auto... a) { s->async()->ExecTask(a...); },
        converted<driverpb::ExecTaskResponse>(done));
}

}  // namespace drover::agent
