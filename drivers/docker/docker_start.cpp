// SPDX-License-Identifier: Apache-2.0
// From a task's config to a running container, and from a container that is there to a task. Every step can
// be cut off by a kill -9: the record comes first, the container carries the task's id, and whoever comes
// next (the same start again, a recovery, a destroy, the search for dangling ones) takes it from there.
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "drivers/docker/container_spec.h"
#include "drivers/docker/docker_driver.h"

namespace drover::drivers {
namespace {

constexpr int32_t kHandleVersion = 1;
constexpr char kRecordFile[] = "/record";

// For people who look at a stored handle; recovery needs the task's id only.
struct HandleState {
    std::string container_id;
};
const sdk::Schema<HandleState>& handle_schema() {
    static const auto schema =
        sdk::Schema<HandleState>().optional("container_id", &HandleState::container_id);
    return schema;
}

Error not_found(const std::string& task_id) {
    return make_error(Code::NotFound, "task not found for given id: {}", task_id);
}

Status check_output(const std::string& path, std::string_view which) {
    if (path.empty() || path_exists(path)) return {};
    return make_error(Code::NotFound, "{}: \"{}\" does not exist", which, path);
}

// What may be free again when the restart policy tries once more.
bool may_pass(const std::string& message) {
    for (const char* text :
         {"port is already allocated", "address already in use", "no space left on device"})
        if (message.find(text) != std::string::npos) return true;
    return false;
}

// A file that the namespace's owner would have written, were it not another container.
Status write_network_files(const sdk::TaskConfig& task, const DockerTaskConfig& config,
                           const std::string& dir, ContainerFacts& facts) {
    const sdk::DnsConfig dns = task.dns.value_or(sdk::DnsConfig());
    std::string resolv;
    for (const std::string& server : config.dns_servers.empty() ? dns.servers : config.dns_servers)
        resolv += "nameserver " + server + "\n";
    const auto& searches = config.dns_search_domains.empty() ? dns.searches : config.dns_search_domains;
    if (!searches.empty()) resolv += "search " + join(searches, " ") + "\n";
    const auto& options = config.dns_options.empty() ? dns.options : config.dns_options;
    if (!options.empty()) resolv += "options " + join(options, " ") + "\n";
    if (!resolv.empty()) {
        facts.resolv_conf = dir + "/resolv.conf";
        DROVER_CHECK(write_file(facts.resolv_conf, resolv, 0644));
    }
    std::string hosts;
    if (task.network_isolation->hosts)
        hosts +=
            task.network_isolation->hosts->address + " " + task.network_isolation->hosts->hostname + "\n";
    for (const std::string& entry : config.extra_hosts) {
        size_t colon = entry.find(':');
        if (colon == std::string::npos)
            return make_error(Code::InvalidArgument, "extra_hosts: expected \"name:address\", found \"{}\"",
                              entry);
        hosts += entry.substr(colon + 1) + " " + entry.substr(0, colon) + "\n";
    }
    if (!hosts.empty()) {
        facts.hosts = dir + "/hosts";
        DROVER_CHECK(write_file(facts.hosts, "127.0.0.1 localhost\n::1 localhost\n" + hosts, 0644));
    }
    return {};
}

Result<std::string> network_container(const sdk::TaskConfig& task) {
    if (!task.network_isolation || task.network_isolation->path.empty()) return std::string();
    const auto& labels = task.network_isolation->labels;
    auto found = labels.find("docker_sandbox_container_id");
    if (found == labels.end())
        return make_error(
            Code::FailedPrecondition,
            "the allocation's network {} was not made by the docker driver, a container cannot join it",
            task.network_isolation->path);
    return found->second;
}

}  // namespace

Result<sdk::StartedTask> DockerDriver::start_task(const sdk::TaskConfig& task) {
    if (find(task.id)) return make_error(Code::AlreadyExists, "task {} exists already", task.id);
    DROVER_TRY(DockerTaskConfig config, docker_task_schema().decode(task.msgpack_driver_config));
    DROVER_TRY(Core * core, this->core());
    // A host whose plugin died during StartTask asks its successor again: what the first one started is the
    // answer.
    DROVER_TRY(auto before, find_container(*core, task.id));
    auto stored = read_file(core->task_dir(task.id) + kRecordFile, 1 << 20);
    if (before && before->started_ns > 0 && stored) {
        DROVER_TRY(TaskRecord record, task_record_schema().decode(*stored));
        adopt(*core, std::move(record), before);
        return started(task, *before, config);
    }
    if (before) DROVER_CHECK(core->engine->remove(before->id));
    auto running = run_container(*core, task, config);
    if (running) return running;
    // Nothing of a start that failed is left; what cannot be removed now (no daemon) is found as dangling
    // later.
    if (auto half = find_container(*core, task.id); half && *half) (void)core->engine->remove((*half)->id);
    core->images.release(task.id, this->config());
    if (Status removed = remove_tree(core->task_dir(task.id)); !removed)
        log::warn(name(), "cannot clean up", {{"task", task.id}, {"error", removed.error().message()}});
    core->watch->poke_chores();
    return running;
}

Result<sdk::StartedTask> DockerDriver::run_container(Core& core, const sdk::TaskConfig& task,
                                                     const DockerTaskConfig& config) {
    DockerPluginConfig plugin = this->config();
    if (!plugin.disable_log_collection) {
        DROVER_CHECK(check_output(task.stdout_path, "stdout"));
        DROVER_CHECK(check_output(task.stderr_path, "stderr"));
    }
    // Before the pull: what the job has wrong is said at once. The daemon's runtimes are asked for later.
    {
        DockerTaskConfig early = config;
        early.runtime.clear();
        DROVER_CHECK(
            container_spec(task, early, plugin, {.image = config.image, .owner = "", .cpus = core.cpus}));
    }
    const std::string dir = core.task_dir(task.id);
    DROVER_CHECK(make_dirs(dir, 0700));
    DROVER_TRY(
        std::string image,
        core.images.acquire(task, config, plugin, [&](const std::string& message, const StringMap& notes) {
            tell(task.id, task.alloc_id, task.name, message, notes);
        }));
    TaskRecord record{.task_id = task.id,
                      .alloc_id = task.alloc_id,
                      .name = task.name,
                      .image_id = image,
                      .stdout_path = task.stdout_path,
                      .stderr_path = task.stderr_path,
                      .tty = config.tty,
                      .keep_container = !plugin.collection().container};
    DROVER_CHECK(write_file_durable(dir + kRecordFile, task_record_schema().encode(record)));
    DROVER_TRY(std::string id, make_container(core, task, config, record, dir));
    if (Status ran = core.engine->start(id); !ran) {
        const bool again = may_pass(ran.error().message()) || ran.error().retry() == Retry::Yes;
        return std::move(ran).error().context("start container").with_retry(again ? Retry::Yes : Retry::No);
    }
    DROVER_TRY(ContainerInfo info, core.engine->inspect(id));
    log::info(name(), "task started", {{"task", task.id}, {"container", id}, {"pid", info.pid}});
    adopt(core, std::move(record), info);
    return started(task, info, config);
}

Result<std::string> DockerDriver::make_container(Core& core, const sdk::TaskConfig& task,
                                                 const DockerTaskConfig& config, const TaskRecord& record,
                                                 const std::string& dir) {
    ContainerFacts facts{.image = record.image_id, .owner = core.owner, .cpus = core.cpus};
    DROVER_TRY(facts.network_container, network_container(task));
    if (!facts.network_container.empty()) DROVER_CHECK(write_network_files(task, config, dir, facts));
    if (!config.runtime.empty() || task.device_env.count("NVIDIA_VISIBLE_DEVICES")) {
        DROVER_TRY(DaemonInfo daemon, core.engine->info());
        facts.runtimes = daemon.runtimes;
    }
    DROVER_TRY(nlohmann::json body, container_spec(task, config, this->config(), facts));
    auto id = create_named(core, container_name(task), task, body);
    if (id) return id;
    Error error = std::move(id).error();
    // The image went away between the look and now.
    const bool again =
        error.retry() == Retry::Yes || error.code() == Code::NotFound || may_pass(error.message());
    return std::move(error).context("create container").with_retry(again ? Retry::Yes : Retry::No);
}

// A name that is taken is an older start's of the same task when it carries its labels: that one goes.
Result<std::string> DockerDriver::create_named(Core& core, const std::string& name,
                                               const sdk::TaskConfig& task, const nlohmann::json& body) {
    auto id = core.engine->create(name, body);
    if (id || id.error().code() != Code::AlreadyExists) return id;
    auto other = core.engine->inspect(name);
    if (!other) return id;
    auto label = [&](const char* key) {
        auto found = other->labels.find(key);
        return found == other->labels.end() ? std::string() : found->second;
    };
    if (label(kAllocLabel) != task.alloc_id || label(kTaskLabel).empty())
        return make_error(Code::FailedPrecondition,
                          "the name {} is taken by container {}, which is not drover's", name, other->id);
    // An ended one that its host still knows keeps its name.
    if (find(label(kTaskLabel)))
        return core.engine->create(name + "-" + task.id.substr(task.id.rfind('/') + 1), body);
    log::info(this->name(), "removing an older container of the task",
              {{"task", task.id}, {"container", other->id}});
    DROVER_CHECK(core.engine->remove(other->id));
    return core.engine->create(name, body);
}

sdk::StartedTask DockerDriver::started(const sdk::TaskConfig& task, const ContainerInfo& info,
                                       const DockerTaskConfig& config) {
    sdk::StartedTask out;
    out.handle = {.version = kHandleVersion,
                  .config = task,
                  .state = sdk::TaskState::Running,
                  .driver_state = handle_schema().encode({.container_id = info.id})};
    // A container with an address of its own: the daemon's networks only, an allocation's is known to the
    // agent.
    if (task.network_isolation || info.ip.empty()) return out;
    sdk::DriverNetwork network{
        .port_map = {}, .address = info.ip, .auto_advertise = info.network != "bridge"};
    for (const auto& [label, port] : config.port_map) network.port_map[label] = port;
    for (const sdk::PortMapping& port : task.resources.ports)
        if (std::find(config.ports.begin(), config.ports.end(), port.label) != config.ports.end())
            network.port_map[port.label] = port.to > 0 ? port.to : port.host_port;
    out.network = std::move(network);
    return out;
}

Result<std::optional<ContainerInfo>> DockerDriver::find_container(Core& core, const std::string& task_id) {
    DROVER_TRY(auto found, core.engine->list({std::string(kTaskLabel) + "=" + task_id}));
    if (found.empty()) return std::optional<ContainerInfo>();
    DROVER_TRY(ContainerInfo info, core.engine->inspect(found.front().id));
    return std::optional<ContainerInfo>(std::move(info));
}

DockerDriver::TaskPtr DockerDriver::adopt(Core& core, TaskRecord record,
                                          const std::optional<ContainerInfo>& info) {
    const std::string id = record.task_id;
    TaskPtr task = std::make_shared<DockerTask>(std::move(record), core.task_dir(id));
    if (info) task->seen(*info);
    {
        std::lock_guard lock(mutex_);
        auto [at, fresh] = tasks_.emplace(id, task);
        if (!fresh) return at->second;
    }
    core.images.adopt(id, task->record.image_id);
    if (info) follow(core, task);
    // Also when it ran a moment ago: its end may have come before the task was known here.
    look(core, task);
    return task;
}

void DockerDriver::follow(Core& core, const TaskPtr& task) {
    if (config().disable_log_collection) return;
    core.logs.add(task->record.task_id, {.container_id = task->container().id,
                                         .spool_dir = task->dir,
                                         .stdout_path = task->record.stdout_path,
                                         .stderr_path = task->record.stderr_path,
                                         .tty = task->record.tty});
}

Status DockerDriver::recover_task(const sdk::TaskHandle& handle) {
    const std::string& id = handle.config.id;
    if (find(id)) return {};
    if (!handle.driver_state.empty() && handle.version != kHandleVersion)
        return make_error(Code::InvalidArgument, "handle version: expected {}, found {}", kHandleVersion,
                          handle.version);
    DROVER_TRY(Core * core, this->core());
    auto stored = read_file(core->task_dir(id) + kRecordFile, 1 << 20);
    auto container = find_container(*core, id);
    // Without a daemon nothing is known to have ended: the task is taken as it was, and looked at when the
    // daemon is back.
    if (!container && !(container.error().retry() == Retry::Yes && stored))
        return std::move(container).error().context("recover task " + id);
    std::optional<ContainerInfo> info;
    if (container) info = *container;
    if (container && (!info || info->started_ns == 0)) return not_found(id);
    TaskRecord record{.task_id = id,
                      .alloc_id = handle.config.alloc_id,
                      .name = handle.config.name,
                      .image_id = info ? info->image_id : "",
                      .stdout_path = handle.config.stdout_path,
                      .stderr_path = handle.config.stderr_path,
                      .tty = info && info->tty,
                      .keep_container = !config().collection().container};
    if (stored) {
        DROVER_TRY(record, task_record_schema().decode(*stored));
    } else {
        DROVER_CHECK(make_dirs(core->task_dir(id), 0700));
        DROVER_CHECK(
            write_file_durable(core->task_dir(id) + kRecordFile, task_record_schema().encode(record)));
    }
    adopt(*core, std::move(record), info);
    log::info(name(), "task recovered", {{"task", id}, {"container", info ? info->id : "daemon is away"}});
    return {};
}

}  // namespace drover::drivers
