// SPDX-License-Identifier: Apache-2.0
// The life of a task once it runs. Starting is in docker_start.cpp, what happens by itself in
// docker_upkeep.cpp.
#include "drivers/docker/docker_driver.h"

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "base/uuid.h"
#include "cgroup/cgroup.h"
#include "drover/signals.h"
#include "drivers/docker/container_spec.h"
#include "drover/process_task.h"

namespace drover::drivers {
namespace {

constexpr int64_t kKillNs = kMinute;  // how long the daemon may take to end a killed container

Error not_found(const std::string& task_id) {
    return make_error(Code::NotFound, "task not found for given id: {}", task_id);
}

Result<std::string> socket_of(const std::string& endpoint) {
    constexpr std::string_view kUnix = "unix://";
    if (!starts_with(endpoint, kUnix) || endpoint.size() <= kUnix.size() || endpoint[kUnix.size()] != '/')
        return make_error(Code::InvalidArgument, "endpoint: expected \"unix:///path\", found \"{}\"",
                          endpoint);
    return endpoint.substr(kUnix.size());
}

// The group of a process below the hierarchies' roots, as Cgroup takes it.
Result<std::string> cgroup_of(int64_t pid) {
    DROVER_TRY(std::string text, read_file(fmt::format("/proc/{}/cgroup", pid), 1 << 16));
    const bool unified = cgroup::mounted().version == cgroup::Version::V2;
    for (const std::string& line : split(text, '\n')) {
        auto parts = split(line, ':');
        if (parts.size() < 3 || (unified ? parts[0] != "0" : parts[1] != "memory")) continue;
        const std::string path = line.substr(parts[0].size() + parts[1].size() + 2);
        if (path.size() > 1) return path.substr(1);
    }
    return make_error(Code::NotFound, "process {} is in no cgroup of its own", pid);
}

}  // namespace

DockerDriver::DockerDriver() : engine_(std::make_shared<Engine>("/var/run/docker.sock")) {}
DockerDriver::~DockerDriver() {
    core_.reset();
}

sdk::Capabilities DockerDriver::capabilities() const {
    return {.send_signals = true,
            .exec = true,
            .fs_isolation = sdk::FsIsolation::Image,
            .network_modes = {sdk::NetworkMode::Host, sdk::NetworkMode::Group, sdk::NetworkMode::Task},
            .must_create_network = true,
            .accepts_mounts = true,
            .disable_log_collection = config().disable_log_collection,
            .dynamic_workload_users = false};
}

Status DockerDriver::set_config(std::string_view msgpack, const std::optional<sdk::AgentConfig>& agent) {
    DROVER_TRY(DockerPluginConfig config, docker_plugin_schema().decode(msgpack));
    DROVER_TRY(std::string socket, socket_of(config.endpoint));
    std::lock_guard lock(mutex_);
    // Tasks stay with the daemon they were started on.
    if (!core_) engine_ = std::make_shared<Engine>(socket);
    config_ = std::move(config);
    core_mhz_ = sdk::core_speed_mhz(agent);
    return {};
}

DockerPluginConfig DockerDriver::config() const {
    std::lock_guard lock(mutex_);
    return config_;
}

std::shared_ptr<Engine> DockerDriver::engine() const {
    std::lock_guard lock(mutex_);
    return engine_;
}

sdk::Fingerprint DockerDriver::fingerprint() {
    DockerPluginConfig plugin = config();
    auto info = engine()->info();
    std::lock_guard lock(mutex_);
    if (!info) {
        // A daemon that was never here is a machine without docker; one that went away is unhealthy.
        return {.attributes = {},
                .health = was_healthy_ ? sdk::Health::Unhealthy : sdk::Health::Undetected,
                .description = info.error().message(),
                .error = ""};
    }
    was_healthy_ = true;
    std::map<std::string, sdk::Attribute> attributes{
        {"driver.docker", {true, ""}},
        {"driver.docker.version", {info->version, ""}},
        {"driver.docker.os_type", {info->os_type, ""}},
        {"driver.docker.runtimes", {join(info->runtimes, ","), ""}}};
    if (plugin.volumes_enabled()) attributes["driver.docker.volumes.enabled"] = {true, ""};
    if (plugin.allow_privileged) attributes["driver.docker.privileged.enabled"] = {true, ""};
    if (!info->bridge_ip.empty()) attributes["driver.docker.bridge_ip"] = {info->bridge_ip, ""};
    return {.attributes = std::move(attributes),
            .health = sdk::Health::Healthy,
            .description = "Healthy",
            .error = ""};
}

std::string DockerDriver::Core::task_dir(const std::string& task_id) const {
    return root + "/tasks/" + sdk::task_dir_name(task_id);
}

Result<DockerDriver::Core*> DockerDriver::core() {
    std::lock_guard lock(mutex_);
    if (core_) return core_.get();
    std::string state = !config_.state_dir.empty()          ? config_.state_dir
                        : !context().task_state_dir.empty() ? context().task_state_dir
                                                            : "/var/lib/drover-plugins/docker";
    auto core = std::make_unique<Core>(engine_, state + "/.docker");
    DROVER_CHECK(make_dirs(core->root + "/tasks", 0700));
    const std::string owner_file = core->root + "/owner";
    if (!path_exists(owner_file)) DROVER_CHECK(write_file_durable(owner_file, new_uuid()));
    DROVER_TRY(core->owner, read_file(owner_file, 4096));
    core->opened_ns = mono_now();
    core->dangling_at = core->opened_ns + config_.dangling().creation_grace.count();
    core->cpus = std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN));
    Core* out = core.get();
    out->watch = std::make_unique<DockerWatch>(
        *out->engine, std::string(kOwnerLabel) + "=" + out->owner,
        DockerWatch::Hooks{.event = [this, out](const std::string& id,
                                                const std::string& action) { on_event(*out, id, action); },
                           .resync =
                               [this, out] {
                                   for (const TaskPtr& task : all_tasks()) look(*out, task);
                               },
                           .chores = [this, out] { return chores(*out); }});
    core_ = std::move(core);
    return out;
}

