// SPDX-License-Identifier: Apache-2.0
// What the task was given, in the driver protocol's terms. Many drivers expect cpu and memory to be there
// always.
#include "agent/task/hooks/hook.h"
#include "base/strings.h"

namespace drover::agent {
namespace {

sdk::NetworkResource to_sdk(const model::NetworkResource& network) {
    sdk::NetworkResource out;
    out.device = network.device();
    out.cidr = network.cidr();
    out.ip = network.ip();
    out.mbits = static_cast<int32_t>(network.mbits());
    for (const auto& port : network.reserved_ports()) {
        out.reserved_ports.push_back({port.label(), static_cast<int32_t>(port.value())});
    }
    for (const auto& port : network.dynamic_ports()) {
        out.dynamic_ports.push_back({port.label(), static_cast<int32_t>(port.value())});
    }
    return out;
}

}  // namespace

Status resources_hook(TaskContext& context) {
    const auto& given = context.alloc->allocated_resources();
    const auto found = given.tasks().find(context.task->name());
    if (found == given.tasks().end()) {
        return make_error(Code::FailedPrecondition, "allocation {} has no resources for task {:?}",
                          context.alloc->id(), context.task->name());
    }
    const auto& task = found->second;
    auto& resources = context.config.resources;
    resources = {};
    resources.cpu_mhz = task.cpu().cpu_shares();
    resources.memory_mb = task.memory().memory_mb();
    resources.memory_max_mb = task.memory().memory_max_mb();
    for (const auto& network : task.networks()) resources.networks.push_back(to_sdk(network));
    for (const auto& port : given.shared().ports()) {
        resources.ports.push_back({port.label(), static_cast<int32_t>(port.value()),
                                   static_cast<int32_t>(port.to()), port.host_ip()});
    }
    auto& linux_resources = resources.linux_resources;
    linux_resources.cpu_shares = resources.cpu_mhz;
    linux_resources.memory_limit_bytes =
        std::max(resources.memory_mb, resources.memory_max_mb) * (int64_t{1} << 20);
    std::vector<std::string> cores;
    for (const auto core : task.cpu().reserved_cores()) cores.push_back(fmt::format("{}", core));
    linux_resources.cpuset_cpus = join(cores, ",");
    const int64_t total = context.node->node_resources().cpu().cpu_shares();
    if (total > 0)
        linux_resources.compute_fraction =
            static_cast<double>(resources.cpu_mhz) / static_cast<double>(total);

    if (context.group->networks_size() > 0 && context.group->networks(0).has_dns()) {
        const auto& dns = context.group->networks(0).dns();
        context.config.dns = sdk::DnsConfig{{dns.servers().begin(), dns.servers().end()},
                                            {dns.searches().begin(), dns.searches().end()},
                                            {dns.options().begin(), dns.options().end()}};
    }
    return {};
}

}  // namespace drover::agent
