// SPDX-License-Identifier: Apache-2.0
#include "drivers/oci/container_driver.h"

#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "base/uuid.h"
#include "drivers/common/subprocess.h"
#include "drivers/common/users.h"
#include "drivers/oci/seccomp.h"

namespace drover::drivers::oci {
namespace {

constexpr int64_t kRuntimeNs = 30 * kSecond;

// The task's id in the letters a runtime takes; unique because each task has a runtime root of its own.
std::string container_id(const std::string& task_id) {
    std::string id = task_id;
    for (char& c : id)
        if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_' && c != '.') c = '_';
    return id;
}

// The last error in a runtime's JSON log; empty when there is none.
std::string last_error(const std::string& path) {
    auto text = read_file(path, 1 << 20);
    if (!text) return "";
    std::string found;
    for (const std::string& line : split(*text, '\n')) {
        auto entry = nlohmann::json::parse(line, nullptr, false);
        if (!entry.is_object() || !entry.contains("msg") || !entry["msg"].is_string()) continue;
        if (entry.value("level", "") == "error" || entry.value("level", "") == "fatal") found = entry["msg"];
    }
    return found;
}

std::string resolv_conf(const sdk::DnsConfig& dns) {
    std::string text;
    for (const std::string& server : dns.servers) text += "nameserver " + server + "\n";
    if (!dns.searches.empty()) text += "search " + join(dns.searches, " ") + "\n";
    if (!dns.options.empty()) text += "options " + join(dns.options, " ") + "\n";
    return text;
}

}  // namespace

Result<std::string> find_in_container(const std::string& command, const sdk::TaskConfig& task,
                                      const std::vector<ViewEntry>& view, const Bundle& bundle) {
    auto path = task.env.find("PATH");
    return find_command(command, "/local", bundle.work_dir, path == task.env.end() ? kDefaultPath : path->second,
                        view);
}

sdk::Capabilities ContainerDriver::capabilities() const {
    return {.send_signals = true,
            .exec = true,
            .fs_isolation = sdk::FsIsolation::Image,
            .network_modes = {sdk::NetworkMode::Host, sdk::NetworkMode::Group},
            .must_create_network = false,
            .accepts_mounts = true,
            .disable_log_collection = false,
            .dynamic_workload_users = false};
}

sdk::HclSpec ContainerDriver::task_config_schema() const {
    sdk::HclSpec spec = command_schema();
    spec.attributes.merge(isolation_task_schema().spec().attributes);
    return spec;
}

Status ContainerDriver::set_config(std::string_view msgpack, const std::optional<sdk::AgentConfig>& agent) {
    DROVER_TRY(IsolationPluginConfig config, isolation_plugin_schema().decode(msgpack));
    for (const std::string* mode : {&config.default_pid_mode, &config.default_ipc_mode}) {
        if (*mode == "private" || *mode == "host") continue;
        return make_error(Code::InvalidArgument, "{}: expected \"private\" or \"host\", found \"{}\"",
                          mode == &config.default_pid_mode ? "default_pid_mode" : "default_ipc_mode", *mode);
    }
    DROVER_CHECK(DeniedIds::parse(config.denied_host_uids, config.denied_host_gids));
    DROVER_CHECK(parse_id_map(config.userns_host_ids));
    if (const std::string& file = config.seccomp_profile; starts_with(file, "/")) {
        DROVER_CHECK(load_seccomp_profile(file));
    } else if (!file.empty() && file != "default" && file != "unconfined") {
        return make_error(Code::InvalidArgument,
                          "seccomp_profile: expected default, unconfined or an absolute path, found \"{}\"", file);
    }
    for (const auto& [source, destination] : config.chroot_env)
        if (!starts_with(source, "/") || !starts_with(destination, "/") || destination.find("..") != std::string::npos)
            return make_error(Code::InvalidArgument, "chroot_env: expected absolute paths, found \"{}\" = \"{}\"",
                              source, destination);
    configure(config.state_dir, agent);
    std::lock_guard lock(mutex_);
    config_ = std::move(config);
    return {};
}

IsolationPluginConfig ContainerDriver::config() const {
    std::lock_guard lock(mutex_);
    return config_;
}

Result<std::string> ContainerDriver::runtime() const {
    std::string name = config().runtime;
    if (!name.empty() && name[0] == '/') return name;
    for (const std::string& dir : split(kDefaultPath, ':'))
        if (std::string path = join_path(dir, name); ::access(path.c_str(), X_OK) == 0) return path;
    return make_error(Code::NotFound, "{} is not installed (looked in {})", name, kDefaultPath);
}

sdk::Fingerprint ContainerDriver::fingerprint() {
    auto undetected = [](std::string why) {
        return sdk::Fingerprint{
            .attributes = {}, .health = sdk::Health::Undetected, .description = std::move(why), .error = ""};
    };
    if (::geteuid() != 0) return undetected("requires root privileges");
    if (cgroup::mounted().version == cgroup::Version::None) return undetected("requires cgroups");
    auto path = runtime();
    if (!path) return undetected(path.error().message());
    struct stat info {};
    if (::stat(path->c_str(), &info) != 0) return undetected(*path + ": " + std::strerror(errno));
    std::string identity = fmt::format("{} {} {}", *path, info.st_ino, info.st_mtime);
    std::lock_guard lock(mutex_);
    if (version_of_ != identity) {
        auto answer = run_command({*path, "--version"}, kRuntimeNs);
        if (!answer || answer->exit_code != 0)
            return undetected(fmt::format("{} --version: {}", *path,
                                          answer ? std::string(trim(answer->output)) : answer.error().message()));
        std::string line = split(answer->output, '\n').front();
        version_ = std::string(trim(line.substr(line.rfind(' ') + 1)));
        version_of_ = identity;
    }
    const std::string key = "driver." + name();
    return {.attributes = {{key, {true, ""}},
                           {key + ".runtime", {*path, ""}},
                           {key + ".runtime.version", {version_, ""}}},
            .health = sdk::Health::Healthy,
            .description = "Healthy",
            .error = ""};
}

std::string ContainerDriver::bundle_dir(const std::string& task_id) const {
    return join_path(state_dir(), "." + name() + "/" + sdk::task_dir_name(task_id));
}

Result<sdk::ProcessSpec> ContainerDriver::prepare(const sdk::TaskConfig& task) {
    DROVER_TRY(IsolationTaskConfig isolation, isolation_task_schema().decode(task.msgpack_driver_config));
    IsolationPluginConfig plugin = config();
    DROVER_TRY(std::string runtime_path, runtime());
    const std::string dir = bundle_dir(task.id);
    DROVER_TRY(HostView host, task_root(task, isolation, plugin));
    DROVER_TRY(Bundle bundle, task_bundle(task, isolation, plugin, host, dir));
    DROVER_TRY(bundle.args, command_line(task, view_of(bundle, host), bundle));

    sdk::ProcessSpec spec;
    spec.task_id = task.id;
    spec.cgroup = task_cgroup(task.id);
    if (spec.cgroup.empty()) return make_error(Code::FailedPrecondition, "{} requires cgroups", name());
    DROVER_TRY(spec.limits, task_limits(task, isolation, plugin));
    bundle.cgroup = spec.cgroup + "/container";
    spec.oom_cgroups = {bundle.cgroup};

    DROVER_CHECK(make_dirs(dir, 0700));
    if (bundle.id_map) DROVER_CHECK(make_dirs(kCoveredRoot, 0755));
    DROVER_CHECK(
        make_root(bundle.root, host, {"/proc", "/dev", "/sys", "/run", "/alloc", "/local", "/secrets", "/tmp"}));
    if (task.dns) {
        DROVER_CHECK(write_file(join_path(dir, "resolv.conf"), resolv_conf(*task.dns), 0644));
        bundle.mounts.push_back(
            {join_path(dir, "resolv.conf"), "/etc/resolv.conf", {"ro", "nosuid", "nodev", "rprivate"}});
    }
    DROVER_CHECK(write_file(join_path(dir, "config.json"), config_json(bundle)));

    // The runtime's own working directory: "/", where nothing can be in the way.
    spec.command = runtime_path;
    spec.pid_file = join_path(dir, "pid");
    spec.args = {"--root",       join_path(dir, "state"),
                 "--log",        join_path(dir, "log"),
                 "--log-format", "json",
                 "run",          "--detach",
                 "--bundle",     dir,
                 "--pid-file",   spec.pid_file};
    if (plugin.no_pivot_root) spec.args.push_back("--no-pivot");
    spec.args.push_back(container_id(task.id));
    spec.env = {std::string("PATH=") + kDefaultPath};
    spec.stdout_path = task.stdout_path;
    spec.stderr_path = task.stderr_path;
    return spec;
}

Error ContainerDriver::explain(Error error, const std::string& task_id) {
    std::string told = last_error(join_path(bundle_dir(task_id), "log"));
    if (told.empty() && ends_with(error.message(), "exited with code 137"))
        return Error(error.code(), "start container: the runtime was killed; is the memory too little to start one?",
                     error.retry());
    if (told.empty()) return error;
    return Error(error.code(), fmt::format("start container: {}", told), error.retry());
}

// The runtime's own exec: with the user, environment and directory of the task, as its config.json has them.
Result<sdk::ExecProgram> ContainerDriver::exec_program(const sdk::ProcessTask& task, const sdk::ExecRequest& request) {
    if (task.status().phase != sdk::ProcessPhase::Running)
        return make_error(Code::FailedPrecondition, "task {} is not running", task.id());
    if (request.command.empty()) return make_error(Code::InvalidArgument, "command: must not be empty");
    const std::string dir = bundle_dir(task.id());
    DROVER_TRY(const std::string config, read_file(join_path(dir, "config.json"), 8 << 20));
    const auto bundle = nlohmann::json::parse(config, nullptr, false);
    if (!bundle.is_object() || !bundle.contains("process") || !bundle["process"].is_object())
        return make_error(Code::DataLoss, "{}/config.json: has no process", dir);
    const nlohmann::json& process = bundle["process"];
    std::string path = kDefaultPath, cwd = "/";
    if (process.contains("cwd") && process["cwd"].is_string()) cwd = process["cwd"];
    for (const auto& entry : process.contains("env") ? process["env"] : nlohmann::json::array()) {
        const std::string text = entry.is_string() ? entry.get<std::string>() : "";
        if (starts_with(text, "PATH=")) path = text.substr(5);
    }
    // Looked for in the task's root, so that a wrong name is a clear error and no exit code.
    DROVER_TRY(auto command, find_command(request.command.front(), "/local", cwd, path,
                                          {{"/", fmt::format("/proc/{}/root", task.pid())}}));
    DROVER_TRY(std::string runtime_path, runtime());
    sdk::ExecProgram program;
    program.command = runtime_path;
    program.pid_file = join_path(dir, "exec-" + short_id(new_uuid()));
    program.args = {"--root", join_path(dir, "state"), "exec", "--pid-file", program.pid_file};
    if (request.tty) program.args.push_back("--tty");
    program.args.push_back(container_id(task.id()));
    program.args.push_back(command);
    program.args.insert(program.args.end(), request.command.begin() + 1, request.command.end());
    program.env = {std::string("PATH=") + kDefaultPath};
    return program;
}

Status ContainerDriver::cleanup(const std::string& task_id) {
    const std::string dir = bundle_dir(task_id);
    if (!path_exists(dir)) return {};
    if (path_exists(join_path(dir, "state"))) {
        DROVER_TRY(std::string runtime_path, runtime());
        // Takes the container's process, its cgroups in every hierarchy and its state. "Does not exist" is fine too.
        DROVER_TRY(auto deleted, run_command({runtime_path, "--root", join_path(dir, "state"), "delete", "--force",
                                              container_id(task_id)},
                                             kRuntimeNs));
        if (deleted.exit_code != 0)
            log::warn(name(), "the runtime's delete failed", {{"task", task_id}, {"output", trim(deleted.output)}});
    }
    return remove_tree(dir);
}

}  // namespace drover::drivers::oci
