// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/testing/plugin_process.h"

#include <fcntl.h>
#include <grpcpp/create_channel.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>

#include "base/clock.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/strings.h"
#include "base/sys/proc.h"
#include "plugin-sdk/server/handshake.h"
#include "plugin-sdk/wire/driver_wire.h"
#include "proto/plugin/base.grpc.pb.h"
#include "proto/plugin/driver.grpc.pb.h"
#include "proto/plugin/goplugin.grpc.pb.h"
#include "proto/plugin/health.grpc.pb.h"

namespace drover::sdk::testing {

namespace basepb = wire::basepb;
namespace driverpb = wire::driverpb;

namespace {

constexpr size_t kPrintedMax = 64 * 1024;

struct Spawned {
    pid_t pid = 0;
    UniqueFd out;
};

Result<Spawned> spawn(const LaunchOptions& options) {
    StringMap env = {{"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"}, {"PLUGIN_PROTOCOL_VERSIONS", "2"}};
    if (options.cookie) env[kCookieName] = kCookieValue;
    for (const auto& [key, value] : options.env) env[key] = value;
    std::vector<std::string> lines;
    for (const auto& [key, value] : env) lines.push_back(key + "=" + value);
    std::vector<char*> envp;
    for (std::string& line : lines) envp.push_back(line.data());
    envp.push_back(nullptr);
    std::string binary = options.binary;
    char* argv[] = {binary.data(), nullptr};

    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno("pipe");
    UniqueFd reader(ends[0]), writer(ends[1]);
    posix_spawn_file_actions_t files;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&files, writer.get(), 1);
    const std::string errors = options.stderr_path.empty() ? "/dev/null" : options.stderr_path;
    ::posix_spawn_file_actions_addopen(&files, 2, errors.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    Spawned out;
    int failed = ::posix_spawn(&out.pid, binary.c_str(), &files, nullptr, argv, envp.data());
    ::posix_spawn_file_actions_destroy(&files);
    if (failed != 0) return Error::from_errno(binary, failed);
    out.out = std::move(reader);
    return out;
}

// Up to a line's end, or the end of the pipe.
Result<std::string> read_line(int fd, int64_t timeout_ns) {
    std::string text;
    for (int64_t deadline = mono_now() + timeout_ns;;) {
        int64_t left = (deadline - mono_now()) / kMillisecond;
        pollfd wait{fd, POLLIN, 0};
        const int ready = left > 0 ? ::poll(&wait, 1, static_cast<int>(left)) : 0;
        if (ready < 0 && errno == EINTR) continue;
        if (ready == 0)
            return make_error(Code::DeadlineExceeded, "no line from the plugin after {}, only \"{}\"",
                              format_duration(timeout_ns), text);
        char byte;
        ssize_t n = ::read(fd, &byte, 1);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return text;
        text += byte;
        if (byte == '\n') return text;
        if (text.size() > kPrintedMax)
            return make_error(Code::InvalidArgument, "found {} bytes without a line's end, beginning with \"{}\"",
                              text.size(), text.substr(0, 80));
    }
}

int reap(pid_t pid) {
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// By the process, not by the end of its output: what it started may hold that open.
Result<int> wait_for_end(pid_t pid, int64_t timeout_ns) {
    UniqueFd process(sys::pidfd_open(pid));
    if (process && !sys::pidfd_exited(process.get(), static_cast<int>(timeout_ns / kMillisecond)))
        return make_error(Code::DeadlineExceeded, "the process still runs after {}", format_duration(timeout_ns));
    return reap(pid);
}

void set_deadline(grpc::ClientContext& context, int64_t timeout_ns) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::microseconds(timeout_ns / 1000));
}

Status to_result(const grpc::Status& status) {
    if (status.ok()) return {};
    return wire::from_status(status);
}

}  // namespace

