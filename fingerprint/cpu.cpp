// SPDX-License-Identifier: Apache-2.0
// Cores, sockets, NUMA nodes and their distances by hwloc; speeds by sysfs and /proc/cpuinfo; what of it may
// be given away by the configuration and the machine's cpuset.
#include <hwloc.h>
#include <sys/utsname.h>

#include <cmath>
#include <set>

#include "base/strings.h"
#include "fingerprint/detector.h"

namespace drover::fingerprint {
namespace {

struct Core {
    uint32_t id = 0;
    uint32_t socket = 0;
    uint32_t numa = 0;
    bool efficient = false;  // an efficiency core of a hybrid processor
    bool allowed = true;     // by the cpuset this machine (or container) has
    uint64_t base_mhz = 0;
    uint64_t max_mhz = 0;
    uint64_t mhz() const { return max_mhz > base_mhz && base_mhz == 0 ? max_mhz : base_mhz; }
};

struct Machine {
    std::vector<Core> cores;  // by id
    std::vector<uint32_t> numa_nodes;
    std::vector<std::vector<uint32_t>> distances;  // empty: the firmware does not tell
};

class Topology {
 public:
    // IO devices are not wanted here, and the components that look for GPUs load half a desktop: they stay
    // out.
    static Result<std::unique_ptr<Topology>> load() {
        std::unique_ptr<Topology> out(new Topology);
        if (hwloc_topology_init(&out->topology_) != 0)
            return make_error(Code::Internal, "hwloc_topology_init failed");
        for (const char* component : {"gl", "opencl", "cuda", "nvml", "rsmi", "levelzero", "pci"}) {
            hwloc_topology_set_components(out->topology_, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST,
                                          component);
        }
        hwloc_topology_set_flags(out->topology_, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
        if (hwloc_topology_load(out->topology_) != 0) return Error::from_errno("hwloc_topology_load");
        return out;
    }
    ~Topology() {
        if (topology_) hwloc_topology_destroy(topology_);
    }
    Topology(const Topology&) = delete;
    Topology& operator=(const Topology&) = delete;

    Machine read() const {
        Machine out;
        const auto allowed = hwloc_topology_get_allowed_cpuset(topology_);
        for (hwloc_obj_t pu = nullptr; (pu = hwloc_get_next_obj_by_type(topology_, HWLOC_OBJ_PU, pu));) {
            Core core;
            core.id = pu->os_index;
            core.allowed = hwloc_bitmap_isset(allowed, pu->os_index) != 0;
            if (const auto package = hwloc_get_ancestor_obj_by_type(topology_, HWLOC_OBJ_PACKAGE, pu)) {
                core.socket =
                    package->os_index == HWLOC_UNKNOWN_INDEX ? package->logical_index : package->os_index;
            }
            const int numa = pu->nodeset ? hwloc_bitmap_first(pu->nodeset) : -1;
            core.numa = numa < 0 ? 0 : static_cast<uint32_t>(numa);
            out.cores.push_back(core);
        }
        std::sort(out.cores.begin(), out.cores.end(),
                  [](const Core& a, const Core& b) { return a.id < b.id; });
        for (hwloc_obj_t node = nullptr;
             (node = hwloc_get_next_obj_by_type(topology_, HWLOC_OBJ_NUMANODE, node));) {
            out.numa_nodes.push_back(node->os_index);
        }
        std::sort(out.numa_nodes.begin(), out.numa_nodes.end());
        mark_efficient(&out);
        read_distances(&out);
        return out;
    }

 private:
    Topology() = default;

    // Hybrid processors: hwloc ranks the kinds of cores, the last one is the strongest.
    void mark_efficient(Machine* out) const {
        const int kinds = hwloc_cpukinds_get_nr(topology_, 0);
        for (int kind = 0; kind + 1 < kinds; ++kind) {
            int efficiency = -1;
            const auto set = hwloc_bitmap_alloc();
            if (hwloc_cpukinds_get_info(topology_, static_cast<unsigned>(kind), set, &efficiency, nullptr,
                                        nullptr, 0) == 0 &&
                efficiency >= 0) {
                for (auto& core : out->cores) {
                    if (hwloc_bitmap_isset(set, core.id)) core.efficient = true;
                }
            }
            hwloc_bitmap_free(set);
        }
    }

    void read_distances(Machine* out) const {
        unsigned count = 1;
        hwloc_distances_s* latency = nullptr;
        if (hwloc_distances_get_by_type(topology_, HWLOC_OBJ_NUMANODE, &count, &latency,
                                        HWLOC_DISTANCES_KIND_MEANS_LATENCY, 0) != 0 ||
            count == 0) {
            return;
        }
        if (latency->nbobjs == out->numa_nodes.size()) {
            for (unsigned row = 0; row < latency->nbobjs; ++row) {
                auto& values = out->distances.emplace_back();
                for (unsigned column = 0; column < latency->nbobjs; ++column) {
                    values.push_back(static_cast<uint32_t>(latency->values[row * latency->nbobjs + column]));
                }
            }
        }
        hwloc_distances_release(topology_, latency);
    }

    hwloc_topology_t topology_ = nullptr;
};

struct CpuInfo {
    std::string model;
    double mhz = 0;
};

CpuInfo read_cpuinfo(const Input& input) {
    CpuInfo out;
    for (const auto& line : split(read_line(input, "/proc/cpuinfo"), '\n')) {
        const auto colon = line.find(':');
        if (colon == std::string::npos) continue;
        const auto key = trim(std::string_view(line).substr(0, colon));
        const auto value = trim(std::string_view(line).substr(colon + 1));
        if (key == "model name" && out.model.empty()) out.model = value;
        if (key == "cpu MHz") out.mhz = std::max(out.mhz, parse_double(value).value_or(0));
    }
    return out;
}

void read_speeds(const Input& input, double cpuinfo_mhz, Machine* machine) {
    for (auto& core : machine->cores) {
        const std::string dir = fmt::format("/sys/devices/system/cpu/cpu{}/cpufreq/", core.id);
        core.base_mhz = parse_uint(read_line(input, dir + "base_frequency")).value_or(0) / 1000;
        core.max_mhz = parse_uint(read_line(input, dir + "cpuinfo_max_freq")).value_or(0) / 1000;
        if (core.mhz() == 0) core.base_mhz = static_cast<uint64_t>(std::llround(cpuinfo_mhz));
        if (core.mhz() == 0)
            core.base_mhz = 1000;  // neither tells (some ARM machines): better than no capacity at all
    }
}

std::string go_arch(std::string machine) {
    if (machine == "x86_64") return "amd64";
    if (machine == "aarch64") return "arm64";
    if (machine == "i686" || machine == "i386") return "386";
    return machine;
}

// The cores that tasks may reserve: those of the machine's cpuset, of reservable_cores, less reserved.cores.
Status disable_cores(const Input& input, model::NodeTopology* topology) {
    const auto& client = input.config.client();
    const auto list = [](std::string_view key, const std::string& text) -> Result<std::set<uint64_t>> {
        auto ids = parse_id_list(text);
        if (!ids) return std::move(ids).error().context(fmt::format("client: {}", key));
        return std::set<uint64_t>(ids->begin(), ids->end());
    };
    DROVER_TRY(const auto reservable, list("reservable_cores", client.reservable_cores()));
    DROVER_TRY(const auto reserved, list("reserved: cores", client.reserved().cores()));
    std::set<uint64_t> known;
    for (const auto& core : topology->cores()) known.insert(core.id());
    for (const auto& [key, ids] :
         {std::pair("reservable_cores", reservable), std::pair("reserved: cores", reserved)}) {
        for (uint64_t id : ids) {
            if (known.count(id) == 0)
                return make_error(Code::InvalidArgument, "client: {}: there is no core {} on this machine",
                                  key, id);
        }
    }
    for (auto& core : *topology->mutable_cores()) {
        if ((!reservable.empty() && reservable.count(core.id()) == 0) || reserved.count(core.id()) != 0)
            core.set_disable(true);
    }
    return {};
}

model::NodeTopology to_model(const Machine& machine) {
    model::NodeTopology out;
    for (uint32_t id : machine.numa_nodes) out.add_node_ids(id);
    for (const auto& row : machine.distances) {
        auto* values = out.add_distances();
        for (uint32_t value : row) values->add_values(value);
    }
    for (const auto& core : machine.cores) {
        auto* to = out.add_cores();
        to->set_id(core.id);
        to->set_socket_id(core.socket);
        to->set_node_id(core.numa);
        to->set_grade(!core.efficient);
        to->set_disable(!core.allowed);
        to->set_base_speed(core.base_mhz);
        to->set_max_speed(core.max_mhz);
    }
    return out;
}

void describe_numa(const Machine& machine, model::Node& node) {
    set_attribute(node, "numa.node.count", std::to_string(std::max<size_t>(machine.numa_nodes.size(), 1)));
    std::map<uint32_t, std::vector<uint32_t>> by_node;
    for (const auto& core : machine.cores) by_node[core.numa].push_back(core.id);
    for (const auto& [id, cores] : by_node)
        set_attribute(node, fmt::format("numa.node{}.cores", id), format_id_list(cores));
}

void describe_speeds(const Machine& machine, model::Node& node) {
    std::map<bool, std::pair<uint64_t, uint64_t>> kinds;  // efficient -> count, MHz
    for (const auto& core : machine.cores) {
        auto& [count, mhz] = kinds[core.efficient];
        ++count;
        mhz = std::max(mhz, core.mhz());
    }
    set_attribute(node, "cpu.numcores", std::to_string(machine.cores.size()));
    if (kinds.size() == 1)
        return set_attribute(node, "cpu.frequency", std::to_string(kinds.begin()->second.second));
    for (const auto& [efficient, found] : kinds) {
        const char* grade = efficient ? "efficiency" : "performance";
        set_attribute(node, fmt::format("cpu.numcores.{}", grade), std::to_string(found.first));
        set_attribute(node, fmt::format("cpu.frequency.{}", grade), std::to_string(found.second));
    }
}

}  // namespace

Status detect_cpu(const Input& input, model::Node& node) {
    utsname system{};
    ::uname(&system);
    set_attribute(node, "cpu.arch", go_arch(system.machine));
    const CpuInfo info = read_cpuinfo(input);
    if (!info.model.empty()) set_attribute(node, "cpu.modelname", info.model);

    DROVER_TRY(const auto hwloc, Topology::load());
    Machine machine = hwloc->read();
    read_speeds(input, info.mhz, &machine);
    describe_numa(machine, node);
    describe_speeds(machine, node);

    auto* topology = node.mutable_node_resources()->mutable_processors()->mutable_topology();
    *topology = to_model(machine);
    DROVER_CHECK(disable_cores(input, topology));
    const auto& client = input.config.client();
    uint64_t total = 0, usable = 0;
    auto* cpu = node.mutable_node_resources()->mutable_cpu();
    for (int i = 0; i < topology->cores_size(); ++i) {
        const uint64_t mhz = machine.cores[static_cast<size_t>(i)].mhz();
        total += mhz;
        if (topology->cores(i).disable()) continue;
        usable += mhz;
        cpu->add_reservable_cpu_cores(static_cast<uint32_t>(topology->cores(i).id()));
    }
    if (client.cpu_total_compute() < 0) {
        return make_error(Code::InvalidArgument, "client: cpu_total_compute is {}, expected 0 or more",
                          client.cpu_total_compute());
    }
    if (client.cpu_total_compute() > 0) total = usable = static_cast<uint64_t>(client.cpu_total_compute());
    topology->set_override_total_compute(static_cast<uint64_t>(client.cpu_total_compute()));
    const auto withheld = static_cast<uint64_t>(client.reserved().cpu());
    topology->set_override_withold_compute(withheld);
    // Reserved cores are gone for good; reserved MHz are subtracted by whoever asks what is available.
    cpu->set_cpu_shares(static_cast<int64_t>(usable));
    cpu->set_total_cpu_cores(static_cast<uint32_t>(machine.cores.size()));
    set_attribute(node, "cpu.totalcompute", std::to_string(total));
    set_attribute(node, "cpu.usablecompute", std::to_string(usable > withheld ? usable - withheld : 0));
    set_attribute(node, "cpu.reservablecores", std::to_string(cpu->reservable_cpu_cores_size()));
    return {};
}

}  // namespace drover::fingerprint
