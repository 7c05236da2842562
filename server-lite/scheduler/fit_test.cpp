// SPDX-License-Identifier: Apache-2.0
// Goal: what does not fit a node is named, dimension by dimension, and what fits is not refused.
#include "server-lite/scheduler/fit.h"

#include <gtest/gtest.h>

namespace drover::server {
namespace {

model::Node node_with(int64_t cpu, int64_t memory) {
    model::Node node;
    node.mutable_node_resources()->mutable_cpu()->set_cpu_shares(cpu);
    for (uint32_t core : {0, 1, 2, 3})
        node.mutable_node_resources()->mutable_cpu()->add_reservable_cpu_cores(core);
    node.mutable_node_resources()->mutable_memory()->set_memory_mb(memory);
    node.mutable_node_resources()->mutable_disk()->set_disk_mb(1000);
    return node;
}

model::Allocation alloc_with(int64_t cpu, int64_t memory) {
    model::Allocation alloc;
    auto& task = (*alloc.mutable_allocated_resources()->mutable_tasks())["t"];
    task.mutable_cpu()->set_cpu_shares(cpu);
    task.mutable_memory()->set_memory_mb(memory);
    alloc.mutable_allocated_resources()->mutable_shared()->set_disk_mb(100);
    return alloc;
}

model::Allocation with_port(const std::string& ip, int64_t port) {
    auto alloc = alloc_with(1, 1);
    auto* mapping = alloc.mutable_allocated_resources()->mutable_shared()->add_ports();
    mapping->set_host_ip(ip);
    mapping->set_value(port);
    mapping->set_label("http");
    return alloc;
}

std::string exhausted_by(const model::Node& node, const std::vector<model::Allocation>& allocs) {
    NodeUsage total;
    for (const auto& alloc : allocs) add_usage(total, alloc);
    return exhausted(node, total);
}

TEST(Fit, NamesWhatIsExhausted) {
    auto node = node_with(1000, 1000);
    const auto a = alloc_with(600, 300);
    EXPECT_EQ(exhausted_by(node, {a, alloc_with(500, 300)}), "cpu");
    EXPECT_EQ(exhausted_by(node, {a, alloc_with(400, 800)}), "memory");
    EXPECT_EQ(exhausted_by(node, {a, alloc_with(400, 700)}), "");
    node.mutable_node_resources()->mutable_disk()->set_disk_mb(150);
    EXPECT_EQ(exhausted_by(node, {a, alloc_with(1, 1)}), "disk");
    node.set_node_max_allocs(1);
    EXPECT_EQ(exhausted_by(node, {a, alloc_with(400, 700)}), "max allocs");
}

TEST(Fit, PortsCollideByAddress) {
    auto node = node_with(1000, 1000);
    const auto a = with_port("10.0.0.1", 80);
    auto b = with_port("10.0.0.2", 80);
    EXPECT_EQ(exhausted_by(node, {a, b}), "");
    b = with_port("10.0.0.1", 80);
    EXPECT_EQ(exhausted_by(node, {a, b}), "network: reserved port collision 10.0.0.1:80");
    auto* shared = b.mutable_allocated_resources()->mutable_shared()->add_networks()->add_reserved_ports();
    shared->set_label("http");
    shared->set_ignore_collision(true);
    EXPECT_EQ(exhausted_by(node, {a, b}), "");
    node.mutable_reserved_resources()->mutable_networks()->set_reserved_host_ports("22,79-81");
    EXPECT_EQ(exhausted_by(node, {a, b}), "network: reserved port collision 10.0.0.1:80");
}

TEST(Fit, ACoreAndADeviceAreGivenOnce) {
    const auto node = node_with(1000, 1000);
    auto with = [](uint32_t core, const std::string& id) {
        auto alloc = alloc_with(1, 1);
        auto& task = alloc.mutable_allocated_resources()->mutable_tasks()->at("t");
        task.mutable_cpu()->add_reserved_cores(core);
        auto* device = task.add_devices();
        device->set_vendor("nvidia");
        device->set_type("gpu");
        device->set_name("h100");
        device->add_device_ids(id);
        return alloc;
    };
    EXPECT_EQ(exhausted_by(node, {with(0, "a"), with(1, "b")}), "");
    EXPECT_EQ(exhausted_by(node, {with(0, "a"), with(0, "b")}), "cores");
    EXPECT_EQ(exhausted_by(node, {with(0, "a"), with(7, "b")}), "cores");
    EXPECT_EQ(exhausted_by(node, {with(0, "a"), with(1, "a")}), "device oversubscribed");
}

}  // namespace
}  // namespace drover::server
