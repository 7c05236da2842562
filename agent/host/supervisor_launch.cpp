// SPDX-License-Identifier: Apache-2.0
// PluginSupervisor, first half: from a record or a file to a configured plugin. Every step that fails ends in
// lost().
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/host/config_json.h"
#include "agent/host/plugin_supervisor.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "cgroup/cgroup.h"
#include "plugin-sdk/wire/driver_wire.h"
#include "proto/model/model.pb.h"

namespace drover::agent {
namespace {

constexpr std::string_view kLog = "client.driver_mgr";

// "v0.1.0" and "0.1.0" are the same version.
bool same_api_version(std::string_view text) {
    if (starts_with(text, "v")) text.remove_prefix(1);
    return text == std::string_view(sdk::wire::kApiVersion).substr(1);
}

}  // namespace

std::string PluginSupervisor::config_hash(const Spec& spec) {
    std::string text = join(spec.args, "\x1f");
    if (spec.config) text += "\x1e" + config_to_json(*spec.config).value_or("?");
    sdk::wire::basepb::NomadConfig agent;
    sdk::wire::to_proto(spec.agent, &agent);
    text += "\x1e" + agent.SerializeAsString();
    // What the SDK's plugins read from their environment is configuration too.
    for (const char* name : {"DROVER_TASK_STATE_DIR", "DROVER_CGROUP_PARENT"}) {
        const auto value = spec.env.find(name);
        if (value != spec.env.end()) text += "\x1e" + value->second;
    }
    return hash_text(text);
}

void PluginSupervisor::begin() {
    if (stopping_) return;
    ++attempt_;
    auto boot = current_boot_id();
    if (!boot) return lost(boot.error().message());
    boot_id_ = *boot;
    auto record = read_record(record_path());
    if (record) return reattach(std::move(*record));
    if (record.error().code() != Code::NotFound) {
        log::warn(kLog, "the record of a plugin cannot be read, launching a new one",
                  {{"plugin", key_}, {"error", record.error().message()}});
    }
    launch();
}

// ---- reattach ----

// The recorded process, when it is beyond doubt the one we launched.
Result<PluginSupervisor::Survivor> PluginSupervisor::find_survivor(const PluginRecord& record) {
    if (record.boot_id != boot_id_) return make_error(Code::NotFound, "it is from before the last boot");
    Survivor out;
    DROVER_TRY(out.pidfd, open_pidfd(record.pid));
    // The pidfd first, then the comparison: the number cannot be given to another process between the two.
    DROVER_TRY(const uint64_t start_time, process_start_time(record.pid));
    if (start_time != record.start_time)
        return make_error(Code::NotFound, "process {} is another one by now", record.pid);
    if (record.address.address.empty()) return out;
    DROVER_TRY(out.rpc, PluginRpc::connect(record.address, limits_, io_));
    if (out.rpc->peer_pid() != record.peer_pid) {
        return make_error(Code::FailedPrecondition, "process {} answers on its socket, expected {}",
                          out.rpc->peer_pid(), record.peer_pid);
    }
    return out;
}

void PluginSupervisor::reattach(PluginRecord record) {
    set_state(PluginState::Reattaching, "");
    auto survivor = find_survivor(record);
    if (!survivor) {
        log::info(kLog, "plugin is not there any more, launching a new one",
                  {{"plugin", key_}, {"pid", record.pid}, {"reason", survivor.error().message()}});
        forget_process();
        return launch();
    }
    record_ = std::move(record);
    if (!record_.name.empty()) {  // whatever becomes of it: what it was called tells whose tasks wait for it
        std::lock_guard lock(status_mutex_);
        status_.name = record_.name;
        status_.type = record_.type;
    }
    if (!survivor->rpc) {  // the agent died in the middle of its launch: nobody has used it
        ::syscall(SYS_pidfd_send_signal, survivor->pidfd.get(), SIGKILL, nullptr, 0);
        forget_process();
        return launch();
    }
    PluginProcess::Streams streams;
    if (auto fifo = open_fifo_for_reading(spec_.dir + "/stdout")) streams.stdout_read = std::move(*fifo);
    if (auto fifo = open_fifo_for_reading(spec_.dir + "/stderr")) streams.stderr_read = std::move(*fifo);
    watch_process(record_.pid, std::move(survivor->pidfd), std::move(streams), false);
    {
        std::lock_guard lock(status_mutex_);
        status_.reattached = true;
    }
    rpc_ = std::move(survivor->rpc);

    std::string stale;
    if (spec_.file.empty())
        stale = "it is no longer installed or configured";
    else if (record_.file != spec_.file || identify_file(spec_.file).value_or("") != record_.file_id)
        stale = "its executable has changed";
    else if (record_.config_hash != config_hash(spec_))
        stale = "its configuration has changed";
    if (!stale.empty()) {
        log::info(kLog, "shutting down the running plugin",
                  {{"plugin", key_}, {"pid", record_.pid}, {"reason", stale}});
        return shut_down([this] { launch(); });
    }
    rpc_->plugin_info(
        limits_.reattach_ns, bound([this](Result<sdk::PluginInfo> info) {
            if (!info)
                return lost(
                    fmt::format("did not answer after the agent's restart: {}", info.error().message()));
            if (info->name != record_.name)
                return lost(fmt::format("calls itself \"{}\" now, was \"{}\"", info->name, record_.name));
            if (auto accepted = accept_info(*info); !accepted)
                return lost(accepted.error().message(), Retry::No);
            log::info(kLog, "reattached to plugin", {{"plugin", key_}, {"pid", record_.pid}});
            configured();  // SetConfig is never repeated on a live plugin
        }));
}

// ---- launch ----

void PluginSupervisor::launch() {
    if (stopping_) return;
    if (spec_.file.empty()) return ended();  // only here to end what ran
    ++attempt_;
    if (auto made = make_dirs(spec_.dir, 0700); !made) return lost(made.error().message());
    set_state(PluginState::Starting, status().reason);
    {
        std::lock_guard lock(status_mutex_);
        ++status_.launches;
        status_.reattached = false;
    }
    auto spawned = spawn();
    if (!spawned) return lost(spawned.error().message());
    for (const auto& warning : spawned->warnings) log::warn(kLog, warning, {{"plugin", key_}});
    watch_process(spawned->pid, std::move(spawned->pidfd),
                  {std::move(spawned->stdout_read), std::move(spawned->stderr_read)}, true);
    after(attempt_timer_, limits_.launch_ns, [this] {
        lost(fmt::format("timeout while waiting for plugin to start: no handshake in {}",
                         format_duration(limits_.launch_ns)));
    });
}

// What is no longer installed or configured, and does not run any more.
void PluginSupervisor::ended() {
    remove_traces();
    set_state(PluginState::Stopped, "no longer installed or configured");
    if (!std::exchange(settled_, true)) host_.settled(*this);
    answer_replacement({});
}

// Sockets (and their directories) of instances that died before they could remove them.
void PluginSupervisor::sweep_directory() {
    auto names = list_dir(spec_.dir);
    if (!names) return;
    for (const auto& name : *names) {
        if (name == "record.json" || name == "stdout" || name == "stderr") continue;
        if (auto swept = remove_tree(join_path(spec_.dir, name)); !swept) {
            log::warn(kLog, "leftover of a plugin stays", {{"error", swept.error().message()}});
        }
    }
}

Result<Spawned> PluginSupervisor::spawn() {
    sweep_directory();
    SpawnSpec spec;
    spec.file = spec_.file;
    spec.args = spec_.args;
    spec.env = spec_.env;
    spec.stdout_fifo = spec_.dir + "/stdout";
    spec.stderr_fifo = spec_.dir + "/stderr";
    if (!spec_.cgroup.empty()) {
        auto group = cgroup::Cgroup::create(spec_.cgroup);
        if (group)
            spec.cgroup_files = group->join_files();
        else
            log::warn(kLog, "plugin stays in the agent's cgroup",
                      {{"plugin", key_}, {"error", group.error().message()}});
    }
    record_ = PluginRecord();
    record_.boot_id = boot_id_;
    record_.file = spec_.file;
    record_.config_hash = config_hash(spec_);
    DROVER_TRY(record_.file_id, identify_file(spec_.file));
    return spawn_plugin(spec, [this](pid_t pid) -> Status {
        record_.pid = pid;
        DROVER_TRY(record_.start_time, process_start_time(pid));
        return write_record(record_path(), record_);
    });
}

void PluginSupervisor::on_handshake(const std::string& line) {
    attempt_timer_.cancel();
    auto address = parse_handshake(line);
    if (!address) return lost(address.error().message());
    auto rpc = PluginRpc::connect(*address, limits_, io_);
    if (!rpc) return lost(rpc.error().message());
    record_.address = *address;
    record_.peer_pid = (*rpc)->peer_pid();
    connected(std::move(*rpc));
}

void PluginSupervisor::connected(std::shared_ptr<PluginRpc> rpc) {
    rpc_ = std::move(rpc);
    rpc_->plugin_info(limits_.call_ns, bound([this](Result<sdk::PluginInfo> info) {
                          if (!info) return lost(info.error().message());
                          if (auto accepted = accept_info(*info); !accepted)
                              return lost(accepted.error().message(), Retry::No);
                          // From here on it can be found again, and not before: what it does next counts.
                          if (auto written = write_record(record_path(), record_); !written)
                              return lost(written.error().message());
                          configure();
                      }));
}

// Type, name, versions; claims the driver's name.
Status PluginSupervisor::accept_info(const sdk::PluginInfo& info) {
    if (info.name.empty()) return make_error(Code::FailedPrecondition, "the plugin does not tell its name");
    if (info.type != sdk::PluginType::Driver && info.type != sdk::PluginType::Device) {
        return make_error(Code::FailedPrecondition, "plugin \"{}\" is of the unknown type {}", info.name,
                          static_cast<int>(info.type));
    }
    const auto version = std::find_if(info.api_versions.begin(), info.api_versions.end(), same_api_version);
    if (version == info.api_versions.end()) {
        return make_error(Code::FailedPrecondition, "plugin \"{}\" speaks API version {}, this agent {}",
                          info.name, info.api_versions.empty() ? "none" : join(info.api_versions, ", "),
                          sdk::wire::kApiVersion);
    }
    const bool driver = info.type == sdk::PluginType::Driver;
    {
        std::lock_guard lock(status_mutex_);
        status_.name = info.name;
        status_.type = driver ? "driver" : "device";
        status_.version = info.version;
        status_.api_version = *version;
    }
    record_.name = info.name;
    record_.type = driver ? "driver" : "device";
    record_.api_version = *version;
    if (!driver) {
        DROVER_TRY(devices_, host_.claim_devices(*this, info.name, info.version));
        client_.reset();
        return {};
    }
    DROVER_TRY(client_, host_.claim_driver(*this, info.name, info.version));
    devices_.reset();
    return {};
}

void PluginSupervisor::configure() {
    rpc_->config_schema(bound([this](Result<std::optional<ConfigSchema>> schema) {
        if (!schema) return lost(schema.error().message());
        if (!*schema) {
            if (spec_.config && spec_.config->fields_size() != 0) {
                return lost("the plugin block has a config, but the plugin takes none", Retry::No);
            }
            return set_config("");
        }
        auto encoded = (*schema)->to_msgpack(spec_.config ? *spec_.config : model::MapValue(), nullptr);
        if (!encoded)
            return lost(fmt::format("plugin \"{}\": config: {}", spec_.key, encoded.error().message()),
                        Retry::No);
        set_config(std::move(*encoded));
    }));
}

void PluginSupervisor::set_config(std::string msgpack) {
    rpc_->set_config(std::move(msgpack), spec_.agent, record_.api_version,
                     bound([this](Status configured_status) {
                         if (!configured_status)
                             return lost(fmt::format("SetConfig: {}", configured_status.error().message()));
                         configured();
                     }));
}

// Configured now, or by an earlier agent.
void PluginSupervisor::configured() {
    stdio_ = rpc_->stdio(
        [process = std::weak_ptr(process_), strand = strand_](const std::string& bytes) {
            boost::asio::post(strand, [process, bytes] {
                if (auto alive = process.lock()) alive->log_output(bytes);
            });
        },
        [](Status) {});  // a plugin need not have it
    if (record_.type != "driver") return devices_ready();
    rpc_->driver_init(bound([this](Status initialised) {
        if (!initialised) return lost(fmt::format("init of plugin: {}", initialised.error().message()));
        rpc_->task_config_schema(bound([this](Result<ConfigSchema> schema) {
            if (!schema) return lost(schema.error().message());
            rpc_->capabilities(
                bound([this, schema = std::move(*schema)](Result<sdk::Capabilities> capabilities) {
                    if (!capabilities) return lost(capabilities.error().message());
                    driver_ready(schema, std::move(*capabilities));
                }));
        }));
    }));
}

void PluginSupervisor::driver_ready(ConfigSchema schema, sdk::Capabilities capabilities) {
    open_fingerprint();
    open_task_events();
    healthy();
    client_->attach(rpc_, std::move(schema), std::move(capabilities), record_.file_id);
}

}  // namespace drover::agent
