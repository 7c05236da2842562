// SPDX-License-Identifier: Apache-2.0
#include "cli/agent_main.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>

#include "base/files.h"
#include "base/host_port.h"
#include "base/log.h"
#include "base/strings.h"
#include "base/version.h"
#include "cli/agent_address.h"
#include "cli/agent_flags.h"
#include "cli/agent_process.h"
#include "cli/command.h"
#include "jobspec/agent_config.h"

namespace drover::cli {
namespace {

using agentconfig::AgentConfig;

// systemd's readiness protocol: one datagram to the socket it names; nothing without it.
void notify_systemd(std::string_view message) {
    const char* path = std::getenv("NOTIFY_SOCKET");
    if (!path || !*path) return;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    size_t length = std::strlen(path);
    if (length >= sizeof address.sun_path) return;
    std::memcpy(address.sun_path, path, length);
    if (address.sun_path[0] == '@') address.sun_path[0] = 0;
    UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd) return;
    ::sendto(fd.get(), message.data(), message.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address),
             static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length));
}

// Files, then flags, over the defaults.
Result<AgentConfig> read_config(const AgentFlags& flags, const AgentConfig& layer,
                                std::vector<std::string>& files) {
    AgentConfig config = flags.dev ? jobspec::dev_agent_config() : jobspec::default_agent_config();
    files.clear();
    for (const std::string& path : flags.config_paths) {
        AgentConfig from_files;
        DROVER_CHECK(jobspec::load_agent_config(path, from_files, files));
        jobspec::merge_agent_config(config, from_files);
    }
    jobspec::merge_agent_config(config, layer);
    DROVER_CHECK(jobspec::validate_agent_config(config, flags.dev));
    if (config.name().empty()) {
        char host[256] = "";
        ::gethostname(host, sizeof host - 1);
        config.set_name(host);
    }
    DROVER_CHECK(complete_addresses(config, flags.dev));
    return config;
}

void configure_log(const AgentConfig& config, bool terminal) {
    log::Options options;
    log::parse_level(config.log_level(), &options.level);
    options.format = config.log_json() ? log::Format::Json : log::Format::Text;
    options.file = config.log_file();
    options.colour = terminal && config.log_file().empty() && !config.log_json();
    options.fd = STDOUT_FILENO;
    log::configure(options);
}

std::string banner(const AgentSettings& settings, const std::string& node_id) {
    const AgentConfig& c = settings.config;
    std::vector<std::pair<std::string, std::string>> rows;
    std::string bind =
        fmt::format("HTTP: [{}]", join_host_port(split(c.addresses().http(), ' ')[0], c.ports().http()));
    std::string advertise = fmt::format("HTTP: {}", c.advertise().http());
    if (c.server().enabled()) {
        bind += fmt::format("; RPC: {}; Serf: {}", join_host_port(c.addresses().rpc(), c.ports().rpc()),
                            join_host_port(c.addresses().serf(), c.ports().serf()));
        advertise += fmt::format("; RPC: {}; Serf: {}", c.advertise().rpc(), c.advertise().serf());
    }
    rows.emplace_back("Advertise Addrs", advertise);
    rows.emplace_back("Bind Addrs", bind);
    rows.emplace_back("Client", c.client().enabled() ? "true" : "false");
    rows.emplace_back("Log Level", to_upper(c.log_level()));
    if (!node_id.empty()) rows.emplace_back("Node Id", node_id);
    rows.emplace_back("Region", fmt::format("{} (DC: {})", c.region(), c.datacenter()));
    rows.emplace_back("Server", c.server().enabled() ? "true" : "false");
    rows.emplace_back("Version", std::string(kVersion));
    std::string text;
    for (const auto& [key, value] : rows) text += fmt::format("{:>22}: {}\n", key, value);
    return text;
}

// What a signal asks for, said and decided in one place.
bool leaves(const AgentConfig& config, int signal_number) {
    return (signal_number == SIGINT && config.leave_on_interrupt()) ||
           (signal_number == SIGTERM && config.leave_on_terminate());
}

