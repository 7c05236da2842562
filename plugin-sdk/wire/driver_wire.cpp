// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/wire/driver_wire.h"

namespace drover::sdk::wire {
namespace {

template <class M>
StringMap string_map(const M& in) {
    return StringMap(in.begin(), in.end());
}
template <class In, class Out>
void fill_map(const In& in, Out* out) {
    for (const auto& [key, value] : in) (*out)[key] = value;
}
template <class T, class R>
void fill_list(const std::vector<T>& in, R* out) {
    out->Assign(in.begin(), in.end());
}
std::vector<std::string> string_list(const google::protobuf::RepeatedPtrField<std::string>& in) {
    return {in.begin(), in.end()};
}

// Enums arrive as any number: what we do not know becomes the given fallback, as Nomad does.
template <class E>
E known_enum(int value, int highest, E fallback) {
    return value >= 0 && value <= highest ? static_cast<E>(value) : fallback;
}

}  // namespace

// --- plugin

void to_proto(const PluginInfo& in, basepb::PluginInfoResponse* out) {
    out->set_type(static_cast<basepb::PluginType>(in.type));
    out->set_name(in.name);
    out->set_plugin_version(in.version);
    for (const std::string& version : in.api_versions) out->add_plugin_api_versions(version);
}

PluginInfo from_proto(const basepb::PluginInfoResponse& in) {
    PluginInfo out;
    if (in.type() == basepb::DRIVER) out.type = PluginType::Driver;
    if (in.type() == basepb::DEVICE) out.type = PluginType::Device;
    out.name = in.name();
    out.version = in.plugin_version();
    out.api_versions = string_list(in.plugin_api_versions());
    return out;
}

void to_proto(const AgentConfig& in, basepb::NomadConfig* out) {
    basepb::NomadDriverConfig* driver = out->mutable_driver();
    driver->set_clientminport(in.port_min);
    driver->set_clientmaxport(in.port_max);
    if (!in.topology) return;
    const Topology& from = *in.topology;
    basepb::ClientTopology* topology = driver->mutable_topology();
    fill_list(from.numa_node_ids, topology->mutable_node_ids());
    topology->mutable_distances()->set_dimension(from.distance_dimension);
    fill_list(from.distances, topology->mutable_distances()->mutable_values());
    topology->set_override_total_compute(from.override_total_mhz);
    topology->set_override_withold_compute(from.override_withheld_mhz);
    for (const CpuCore& core : from.cores) {
        basepb::ClientTopologyCore* to = topology->add_cores();
        to->set_socket_id(core.socket_id);
        to->set_node_id(core.node_id);
        to->set_core_id(core.core_id);
        to->set_core_grade(static_cast<basepb::CoreGrade>(core.grade));
        to->set_disable(core.disabled);
        to->set_base_speed(core.base_mhz);
        to->set_max_speed(core.max_mhz);
        to->set_guess_speed(core.guess_mhz);
    }
}

Result<AgentConfig> from_proto(const basepb::NomadConfig& in) {
    AgentConfig out;
    out.port_min = in.driver().clientminport();
    out.port_max = in.driver().clientmaxport();
    if (!in.driver().has_topology()) return out;
    const basepb::ClientTopology& from = in.driver().topology();
    uint64_t dimension = from.distances().dimension();
    if (dimension * dimension != static_cast<uint64_t>(from.distances().values_size())) {
        return make_error(Code::InvalidArgument,
                          "nomad_config.driver.Topology.distances: dimension {} needs {} values, found {}", dimension,
                          dimension * dimension, from.distances().values_size());
    }
    Topology topology;
    topology.numa_node_ids.assign(from.node_ids().begin(), from.node_ids().end());
    topology.distance_dimension = from.distances().dimension();
    topology.distances.assign(from.distances().values().begin(), from.distances().values().end());
    topology.override_total_mhz = from.override_total_compute();
    topology.override_withheld_mhz = from.override_withold_compute();
    for (const basepb::ClientTopologyCore& core : from.cores()) {
        topology.cores.push_back({.socket_id = core.socket_id(),
                                  .node_id = core.node_id(),
                                  .core_id = core.core_id(),
                                  .grade = known_enum(core.core_grade(), 1, CpuCore::Grade::Performance),
                                  .disabled = core.disable(),
                                  .base_mhz = core.base_speed(),
                                  .max_mhz = core.max_speed(),
                                  .guess_mhz = core.guess_speed()});
    }
    out.topology = std::move(topology);
    return out;
}

void to_proto(const Attribute& in, structspb::Attribute* out) {
    struct Fill {
        structspb::Attribute* out;
        void operator()(std::monostate) const { out->set_string_val(""); }  // no value at all breaks Nomad's hosts
        void operator()(bool v) const { out->set_bool_val(v); }
        void operator()(int64_t v) const { out->set_int_val(v); }
        void operator()(double v) const { out->set_float_val(v); }
        void operator()(const std::string& v) const { out->set_string_val(v); }
    };
    std::visit(Fill{out}, in.value);
    out->set_unit(in.unit);
}

Attribute from_proto(const structspb::Attribute& in) {
    Attribute out;
    switch (in.value_case()) {
        case structspb::Attribute::kFloatVal: out.value = in.float_val(); break;
        case structspb::Attribute::kIntVal: out.value = in.int_val(); break;
        case structspb::Attribute::kStringVal: out.value = in.string_val(); break;
        case structspb::Attribute::kBoolVal: out.value = in.bool_val(); break;
        case structspb::Attribute::VALUE_NOT_SET: break;
    }
    out.unit = in.unit();
    return out;
}

void to_proto(const Capabilities& in, driverpb::DriverCapabilities* out) {
    out->set_send_signals(in.send_signals);
    out->set_exec(in.exec);
    out->set_fs_isolation(static_cast<driverpb::DriverCapabilities::FSIsolation>(in.fs_isolation));
    for (NetworkMode mode : in.network_modes)
        out->add_network_isolation_modes(static_cast<driverpb::NetworkIsolationSpec::NetworkIsolationMode>(mode));
    out->set_must_create_network(in.must_create_network);
    out->set_mount_configs(in.accepts_mounts ? driverpb::DriverCapabilities::ANY_MOUNTS
                                             : driverpb::DriverCapabilities::NO_MOUNTS);
    out->set_disable_log_collection(in.disable_log_collection);
    out->set_dynamic_workload_users(in.dynamic_workload_users);
}

Capabilities from_proto(const driverpb::DriverCapabilities& in) {
    Capabilities out;
    out.send_signals = in.send_signals();
    out.exec = in.exec();
    out.fs_isolation = known_enum(in.fs_isolation(), 3, FsIsolation::None);
    for (int mode : in.network_isolation_modes())
        if (mode >= 0 && mode <= 3) out.network_modes.push_back(static_cast<NetworkMode>(mode));
    out.must_create_network = in.must_create_network();
    out.accepts_mounts = in.mount_configs() != driverpb::DriverCapabilities::NO_MOUNTS;
    out.disable_log_collection = in.disable_log_collection();
    out.dynamic_workload_users = in.dynamic_workload_users();
    return out;
}

void to_proto(const Fingerprint& in, driverpb::FingerprintResponse* out) {
    for (const auto& [key, value] : in.attributes) to_proto(value, &(*out->mutable_attributes())[key]);
    out->set_health(static_cast<driverpb::FingerprintResponse::HealthState>(in.health));
    out->set_health_description(in.description);
    out->set_err(in.error);
}

Fingerprint from_proto(const driverpb::FingerprintResponse& in) {
    Fingerprint out;
    for (const auto& [key, value] : in.attributes()) out.attributes.emplace(key, from_proto(value));
    out.health = known_enum(in.health(), 2, Health::Undetected);
    out.description = in.health_description();
    out.error = in.err();
    return out;
}

// --- a task's config

void to_proto(const Resources& in, driverpb::Resources* out) {
    driverpb::AllocatedTaskResources* allocated = out->mutable_allocated_resources();
    allocated->mutable_cpu()->set_cpu_shares(in.cpu_mhz);
    allocated->mutable_memory()->set_memory_mb(in.memory_mb);
    allocated->mutable_memory()->set_memory_max_mb(in.memory_max_mb);
    for (const NetworkResource& network : in.networks) {
        driverpb::NetworkResource* to = allocated->add_networks();
        to->set_device(network.device);
        to->set_cidr(network.cidr);
        to->set_ip(network.ip);
        to->set_mbits(network.mbits);
        auto add = [](driverpb::NetworkPort* port, const NetworkPort& from) {
            port->set_label(from.label);
            port->set_value(from.value);
        };
        for (const NetworkPort& port : network.reserved_ports) add(to->add_reserved_ports(), port);
        for (const NetworkPort& port : network.dynamic_ports) add(to->add_dynamic_ports(), port);
    }
    const LinuxResources& from = in.linux_resources;
    driverpb::LinuxResources* limits = out->mutable_linux_resources();
    limits->set_cpu_period(from.cpu_period_us);
    limits->set_cpu_quota(from.cpu_quota_us);
    limits->set_cpu_shares(from.cpu_shares);
    limits->set_memory_limit_bytes(from.memory_limit_bytes);
    limits->set_oom_score_adj(from.oom_score_adj);
    limits->set_cpuset_cpus(from.cpuset_cpus);
    limits->set_percentticks(from.compute_fraction);
    limits->set_cpuset_cgroup(from.cpuset_cgroup);
    for (const PortMapping& port : in.ports) {
        driverpb::PortMapping* to = out->add_ports();
        to->set_label(port.label);
        to->set_value(port.host_port);
        to->set_to(port.to);
        to->set_host_ip(port.host_ip);
    }
}

Resources from_proto(const driverpb::Resources& in) {
    Resources out;
    const driverpb::AllocatedTaskResources& allocated = in.allocated_resources();
    out.cpu_mhz = allocated.cpu().cpu_shares();
    out.memory_mb = allocated.memory().memory_mb();
    out.memory_max_mb = allocated.memory().memory_max_mb();
    for (const driverpb::NetworkResource& network : allocated.networks()) {
        NetworkResource to{.device = network.device(),
                           .cidr = network.cidr(),
                           .ip = network.ip(),
                           .mbits = network.mbits(),
                           .reserved_ports = {},
                           .dynamic_ports = {}};
        for (const auto& port : network.reserved_ports()) to.reserved_ports.push_back({port.label(), port.value()});
        for (const auto& port : network.dynamic_ports()) to.dynamic_ports.push_back({port.label(), port.value()});
        out.networks.push_back(std::move(to));
    }
    const driverpb::LinuxResources& limits = in.linux_resources();
    out.linux_resources = {.cpu_period_us = limits.cpu_period(),
                           .cpu_quota_us = limits.cpu_quota(),
                           .cpu_shares = limits.cpu_shares(),
                           .memory_limit_bytes = limits.memory_limit_bytes(),
                           .oom_score_adj = limits.oom_score_adj(),
                           .cpuset_cpus = limits.cpuset_cpus(),
                           .compute_fraction = limits.percentticks(),
                           .cpuset_cgroup = limits.cpuset_cgroup()};
    for (const driverpb::PortMapping& port : in.ports())
        out.ports.push_back({port.label(), port.value(), port.to(), port.host_ip()});
    return out;
}

void to_proto(const NetworkIsolation& in, driverpb::NetworkIsolationSpec* out) {
    out->set_mode(static_cast<driverpb::NetworkIsolationSpec::NetworkIsolationMode>(in.mode));
    out->set_path(in.path);
    fill_map(in.labels, out->mutable_labels());
    if (in.hosts) {
        out->mutable_hostsconfig()->set_hostname(in.hosts->hostname);
        out->mutable_hostsconfig()->set_address(in.hosts->address);
    }
}

NetworkIsolation from_proto(const driverpb::NetworkIsolationSpec& in) {
    NetworkIsolation out;
    out.mode = known_enum(in.mode(), 3, NetworkMode::Host);
    out.path = in.path();
    out.labels = string_map(in.labels());
    if (in.has_hostsconfig()) out.hosts = HostsConfig{in.hostsconfig().hostname(), in.hostsconfig().address()};
    return out;
}

void to_proto(const TaskConfig& in, driverpb::TaskConfig* out) {
    out->set_id(in.id);
    out->set_name(in.name);
    out->set_msgpack_driver_config(in.msgpack_driver_config);
    fill_map(in.env, out->mutable_env());
    fill_map(in.device_env, out->mutable_device_env());
    to_proto(in.resources, out->mutable_resources());
    for (const Mount& mount : in.mounts) {
        driverpb::Mount* to = out->add_mounts();
        to->set_task_path(mount.task_path);
        to->set_host_path(mount.host_path);
        to->set_readonly(mount.read_only);
        to->set_propagation_mode(mount.propagation_mode);
        to->set_selinux_label(mount.selinux_label);
        to->set_request_name(mount.request_name);
    }
    for (const DeviceNode& device : in.devices) {
        driverpb::Device* to = out->add_devices();
        to->set_task_path(device.task_path);
        to->set_host_path(device.host_path);
        to->set_cgroup_permissions(device.cgroup_permissions);
    }
    out->set_user(in.user);
    out->set_alloc_dir(in.alloc_dir);
    out->set_stdout_path(in.stdout_path);
    out->set_stderr_path(in.stderr_path);
    out->set_task_group_name(in.task_group_name);
    out->set_job_name(in.job_name);
    out->set_alloc_id(in.alloc_id);
    if (in.network_isolation) to_proto(*in.network_isolation, out->mutable_network_isolation_spec());
    if (in.dns) {
        fill_list(in.dns->servers, out->mutable_dns()->mutable_servers());
        fill_list(in.dns->searches, out->mutable_dns()->mutable_searches());
        fill_list(in.dns->options, out->mutable_dns()->mutable_options());
    }
    out->set_job_id(in.job_id);
    out->set_namespace_(in.namespace_name);
    out->set_node_name(in.node_name);
    out->set_node_id(in.node_id);
    out->set_parent_job_id(in.parent_job_id);
}

TaskConfig from_proto(const driverpb::TaskConfig& in) {
    TaskConfig out;
    out.id = in.id();
    out.name = in.name();
    out.msgpack_driver_config = in.msgpack_driver_config();
    out.env = string_map(in.env());
    out.device_env = string_map(in.device_env());
    out.resources = from_proto(in.resources());
    for (const driverpb::Mount& mount : in.mounts()) {
        out.mounts.push_back({mount.task_path(), mount.host_path(), mount.readonly(), mount.propagation_mode(),
                              mount.selinux_label(), mount.request_name()});
    }
    for (const driverpb::Device& device : in.devices())
        out.devices.push_back({device.task_path(), device.host_path(), device.cgroup_permissions()});
    out.user = in.user();
    out.alloc_dir = in.alloc_dir();
    out.stdout_path = in.stdout_path();
    out.stderr_path = in.stderr_path();
    out.task_group_name = in.task_group_name();
    out.job_name = in.job_name();
    out.alloc_id = in.alloc_id();
    if (in.has_network_isolation_spec()) out.network_isolation = from_proto(in.network_isolation_spec());
    if (in.has_dns()) {
        out.dns = DnsConfig{string_list(in.dns().servers()), string_list(in.dns().searches()),
                            string_list(in.dns().options())};
    }
    out.job_id = in.job_id();
    out.namespace_name = in.namespace_();
    out.node_name = in.node_name();
    out.node_id = in.node_id();
    out.parent_job_id = in.parent_job_id();
    return out;
}

// --- a task's life

void to_proto(const TaskHandle& in, driverpb::TaskHandle* out) {
    out->set_version(in.version);
    to_proto(in.config, out->mutable_config());
    out->set_state(static_cast<driverpb::TaskState>(in.state));
    out->set_driver_state(in.driver_state);
}

TaskHandle from_proto(const driverpb::TaskHandle& in) {
    return {.version = in.version(),
            .config = from_proto(in.config()),
            .state = known_enum(in.state(), 2, TaskState::Unknown),
            .driver_state = in.driver_state()};
}

void to_proto(const DriverNetwork& in, driverpb::NetworkOverride* out) {
    fill_map(in.port_map, out->mutable_port_map());
    out->set_addr(in.address);
    out->set_auto_advertise(in.auto_advertise);
}

DriverNetwork from_proto(const driverpb::NetworkOverride& in) {
    return {.port_map = {in.port_map().begin(), in.port_map().end()},
            .address = in.addr(),
            .auto_advertise = in.auto_advertise()};
}

void to_proto(const StartedTask& in, driverpb::StartTaskResponse* out) {
    to_proto(in.handle, out->mutable_handle());
    if (in.network) to_proto(*in.network, out->mutable_network_override());
}

StartedTask from_proto(const driverpb::StartTaskResponse& in) {
    StartedTask out{.handle = from_proto(in.handle()), .network = {}};
    if (in.has_network_override()) out.network = from_proto(in.network_override());
    return out;
}

void to_proto(const ExitResult& in, driverpb::ExitResult* out) {
    out->set_exit_code(in.exit_code);
    out->set_signal(in.signal);
    out->set_oom_killed(in.oom_killed);
}

ExitResult from_proto(const driverpb::ExitResult& in) {
    return {.exit_code = in.exit_code(), .signal = in.signal(), .oom_killed = in.oom_killed(), .error = ""};
}

void to_proto(const ExitResult& in, driverpb::WaitTaskResponse* out) {
    to_proto(in, out->mutable_result());
    out->set_err(in.error);
}

ExitResult from_proto(const driverpb::WaitTaskResponse& in) {
    ExitResult out = from_proto(in.result());
    out.error = in.err();
    return out;
}

void to_proto(const TaskStatus& in, driverpb::InspectTaskResponse* out) {
    driverpb::TaskStatus* task = out->mutable_task();
    task->set_id(in.id);
    task->set_name(in.name);
    task->set_state(static_cast<driverpb::TaskState>(in.state));
    *task->mutable_started_at() = timestamp_to_proto(in.started_unix_ns);
    *task->mutable_completed_at() = timestamp_to_proto(in.completed_unix_ns);
    to_proto(in.exit, task->mutable_result());
    fill_map(in.attributes, out->mutable_driver()->mutable_attributes());
    if (in.network) to_proto(*in.network, out->mutable_network_override());
}

TaskStatus from_proto(const driverpb::InspectTaskResponse& in) {
    TaskStatus out{.id = in.task().id(),
                   .name = in.task().name(),
                   .state = known_enum(in.task().state(), 2, TaskState::Unknown),
                   .started_unix_ns = timestamp_from_proto(in.task().started_at()),
                   .completed_unix_ns = timestamp_from_proto(in.task().completed_at()),
                   .exit = from_proto(in.task().result()),
                   .attributes = string_map(in.driver().attributes()),
                   .network = {}};
    if (in.has_network_override()) out.network = from_proto(in.network_override());
    return out;
}

void to_proto(const TaskEvent& in, driverpb::DriverTaskEvent* out) {
    out->set_task_id(in.task_id);
    out->set_alloc_id(in.alloc_id);
    out->set_task_name(in.task_name);
    *out->mutable_timestamp() = timestamp_to_proto(in.timestamp_unix_ns);
    out->set_message(in.message);
    fill_map(in.annotations, out->mutable_annotations());
}

TaskEvent from_proto(const driverpb::DriverTaskEvent& in) {
    return {.task_id = in.task_id(),
            .alloc_id = in.alloc_id(),
            .task_name = in.task_name(),
            .timestamp_unix_ns = timestamp_from_proto(in.timestamp()),
            .message = in.message(),
            .annotations = string_map(in.annotations())};
}

void to_proto(const ExecOutput& in, driverpb::ExecTaskResponse* out) {
    out->set_stdout(in.stdout_bytes);
    out->set_stderr(in.stderr_bytes);
    to_proto(in.exit, out->mutable_result());
}

ExecOutput from_proto(const driverpb::ExecTaskResponse& in) {
    return {.stdout_bytes = in.stdout(), .stderr_bytes = in.stderr(), .exit = from_proto(in.result())};
}

void to_proto(const CreatedNetwork& in, driverpb::CreateNetworkResponse* out) {
    to_proto(in.network, out->mutable_isolation_spec());
    out->set_created(in.created);
}

CreatedNetwork from_proto(const driverpb::CreateNetworkResponse& in) {
    return {.network = from_proto(in.isolation_spec()), .created = in.created()};
}

}  // namespace drover::sdk::wire