struct PluginProcess::Impl {
    pid_t pid = 0;
    bool running = false;
    UniqueFd out;
    std::string line;
    int64_t launch_ns = 0;
    int64_t call_ns = 30 * kSecond;
    std::string printed;
    std::string socket;
    std::string socket_dir;  // PLUGIN_UNIX_SOCKET_DIR
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<basepb::BasePlugin::Stub> base;
    std::unique_ptr<driverpb::Driver::Stub> driver;

    template <class Stub, class Request, class Response>
    Status call(Stub* stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                const Request& request, Response* response, int64_t timeout_ns = 0) {
        grpc::ClientContext context;
        set_deadline(context, timeout_ns > 0 ? timeout_ns : call_ns);
        return to_result((stub->*method)(&context, request, response));
    }
};

PluginProcess::PluginProcess(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

PluginProcess::~PluginProcess() {
    if (impl_->running) kill();
    impl_->channel.reset();
    if (size_t slash = impl_->socket.rfind('/'); slash != std::string::npos && slash > 0) {
        ::unlink(impl_->socket.c_str());
        // Plugins of ours make a directory for it; others put it straight into the one they were given.
        const std::string dir = impl_->socket.substr(0, slash);
        if (dir != impl_->socket_dir) ::rmdir(dir.c_str());
    }
}

Result<std::unique_ptr<PluginProcess>> PluginProcess::launch(const LaunchOptions& options) {
    DROVER_TRY(Spawned spawned, spawn(options));
    auto impl = std::make_unique<Impl>();
    impl->pid = spawned.pid;
    impl->running = true;
    impl->out = std::move(spawned.out);
    impl->call_ns = options.call_timeout_ns;
    if (auto dir = options.env.find("PLUGIN_UNIX_SOCKET_DIR"); dir != options.env.end()) impl->socket_dir = dir->second;
    const int64_t begun = mono_now();
    std::unique_ptr<PluginProcess> plugin(new PluginProcess(std::move(impl)));
    Impl& self = *plugin->impl_;
    DROVER_TRY(self.line, read_line(self.out.get(), options.call_timeout_ns));
    self.launch_ns = mono_now() - begun;
    auto parts = split(trim(self.line), '|');
    const bool tcp = parts.size() >= 5 && parts[2] == "tcp";
    if (parts.size() < 5 || parts[0] != "1" || parts[1] != "2" || !(tcp || parts[2] == "unix") || parts[4] != "grpc")
        return make_error(Code::InvalidArgument, "handshake: expected 1|2|unix|<path>|grpc|, found \"{}\"",
                          trim(self.line));
    if (!tcp) self.socket = parts[3];
    grpc::ChannelArguments arguments;
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    self.channel = grpc::CreateCustomChannel(tcp ? parts[3] : "unix:" + self.socket,
                                             grpc::InsecureChannelCredentials(), arguments);
    self.base = basepb::BasePlugin::NewStub(self.channel);
    self.driver = driverpb::Driver::NewStub(self.channel);
    return plugin;
}

Result<int> PluginProcess::run_to_end(const LaunchOptions& options, std::string* output) {
    DROVER_TRY(Spawned spawned, spawn(options));
    auto status = wait_for_end(spawned.pid, options.call_timeout_ns);
    if (!status) {
        ::kill(spawned.pid, SIGKILL);
        reap(spawned.pid);
        return std::move(status).error();
    }
    DROVER_CHECK(set_nonblocking(spawned.out.get()));
    char bytes[4096];
    output->clear();
    for (ssize_t n; output->size() < kPrintedMax && (n = ::read(spawned.out.get(), bytes, sizeof bytes)) > 0;)
        output->append(bytes, static_cast<size_t>(n));
    return status;
}

pid_t PluginProcess::pid() const { return impl_->pid; }
const std::string& PluginProcess::handshake() const { return impl_->line; }
int64_t PluginProcess::launch_ns() const { return impl_->launch_ns; }
const std::string& PluginProcess::socket() const { return impl_->socket; }

std::string PluginProcess::printed_after_handshake() {
    pollfd wait{impl_->out.get(), POLLIN, 0};
    char bytes[1024];
    for (size_t read = 0; read < kPrintedMax && ::poll(&wait, 1, 0) > 0;) {
        const ssize_t n = ::read(impl_->out.get(), bytes, sizeof bytes);
        if (n <= 0) break;
        read += static_cast<size_t>(n);
        if (impl_->printed.size() < kPrintedMax) impl_->printed.append(bytes, static_cast<size_t>(n));
    }
    return impl_->printed;
}

void PluginProcess::kill() {
    ::kill(impl_->pid, SIGKILL);
    reap(impl_->pid);
    impl_->running = false;
}

Result<int> PluginProcess::shutdown(int64_t timeout_ns) {
    auto stub = plugin::GRPCController::NewStub(impl_->channel);
    plugin::Empty empty, reply;
    // The process may be gone before its answer is here: only its end counts.
    (void)impl_->call(stub.get(), &plugin::GRPCController::Stub::Shutdown, empty, &reply, timeout_ns);
    DROVER_TRY(int status, wait_for_end(impl_->pid, timeout_ns));
    impl_->running = false;
    return status;
}

Result<PluginInfo> PluginProcess::info() {
    basepb::PluginInfoResponse response;
    DROVER_CHECK(
        impl_->call(impl_->base.get(), &basepb::BasePlugin::Stub::PluginInfo, basepb::PluginInfoRequest(), &response));
    return wire::from_proto(response);
}

Result<std::optional<HclSpec>> PluginProcess::config_schema() {
    basepb::ConfigSchemaResponse response;
    DROVER_CHECK(impl_->call(impl_->base.get(), &basepb::BasePlugin::Stub::ConfigSchema, basepb::ConfigSchemaRequest(),
                             &response));
    if (!response.has_spec()) return std::optional<HclSpec>();
    DROVER_TRY(HclSpec spec, wire::from_proto(response.spec()));
    return std::optional<HclSpec>(std::move(spec));
}

Status PluginProcess::set_config(const std::string& msgpack, const std::optional<AgentConfig>& agent) {
    basepb::SetConfigRequest request;
    request.set_msgpack_config(msgpack);
    request.set_plugin_api_version(wire::kApiVersion);
    if (agent) wire::to_proto(*agent, request.mutable_nomad_config());
    basepb::SetConfigResponse response;
    return impl_->call(impl_->base.get(), &basepb::BasePlugin::Stub::SetConfig, request, &response);
}

Result<HclSpec> PluginProcess::task_config_schema() {
    driverpb::TaskConfigSchemaResponse response;
    DROVER_CHECK(impl_->call(impl_->driver.get(), &driverpb::Driver::Stub::TaskConfigSchema,
                             driverpb::TaskConfigSchemaRequest(), &response));
    return wire::from_proto(response.spec());
}

Result<Capabilities> PluginProcess::capabilities() {
    driverpb::CapabilitiesResponse response;
    DROVER_CHECK(impl_->call(impl_->driver.get(), &driverpb::Driver::Stub::Capabilities,
                             driverpb::CapabilitiesRequest(), &response));
    return wire::from_proto(response.capabilities());
}

Result<Fingerprint> PluginProcess::fingerprint() {
    grpc::ClientContext context;
    set_deadline(context, impl_->call_ns);
    auto stream = impl_->driver->Fingerprint(&context, driverpb::FingerprintRequest());
    driverpb::FingerprintResponse message;
    if (!stream->Read(&message)) return wire::from_status(stream->Finish());
    context.TryCancel();
    (void)stream->Finish();
    return wire::from_proto(message);
}

Result<bool> PluginProcess::healthy() {
    auto stub = grpc::health::v1::Health::NewStub(impl_->channel);
    grpc::health::v1::HealthCheckRequest request;
    request.set_service("plugin");
    grpc::health::v1::HealthCheckResponse response;
    DROVER_CHECK(impl_->call(stub.get(), &grpc::health::v1::Health::Stub::Check, request, &response));
    return response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
}

Result<StartedTask> PluginProcess::start_task(const TaskConfig& config) {
    driverpb::StartTaskRequest request;
    wire::to_proto(config, request.mutable_task());
    driverpb::StartTaskResponse response;
    DROVER_CHECK(impl_->call(impl_->driver.get(), &driverpb::Driver::Stub::StartTask, request, &response));
    return wire::from_proto(response);
}

Status PluginProcess::recover_task(const TaskHandle& handle) {
    driverpb::RecoverTaskRequest request;
    wire::to_proto(handle, request.mutable_handle());
    driverpb::RecoverTaskResponse response;
    return impl_->call(impl_->driver.get(), &driverpb::Driver::Stub::RecoverTask, request, &response);
}

Result<ExitResult> PluginProcess::wait_task(const std::string& task_id, int64_t timeout_ns) {
    driverpb::WaitTaskRequest request;
    request.set_task_id(task_id);
    driverpb::WaitTaskResponse response;
    DROVER_CHECK(impl_->call(impl_->driver.get(), &driverpb::Driver::Stub::WaitTask, request, &response, timeout_ns));
    return wire::from_proto(response);
}

Result<std::vector<ExitResult>> PluginProcess::wait_many(const std::vector<std::string>& task_ids, int64_t timeout_ns,
                                                         const std::function<void()>& waiting) {
    struct Call {
        grpc::ClientContext context;
        driverpb::WaitTaskRequest request;
        driverpb::WaitTaskResponse response;
        grpc::Status status;
    };
    std::mutex mutex;
    std::condition_variable changed;
    size_t done = 0;
    std::vector<std::unique_ptr<Call>> calls;
    for (const std::string& id : task_ids) {
        Call* call = calls.emplace_back(std::make_unique<Call>()).get();
        call->request.set_task_id(id);
        set_deadline(call->context, timeout_ns);
        impl_->driver->async()->WaitTask(&call->context, &call->request, &call->response,
                                         [&, call](grpc::Status status) {
                                             std::lock_guard lock(mutex);
                                             call->status = std::move(status);
                                             ++done;
                                             changed.notify_all();
                                         });
    }
    // A call made after them and answered: all of them have reached the plugin.
    auto answered = info();
    if (answered) waiting();
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return done == calls.size(); });
    if (!answered) return std::move(answered).error();
    std::vector<ExitResult> results;
    for (const auto& call : calls) {
        DROVER_CHECK(to_result(call->status));
        results.push_back(wire::from_proto(call->response));
    }
    return results;
}