void reload(AgentProcess& process, const AgentFlags& flags, const AgentConfig& layer, AgentConfig& current) {
    std::vector<std::string> files;
    auto fresh = read_config(flags, layer, files);
    if (!fresh) {
        // A broken file must not take a running agent down: it goes on with what it has.
        log::error("agent", "configuration not reloaded", {{"error", fresh.error().message()}});
        return;
    }
    log::Level level;
    if (log::parse_level(fresh->log_level(), &level)) log::set_level(level);
    if (auto done = process.reload(*fresh); !done) {
        log::error("agent", "configuration not reloaded", {{"error", done.error().message()}});
        return;
    }
    current.set_leave_on_interrupt(fresh->leave_on_interrupt());
    current.set_leave_on_terminate(fresh->leave_on_terminate());
    log::info("agent", "configuration reloaded", {{"files", join(files, ",")}});
}

Result<std::string> make_dev_dir() {
    std::string path = "/tmp/drover-dev.XXXXXX";
    if (!::mkdtemp(path.data())) return Error::from_errno(fmt::format("create {}", path));
    return path;
}

}  // namespace

std::string agent_help() {
    std::string text =
        "Usage: drover agent [options]\n\n"
        "  Starts the drover agent and runs until an interrupt is received. The agent may be a\n"
        "  client and/or a server. Its plugins and tasks go on when it stops; the next agent\n"
        "  takes them over. With -dev it is both, keeps nothing, and ends what it started.\n\n"
        "  Flags win over configuration files, later files over earlier ones.\n\nOptions:\n";
    for (const auto& [name, help] : agent_flag_help()) text += fmt::format("\n  {}\n    {}\n", name, help);
    return text;
}

int run_agent(const std::vector<std::string>& args, Streams& streams) {
    AgentFlags flags;
    AgentConfig layer;
    auto fail = [&](const Error& error) {
        streams.error_line(fmt::format("==> {}", error.message()));
        return kExitError;
    };
    if (auto parsed = parse_agent_flags(args, flags, layer); !parsed) {
        streams.error_line(
            fmt::format("{}\nRun drover agent -help for the list of flags.", parsed.error().message()));
        return kExitError;
    }
    if (flags.help) {
        streams.out(agent_help());
        return kExitOk;
    }
    AgentSettings settings;
    settings.dev = flags.dev;
    auto config = read_config(flags, layer, settings.config_files);
    if (!config) return fail(config.error());
    settings.config = std::move(*config);
    settings.data_dir = settings.config.data_dir();
    if (flags.dev && settings.data_dir.empty()) {
        auto dir = make_dev_dir();
        if (!dir) return fail(dir.error());
        settings.data_dir = *dir;
        settings.data_dir_is_temporary = true;
        // Groups of its own, so that removing them at the end touches no other agent's.
        auto* client = settings.config.mutable_client();
        if (client->cgroup_parent() == "drover")
            client->set_cgroup_parent(dir->substr(dir->find_last_of('/') + 1));
    }
    if (::geteuid() != 0 && settings.config.client().enabled())
        streams.line(
            "==> WARNING: the client is not running as root: drivers that need it will not be healthy");
    streams.line(settings.config_files.empty()
                     ? "==> No configuration files loaded"
                     : fmt::format("==> Loaded configuration from {}", join(settings.config_files, ", ")));
    streams.line("==> Starting drover agent...");

    // Every thread inherits the mask, so only sigwaitinfo below sees these. Children get a clean mask when
    // they are made.
    sigset_t waited;
    sigemptyset(&waited);
    for (int signal_number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&waited, signal_number);
    ::pthread_sigmask(SIG_BLOCK, &waited, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    configure_log(settings.config, streams.out_is_terminal);

    AgentConfig current = settings.config;
    AgentSettings shown = settings;
    auto started = AgentProcess::start(std::move(settings));
    if (!started) return fail(std::move(started).error().context("Error starting agent"));
    AgentProcess& process = **started;
    streams.out(fmt::format("==> drover agent configuration:\n\n{}\n", banner(shown, process.node_id())));
    streams.line("==> drover agent started! Log data will stream in below:\n");
    notify_systemd("READY=1");

    for (;;) {
        siginfo_t info{};
        int signal_number = ::sigwaitinfo(&waited, &info);
        if (signal_number < 0) continue;
        if (signal_number == SIGHUP) {
            notify_systemd("RELOADING=1");
            reload(process, flags, layer, current);
            notify_systemd("READY=1");
            continue;
        }
        const bool graceful = flags.dev || leaves(current, signal_number);
        streams.line(
            fmt::format("==> Caught signal: {}", signal_number == SIGINT ? "interrupt" : "terminated"));
        if (graceful) streams.line("==> Gracefully shutting down agent...");
        notify_systemd("STOPPING=1");
        process.stop();
        return graceful ? kExitOk : kExitError;
    }
}

}  // namespace drover::cli