Result<DockerDriver::TaskPtr> DockerDriver::find(const std::string& task_id) const {
    std::lock_guard lock(mutex_);
    auto found = tasks_.find(task_id);
    if (found == tasks_.end()) return not_found(task_id);
    return found->second;
}

std::vector<DockerDriver::TaskPtr> DockerDriver::all_tasks() const {
    std::lock_guard lock(mutex_);
    std::vector<TaskPtr> out;
    for (const auto& [id, task] : tasks_) out.push_back(task);
    return out;
}

Status DockerDriver::wait_task(const std::string& task_id, sdk::ExitCallback done) {
    DROVER_TRY(TaskPtr task, find(task_id));
    task->on_exit(std::move(done));
    return {};
}

Status DockerDriver::signal_task(const std::string& task_id, const std::string& signal) {
    DROVER_TRY(TaskPtr task, find(task_id));
    DROVER_TRY(int number, sdk::parse_signal(signal));
    return engine()->kill(task->container().id, std::to_string(number));
}

Status DockerDriver::stop_task(const std::string& task_id, int64_t timeout_ns, const std::string& signal) {
    auto found = find(task_id);
    if (!found || (*found)->exit()) return {};
    const TaskPtr& task = *found;
    const ContainerInfo info = task->container();
    DROVER_TRY(int number, sdk::parse_signal(!signal.empty()             ? signal
                                        : !info.stop_signal.empty() ? info.stop_signal
                                                                    : "SIGTERM"));
    DROVER_TRY(Core * core, this->core());
    for (const std::string& sent : {std::to_string(number), std::string("KILL")}) {
        Status told = core->engine->kill(info.id, sent);
        const Code code = told ? Code::Ok : told.error().code();
        // It does not run: it has ended, and we are about to see it.
        if (code != Code::Ok && code != Code::FailedPrecondition && code != Code::NotFound) return told;
        if (code != Code::Ok) look(*core, task);
        if (task->wait_exit(sent == "KILL" ? kKillNs : timeout_ns)) return {};
    }
    return make_error(Code::DeadlineExceeded, "container {} still runs {} after it was killed", info.id,
                      format_duration(kKillNs));
}

Status DockerDriver::destroy_task(const std::string& task_id, sdk::Force force) {
    DROVER_TRY(Core * core, this->core());
    auto found = find(task_id);
    if (found && !(*found)->container_ended()) {
        if (force == sdk::Force::No)
            return make_error(Code::FailedPrecondition, "task {} still runs", task_id);
        DROVER_CHECK(stop_task(task_id, 0, "SIGKILL"));
    }
    // By the label, not by the id: a start that was cut off may have left one that nobody has seen.
    const bool keep = found ? (*found)->record.keep_container : !config().collection().container;
    DROVER_TRY(auto containers, core->engine->list({std::string(kTaskLabel) + "=" + task_id}));
    for (const ContainerSummary& container : containers) {
        if (!keep) {
            DROVER_CHECK(core->engine->remove(container.id));
        } else if (Status ended = core->engine->kill(container.id, "KILL");
                   !ended && ended.error().code() != Code::FailedPrecondition) {
            return ended;
        }
    }
    core->logs.remove(task_id);
    core->images.release(task_id, config());
    DROVER_CHECK(remove_tree(core->task_dir(task_id)));
    {
        std::lock_guard lock(mutex_);
        tasks_.erase(task_id);
        exits_due_.erase(task_id);
    }
    core->watch->poke_chores();
    return {};
}

Result<sdk::TaskStatus> DockerDriver::inspect_task(const std::string& task_id) {
    DROVER_TRY(TaskPtr task, find(task_id));
    return task->status();
}

// From the container's cgroup, not from the daemon: cheaper by far, and it has what the daemon leaves out.
Result<sdk::TaskStats> DockerDriver::task_stats(const std::string& task_id) {
    DROVER_TRY(TaskPtr task, find(task_id));
    DROVER_TRY(std::string path, cgroup_of(task->container().pid));
    DROVER_TRY(cgroup::Cgroup group, cgroup::Cgroup::open(path));
    DROVER_TRY(cgroup::Stats now, group.stats());
    double core_mhz = 0;
    {
        std::lock_guard lock(mutex_);
        core_mhz = core_mhz_;
    }
    return task->measure(now, core_mhz);
}

}  // namespace drover::drivers