Status PluginProcess::stop_task(const std::string& task_id, int64_t timeout_ns, const std::string& signal) {
    driverpb::StopTaskRequest request;
    request.set_task_id(task_id);
    *request.mutable_timeout() = wire::duration_to_proto(timeout_ns);
    request.set_signal(signal);
    driverpb::StopTaskResponse response;
    return impl_->call(impl_->driver.get(), &driverpb::Driver::Stub::StopTask, request, &response,
                       impl_->call_ns + timeout_ns);
}

Status PluginProcess::destroy_task(const std::string& task_id, bool force) {
    driverpb::DestroyTaskRequest request;
    request.set_task_id(task_id);
    request.set_force(force);
    driverpb::DestroyTaskResponse response;
    return impl_->call(impl_->driver.get(), &driverpb::Driver::Stub::DestroyTask, request, &response);
}

Result<TaskStatus> PluginProcess::inspect_task(const std::string& task_id) {
    driverpb::InspectTaskRequest request;
    request.set_task_id(task_id);
    driverpb::InspectTaskResponse response;
    DROVER_CHECK(impl_->call(impl_->driver.get(), &driverpb::Driver::Stub::InspectTask, request, &response));
    return wire::from_proto(response);
}

Result<std::vector<TaskStats>> PluginProcess::task_stats(const std::string& task_id, int64_t interval_ns,
                                                         size_t samples) {
    driverpb::TaskStatsRequest request;
    request.set_task_id(task_id);
    *request.mutable_collection_interval() = wire::duration_to_proto(interval_ns);
    grpc::ClientContext context;
    set_deadline(context, impl_->call_ns);
    auto stream = impl_->driver->TaskStats(&context, request);
    std::vector<TaskStats> out;
    driverpb::TaskStatsResponse message;
    while (out.size() < samples && stream->Read(&message)) out.push_back(wire::from_proto(message.stats()));
    if (out.size() < samples) return wire::from_status(stream->Finish());
    context.TryCancel();
    (void)stream->Finish();
    return out;
}

