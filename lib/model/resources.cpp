// SPDX-License-Identifier: Apache-2.0
// See resources.h. The arithmetic follows the rules that Nomad's scheduler and plan applier share.
#include "model/resources.h"

#include <algorithm>
#include <cmath>

#include "base/strings.h"
#include "model/status.h"
#include "proto/model/model.pb.h"

namespace drover::model {

void Comparable::add(const Comparable& other) {
    cpu += other.cpu;
    memory_mb += other.memory_mb;
    memory_max_mb += other.memory_max_mb;
    disk_mb += other.disk_mb;
    cores.insert(other.cores.begin(), other.cores.end());
}

void Comparable::subtract(const Comparable& other) {
    cpu -= other.cpu;
    memory_mb -= other.memory_mb;
    memory_max_mb -= other.memory_max_mb;
    disk_mb -= other.disk_mb;
    for (uint32_t core : other.cores) cores.erase(core);
}

std::string_view Comparable::exhausted_by(const Comparable& other) const {
    if (!std::includes(cores.begin(), cores.end(), other.cores.begin(), other.cores.end())) return "cores";
    if (cpu < other.cpu) return "cpu";
    if (memory_mb < other.memory_mb) return "memory";
    if (disk_mb < other.disk_mb) return "disk";
    return "";
}

namespace {

Comparable of_task(const AllocatedTaskResources& task) {
    Comparable use;
    use.cpu = task.cpu().cpu_shares();
    use.memory_mb = task.memory().memory_mb();
    use.memory_max_mb = std::max(task.memory().memory_max_mb(), task.memory().memory_mb());
    use.cores.insert(task.cpu().reserved_cores().begin(), task.cpu().reserved_cores().end());
    return use;
}

void take_larger(Comparable& into, const Comparable& other) {
    into.cpu = std::max(into.cpu, other.cpu);
    into.memory_mb = std::max(into.memory_mb, other.memory_mb);
    into.memory_max_mb = std::max(into.memory_max_mb, other.memory_max_mb);
}

}  // namespace

Comparable comparable(const AllocatedResources& resources) {
    Comparable main, prestart, poststop, pinned;
    for (const auto& [name, task] : resources.tasks()) {
        auto use = of_task(task);
        auto lifecycle = resources.task_lifecycles().find(name);
        std::string_view hook;
        if (lifecycle != resources.task_lifecycles().end()) hook = lifecycle->second.hook();
        bool sidecar = !hook.empty() && lifecycle->second.sidecar();
        if (!use.cores.empty()) {
            // Reserved cores are nobody else's at any time: outside the maximum.
            pinned.cpu += use.cpu;
            pinned.cores.insert(use.cores.begin(), use.cores.end());
            use.cpu = 0;
            use.cores.clear();
        }
        if (hook == kLifecyclePrestart) prestart.add(use);
        if (hook == kLifecyclePoststop) poststop.add(use);
        if (hook.empty() || hook == kLifecyclePoststart || (hook == kLifecyclePrestart && sidecar))
            main.add(use);
    }
    take_larger(main, prestart);
    take_larger(main, poststop);
    main.add(pinned);
    main.disk_mb = resources.shared().disk_mb();
    return main;
}

Comparable comparable(const Allocation& alloc) {
    return comparable(alloc.allocated_resources());
}

Comparable available(const Node& node) {
    const auto& has = node.node_resources();
    const auto& keeps = node.reserved_resources();
    Comparable out;
    out.cpu = has.cpu().cpu_shares() - static_cast<int64_t>(keeps.cpu().cpu_shares());
    out.memory_mb = has.memory().memory_mb() - static_cast<int64_t>(keeps.memory().memory_mb());
    out.memory_max_mb = out.memory_mb;
    out.disk_mb = has.disk().disk_mb() - static_cast<int64_t>(keeps.disk().disk_mb());
    out.cores.insert(has.cpu().reservable_cpu_cores().begin(), has.cpu().reservable_cpu_cores().end());
    for (uint32_t core : keeps.cpu().reserved_cpu_cores()) out.cores.erase(core);
    return out;
}

AllocatedResources ask_of(const TaskGroup& group, bool memory_oversubscription) {
    AllocatedResources ask;
    for (const auto& task : group.tasks()) {
        const auto& wants = task.resources();
        auto& gets = (*ask.mutable_tasks())[task.name()];
        gets.mutable_cpu()->set_cpu_shares(wants.cpu());
        gets.mutable_memory()->set_memory_mb(wants.memory_mb() + wants.secrets_mb());
        if (memory_oversubscription) gets.mutable_memory()->set_memory_max_mb(wants.memory_max_mb());
        auto& lifecycle = (*ask.mutable_task_lifecycles())[task.name()];
        if (task.has_lifecycle()) {
            lifecycle.set_hook(task.lifecycle().hook());
            lifecycle.set_sidecar(task.lifecycle().sidecar());
        }
    }
    ask.mutable_shared()->set_disk_mb(group.ephemeral_disk().size_mb());
    return ask;
}

bool parse_port_ranges(std::string_view text, std::vector<uint16_t>& ports) {
    if (trim(text).empty()) return true;
    for (const auto& part : split(text, ',')) {
        auto range = split(trim(part), '-');
        auto first = parse_uint(trim(range[0]));
        auto last = range.size() > 1 ? parse_uint(trim(range[1])) : first;
        if (!first || !last || range.size() > 2 || *first > *last || *last > 65535) return false;
        for (uint64_t port = *first; port <= *last; port++) ports.push_back(static_cast<uint16_t>(port));
    }
    return true;
}

namespace {

double power_of_free(int64_t available, int64_t used) {
    double total = available > 0 ? static_cast<double>(available) : 1.0;
    return std::pow(10.0, 1.0 - static_cast<double>(used) / total);
}

constexpr double kScoreMax = 18.0;

}  // namespace

double score_binpack(const Comparable& available, const Comparable& used) {
    double free = power_of_free(available.cpu, used.cpu) + power_of_free(available.memory_mb, used.memory_mb);
    return std::clamp(20.0 - free, 0.0, kScoreMax) / kScoreMax;
}

double score_spread(const Comparable& available, const Comparable& used) {
    double free = power_of_free(available.cpu, used.cpu) + power_of_free(available.memory_mb, used.memory_mb);
    return std::clamp(free - 2.0, 0.0, kScoreMax) / kScoreMax;
}

}  // namespace drover::model
