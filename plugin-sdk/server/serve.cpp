// SPDX-License-Identifier: Apache-2.0
// The life of a plugin process: check the host's cookie, serve on a private socket, say where, end when told to.
// Threads: main (waits for the end), gRPC's own few, and the worker pool's, of which an idle plugin has none.
#include "drover/serve.h"

#include <elf.h>
#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <grpcpp/server_builder.h>
#include <link.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "base/fd.h"
#include "base/files.h"
#include "base/log.h"
#include "plugin-sdk/server/device_service.h"
#include "plugin-sdk/server/driver_service.h"
#include "plugin-sdk/server/goplugin_services.h"
#include "plugin-sdk/server/handshake.h"

namespace drover::sdk {
namespace {

constexpr size_t kThreadsMax = 512;  // calls that block at the same time: one per task being started or stopped
constexpr int kMessageBytesMax = 64 << 20;

int g_end_fd = -1;  // an eventfd: readable once the process shall end

void ask_for_end() {
    uint64_t one = 1;
    ssize_t ignored = ::write(g_end_fd, &one, sizeof one);
    (void)ignored;
}

std::optional<std::string> environment(const char* name) {
    const char* value = std::getenv(name);
    return value ? std::optional<std::string>(value) : std::nullopt;
}

// Handlers, not SIG_IGN: an ignored signal stays ignored in every process we start, a handled one does not.
void install_signals() {
    struct sigaction action {};
    action.sa_flags = SA_RESTART;
    action.sa_handler = [](int) {};
    ::sigaction(SIGPIPE, &action, nullptr);  // a host that died must not take the plugin along
    ::sigaction(SIGINT, &action, nullptr);   // Ctrl-C at a terminal goes to the whole group: the host decides
    action.sa_handler = [](int) {
        int saved = errno;
        ask_for_end();
        errno = saved;
    };
    ::sigaction(SIGTERM, &action, nullptr);
}

// gRPC's messages as hclog lines too: the host reads stderr line by line.
void log_grpc(gpr_log_func_args* args) {
    log::Level level = args->severity == GPR_LOG_SEVERITY_ERROR  ? log::Level::Error
                       : args->severity == GPR_LOG_SEVERITY_INFO ? log::Level::Debug
                                                                 : log::Level::Trace;
    if (log::enabled(level)) log::write(level, "grpc", args->message, {{"file", args->file}, {"line", args->line}});
}

// Most of what the program has touched so far was for starting: static initialisers, descriptors, gRPC's set-up. Lets
// go of the code and constants mapped by that; what is used again comes back from the page cache. An idle plugin is
// 3 MB smaller for it.
void release_startup_pages() {
    auto release = [](struct dl_phdr_info* info, size_t, void*) -> int {
        const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
        for (int i = 0; i < info->dlpi_phnum; ++i) {
            const auto& segment = info->dlpi_phdr[i];
            // What is or was writable holds values of this process, relocated constants included: never dropped.
            if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W)) continue;
            const uintptr_t begin = (info->dlpi_addr + segment.p_vaddr) & ~(page - 1);
            const uintptr_t end = (info->dlpi_addr + segment.p_vaddr + segment.p_filesz + page - 1) & ~(page - 1);
            ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
        }
        return 1;  // the program itself comes first, and libraries are shared anyway
    };
    ::dl_iterate_phdr(release, nullptr);
}

// What is different between the kinds.
struct Plugin {
    PluginIdentity identity;
    std::function<grpc::Service*(WorkerPool&)> make_service;
};