Result<TaskEvent> PluginProcess::task_event() {
    grpc::ClientContext context;
    set_deadline(context, impl_->call_ns);
    auto stream = impl_->driver->TaskEvents(&context, driverpb::TaskEventsRequest());
    driverpb::DriverTaskEvent message;
    if (!stream->Read(&message)) return wire::from_status(stream->Finish());
    context.TryCancel();
    (void)stream->Finish();
    return wire::from_proto(message);
}

Status PluginProcess::signal_task(const std::string& task_id, const std::string& signal) {
    driverpb::SignalTaskRequest request;
    request.set_task_id(task_id);
    request.set_signal(signal);
    driverpb::SignalTaskResponse response;
    return impl_->call(impl_->driver.get(), &driverpb::Driver::Stub::SignalTask, request, &response);
}

Result<CreatedNetwork> PluginProcess::create_network(const std::string& alloc_id, const std::string& hostname) {
    driverpb::CreateNetworkRequest request;
    request.set_alloc_id(alloc_id);
    request.set_hostname(hostname);
    driverpb::CreateNetworkResponse response;
    DROVER_CHECK(impl_->call(impl_->driver.get(), &driverpb::Driver::Stub::CreateNetwork, request, &response));
    return wire::from_proto(response);
}

Status PluginProcess::destroy_network(const std::string& alloc_id, const NetworkIsolation& network) {
    driverpb::DestroyNetworkRequest request;
    request.set_alloc_id(alloc_id);
    wire::to_proto(network, request.mutable_isolation_spec());
    driverpb::DestroyNetworkResponse response;
    return impl_->call(impl_->driver.get(), &driverpb::Driver::Stub::DestroyNetwork, request, &response);
}

