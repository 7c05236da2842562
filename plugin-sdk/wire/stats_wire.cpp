// SPDX-License-Identifier: Apache-2.0
// TaskStats <-> its message: what was measured is a list of field names on the wire and an optional here.
#include "plugin-sdk/wire/driver_wire.h"

namespace drover::sdk::wire {
namespace {

using Cpu = driverpb::CPUUsage;
using Mem = driverpb::MemoryUsage;

// One row per field: the member here, the setter and getter there, and the name in measured_fields.
template <class Usage, class Message, class T>
struct Row {
    std::optional<T> Usage::*member;
    void (Message::*set)(T);
    T (Message::*get)() const;
    typename Message::Fields field;
};

constexpr Row<CpuUsage, Cpu, double> kCpuReals[] = {
    {&CpuUsage::system_percent, &Cpu::set_system_mode, &Cpu::system_mode, Cpu::SYSTEM_MODE},
    {&CpuUsage::user_percent, &Cpu::set_user_mode, &Cpu::user_mode, Cpu::USER_MODE},
    {&CpuUsage::total_mhz, &Cpu::set_total_ticks, &Cpu::total_ticks, Cpu::TOTAL_TICKS},
    {&CpuUsage::percent, &Cpu::set_percent, &Cpu::percent, Cpu::PERCENT},
};
constexpr Row<CpuUsage, Cpu, uint64_t> kCpuCounts[] = {
    {&CpuUsage::throttled_periods, &Cpu::set_throttled_periods, &Cpu::throttled_periods, Cpu::THROTTLED_PERIODS},
    {&CpuUsage::throttled_ns, &Cpu::set_throttled_time, &Cpu::throttled_time, Cpu::THROTTLED_TIME},
};
constexpr Row<MemoryUsage, Mem, uint64_t> kMemory[] = {
    {&MemoryUsage::rss_bytes, &Mem::set_rss, &Mem::rss, Mem::RSS},
    {&MemoryUsage::cache_bytes, &Mem::set_cache, &Mem::cache, Mem::CACHE},
    {&MemoryUsage::max_usage_bytes, &Mem::set_max_usage, &Mem::max_usage, Mem::MAX_USAGE},
    {&MemoryUsage::kernel_bytes, &Mem::set_kernel_usage, &Mem::kernel_usage, Mem::KERNEL_USAGE},
    {&MemoryUsage::kernel_max_bytes, &Mem::set_kernel_max_usage, &Mem::kernel_max_usage, Mem::KERNEL_MAX_USAGE},
    {&MemoryUsage::usage_bytes, &Mem::set_usage, &Mem::usage, Mem::USAGE},
    {&MemoryUsage::swap_bytes, &Mem::set_swap, &Mem::swap, Mem::SWAP},
};

template <class Rows, class Usage, class Message>
void write_rows(const Rows& rows, const Usage& in, Message* out) {
    for (const auto& row : rows) {
        if (!(in.*row.member)) continue;
        (out->*row.set)(*(in.*row.member));
        out->add_measured_fields(row.field);
    }
}

template <class Rows, class Usage, class Message>
void read_rows(const Rows& rows, const Message& in, Usage* out) {
    for (const auto& row : rows)
        for (int field : in.measured_fields())
            if (field == row.field) out->*row.member = (in.*row.get)();
}

void usage_to_proto(const ResourceUsage& in, driverpb::TaskResourceUsage* out) {
    write_rows(kCpuReals, in.cpu, out->mutable_cpu());
    write_rows(kCpuCounts, in.cpu, out->mutable_cpu());
    write_rows(kMemory, in.memory, out->mutable_memory());
}

ResourceUsage usage_from_proto(const driverpb::TaskResourceUsage& in) {
    ResourceUsage out;
    read_rows(kCpuReals, in.cpu(), &out.cpu);
    read_rows(kCpuCounts, in.cpu(), &out.cpu);
    read_rows(kMemory, in.memory(), &out.memory);
    return out;
}

}  // namespace

void to_proto(const TaskStats& in, driverpb::TaskStats* out) {
    out->set_id(in.id);
    *out->mutable_timestamp() = timestamp_to_proto(in.timestamp_unix_ns);
    usage_to_proto(in.total, out->mutable_agg_resource_usage());
    for (const auto& [pid, usage] : in.by_pid) usage_to_proto(usage, &(*out->mutable_resource_usage_by_pid())[pid]);
}

TaskStats from_proto(const driverpb::TaskStats& in) {
    TaskStats out;
    out.id = in.id();
    out.timestamp_unix_ns = timestamp_from_proto(in.timestamp());
    out.total = usage_from_proto(in.agg_resource_usage());
    for (const auto& [pid, usage] : in.resource_usage_by_pid()) out.by_pid.emplace(pid, usage_from_proto(usage));
    return out;
}

}  // namespace drover::sdk::wire