int serve_until_end(const Plugin& plugin, const HandshakeRequest& request) {
    const std::string name = plugin.identity.name();
    auto socket = SocketDir::create(request);
    if (!socket) {
        log::error(name, "cannot make a socket", {{"error", socket.error().message()}});
        return 1;
    }
    // All of it outlives main(): calls may still be running when the process ends; tasks are not theirs to wait for.
    auto* pool = new WorkerPool(kThreadsMax);
    grpc::Service* service = plugin.make_service(*pool);
    auto* base = new BaseService(plugin.identity, *pool);
    auto* controller = new ControllerService(ask_for_end);
    auto* stdio = new StdioService;
    auto* broker = new BrokerService;
    auto* health = new HealthService;

    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket->socket_path(), grpc::InsecureServerCredentials());
    builder.SetMaxReceiveMessageSize(kMessageBytesMax);
    for (grpc::Service* each : std::initializer_list<grpc::Service*>{service, base, controller, stdio, broker, health})
        builder.RegisterService(each);
    grpc::Server* server = builder.BuildAndStart().release();
    if (!server) {
        log::error(name, "cannot listen", {{"socket", socket->socket_path()}});
        return 1;
    }
    if (Status restricted = socket->restrict_socket(); !restricted) {
        log::error(name, "cannot restrict the socket", {{"error", restricted.error().message()}});
        return 1;
    }
    // Only now: a host dials at once.
    if (Status said = write_all(STDOUT_FILENO, handshake_line(socket->socket_path())); !said) {
        log::error(name, "the host does not listen", {{"error", said.error().message()}});
        return 1;
    }
    release_startup_pages();
    log::debug(name, "plugin serves", {{"socket", socket->socket_path()}, {"version", plugin.identity.version()}});

    uint64_t count = 0;
    while (::read(g_end_fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
    log::debug(name, "plugin ends");
    return 0;
}

int serve_plugin(const Plugin& plugin) {
    const char* kind = plugin.identity.type == PluginType::Driver ? "driver" : "device";
    auto request = read_handshake_request(kind, plugin.identity.name(), environment);
    if (!request) {
        fmt::print(stderr, "{}\n", request.error().message());
        return 1;
    }
    // Everything is written: the host filters.
    log::configure({.level = log::Level::Trace, .format = log::Format::Json, .file = {}, .colour = false, .fd = 2});
    g_end_fd = ::eventfd(0, EFD_CLOEXEC);
    install_signals();
    gpr_set_log_function(log_grpc);
    int status = serve_until_end(plugin, *request);
    // No destructors, no waiting: calls in progress may take as long as a task takes to stop. What must survive a kill
    // at any instruction survives this as well.
    ::_exit(status);
}

}  // namespace

int serve_driver(int, char**, std::unique_ptr<Driver> owned) {
    Driver* driver = owned.release();
    PluginIdentity identity{
        .type = PluginType::Driver,
        .name = [driver] { return driver->name(); },
        .version = [driver] { return driver->version(); },
        .config_schema = [driver] { return driver->config_schema(); },
        .set_config = [driver](auto msgpack, const auto& agent) { return driver->set_config(msgpack, agent); }};
    return serve_plugin({std::move(identity), [driver](WorkerPool& pool) {
                             auto* service = new DriverService(*driver, pool);
                             driver->attach({.task_state_dir = environment("DROVER_TASK_STATE_DIR").value_or(""),
                                             .cgroup_parent = environment("DROVER_CGROUP_PARENT").value_or("drover"),
                                             .emit_event = [service](TaskEvent event) {
                                                 service->events().emit(std::move(event));
                                             }});
                             return service;
                         }});
}

int serve_device(int, char**, std::unique_ptr<DevicePlugin> owned) {
    DevicePlugin* device = owned.release();
    PluginIdentity identity{.type = PluginType::Device,
                            .name = [device] { return device->name(); },
                            .version = [device] { return device->version(); },
                            .config_schema = [device] { return device->config_schema(); },
                            .set_config = [device](auto msgpack, const auto&) { return device->set_config(msgpack); }};
    return serve_plugin(
        {std::move(identity), [device](WorkerPool& pool) { return new DeviceService(*device, pool); }});
}

}  // namespace drover::sdk