Result<ExecOutput> PluginProcess::exec_task(const std::string& task_id, const std::vector<std::string>& command,
                                            int64_t timeout_ns) {
    driverpb::ExecTaskRequest request;
    request.set_task_id(task_id);
    request.mutable_command()->Assign(command.begin(), command.end());
    *request.mutable_timeout() = wire::duration_to_proto(timeout_ns);
    driverpb::ExecTaskResponse response;
    DROVER_CHECK(impl_->call(impl_->driver.get(), &driverpb::Driver::Stub::ExecTask, request, &response,
                             impl_->call_ns + timeout_ns));
    return wire::from_proto(response);
}

std::unique_ptr<ExecSession> PluginProcess::exec_task_streaming(const std::string& task_id,
                                                                const ExecRequest& request) {
    return ExecSession::open(impl_->channel, task_id, request);
}

const std::shared_ptr<grpc::Channel>& PluginProcess::channel() const { return impl_->channel; }

Result<bool> PluginProcess::idle_streams_stay_open() {
    grpc::ClientContext stdio_context, broker_context, events_context;
    auto stdio = plugin::GRPCStdio::NewStub(impl_->channel)->StreamStdio(&stdio_context, google::protobuf::Empty());
    auto broker = plugin::GRPCBroker::NewStub(impl_->channel)->StartStream(&broker_context);
    auto events = impl_->driver->TaskEvents(&events_context, driverpb::TaskEventsRequest());
    // Open means: the deadline ends it, nothing else. A stream that the plugin ends has another status.
    DROVER_CHECK(info());
    auto open = [](grpc::ClientContext& context, auto& stream) {
        context.TryCancel();
        return stream->Finish().error_code() == grpc::StatusCode::CANCELLED;
    };
    return open(stdio_context, stdio) && open(broker_context, broker) && open(events_context, events);
}

}  // namespace drover::sdk::testing
