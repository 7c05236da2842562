// SPDX-License-Identifier: Apache-2.0
// alloc status: one allocation with its tasks, their resources and their recent events.
#include "base/clock.h"
#include "cli/show.h"
#include "cli/support.h"
#include "cli/verbs.h"
#include "model/status.h"
#include "proto/model/model.pb.h"

namespace drover::cli {
namespace {

constexpr int kEventsMax = 10;
constexpr uint64_t kMiB = 1u << 20;

class AllocView {
 public:
    AllocView(Invocation& in, const model::Allocation& alloc, const model::AllocResourceUsage* usage)
        : in_(in), alloc_(alloc), usage_(usage) {}

    void show() {
        show_basics();
        if (in_.on("short")) return show_short();
        show_reschedules();
        show_addresses();
        for (const auto& [name, state] : tasks()) show_task(name, *state);
        if (verbose_ && alloc_.metrics().score_meta_data_size() > 0) {
            title("Placement Metrics");
            in_.io.line(metrics_text(alloc_.metrics(), true, "  "));
        }
    }

 private:
    void title(std::string_view text) { in_.io.line("\n" + in_.io.bold(text)); }
    std::string when(int64_t ns) const {
        return verbose_ ? format_time(ns) : relative_time(ns, in_.io.clock());
    }
    std::map<std::string, const model::TaskState*> tasks() const {
        std::map<std::string, const model::TaskState*> sorted;
        for (const auto& [name, state] : alloc_.task_states()) sorted[name] = &state;
        return sorted;
    }
    const model::Task* task_of(const std::string& name) const {
        const auto* group = model::find_group(alloc_.job(), alloc_.task_group());
        return group ? model::find_task(*group, name) : nullptr;
    }
    std::string lifecycle_of(const std::string& name) const {
        const auto* task = task_of(name);
        if (!task || task->lifecycle().hook().empty()) return "main";
        return task->lifecycle().hook() + (task->lifecycle().sidecar() ? " sidecar" : "");
    }
    void show_basics();
    void show_short();
    void show_reschedules();
    void show_addresses();
    void show_task(const std::string& name, const model::TaskState& state);
    void show_resources(const std::string& name);
    void show_detailed_stats(const model::ResourceUsage& usage);
    void show_events(const model::TaskState& state);

    Invocation& in_;
    const model::Allocation& alloc_;
    const model::AllocResourceUsage* usage_;
    const size_t length_ = id_length(in_);
    const bool verbose_ = length_ == kFullId;
};

std::string deployment_health(const model::Allocation& alloc) {
    if (!alloc.has_deployment_status() || !alloc.deployment_status().has_healthy()) return "unset";
    return alloc.deployment_status().healthy() ? "healthy" : "unhealthy";
}

void AllocView::show_basics() {
    if (in_.on("short")) {
        in_.io.line(key_values({{"ID", alloc_.id()},
                                {"Name", alloc_.name()},
                                {"Created", when(alloc_.create_time())},
                                {"Modified", when(alloc_.modify_time())}}));
        return;
    }
    KeyValues pairs = {{"ID", alloc_.id()},
                       {"Eval ID", limit_id(alloc_.eval_id(), length_)},
                       {"Name", alloc_.name()},
                       {"Node ID", limit_id(alloc_.node_id(), length_)},
                       {"Node Name", alloc_.node_name()},
                       {"Job ID", alloc_.job_id()},
                       {"Job Version", std::to_string(alloc_.job().version())},
                       {"Client Status", alloc_.client_status()},
                       {"Client Description", alloc_.client_description()},
                       {"Desired Status", alloc_.desired_status()},
                       {"Desired Description", alloc_.desired_description()},
                       {"Created", when(alloc_.create_time())},
                       {"Modified", when(alloc_.modify_time())}};
    if (!alloc_.deployment_id().empty()) {
        pairs.emplace_back("Deployment ID", limit_id(alloc_.deployment_id(), length_));
        pairs.emplace_back("Deployment Health", deployment_health(alloc_));
        if (alloc_.deployment_status().canary()) pairs.emplace_back("Canary", "true");
    }
    if (!alloc_.next_allocation().empty())
        pairs.emplace_back("Replacement Alloc ID", limit_id(alloc_.next_allocation(), length_));
    if (!alloc_.preempted_by_allocation().empty())
        pairs.emplace_back("Preempted By", limit_id(alloc_.preempted_by_allocation(), length_));
    if (!alloc_.followup_eval_id().empty())
        pairs.emplace_back("Followup Eval ID", limit_id(alloc_.followup_eval_id(), length_));
    if (verbose_) {
        const auto& metrics = alloc_.metrics();
        pairs.emplace_back("Evaluated Nodes", std::to_string(metrics.nodes_evaluated()));
        pairs.emplace_back("Filtered Nodes", std::to_string(metrics.nodes_filtered()));
        pairs.emplace_back("Exhausted Nodes", std::to_string(metrics.nodes_exhausted()));
        pairs.emplace_back("Allocation Time", format_duration(metrics.allocation_time()));
        pairs.emplace_back("Failures", std::to_string(metrics.coalesced_failures()));
    }
    in_.io.line(key_values(pairs));
}

void AllocView::show_short() {
    std::vector<Row> rows = {{"Name", "State", "Last Event", "Time", "Lifecycle"}};
    for (const auto& [name, state] : tasks()) {
        bool any = state->events_size() > 0;
        const auto& last =
            any ? state->events(state->events_size() - 1) : model::TaskEvent::default_instance();
        rows.push_back(
            {name, state->state(), last.type(), any ? format_time(last.time()) : "", lifecycle_of(name)});
    }
    title("Tasks");
    in_.io.line(table(rows));
}

void AllocView::show_reschedules() {
    if (alloc_.reschedule_tracker().events().empty()) return;
    in_.io.line(fmt::format("Reschedule Attempts = {}", alloc_.reschedule_tracker().events_size()));
}

void AllocView::show_addresses() {
    const auto& ports = alloc_.allocated_resources().shared().ports();
    if (ports.empty()) return;
    std::set<std::string> dynamic;
    if (const auto* group = model::find_group(alloc_.job(), alloc_.task_group()))
        for (const auto& network : group->networks())
            for (const auto& port : network.dynamic_ports()) dynamic.insert(port.label());
    std::vector<Row> rows = {{"Label", "Dynamic", "Address"}};
    for (const auto& port : ports) {
        auto address = fmt::format("{}:{}", port.host_ip(), port.value());
        if (port.to() > 0) address += fmt::format(" -> {}", port.to());
        rows.push_back({"*" + port.label(), dynamic.count(port.label()) > 0 ? "yes" : "", address});
    }
    in_.io.line("\nAllocation Addresses:");
    in_.io.line(table(rows, Empty::Keep));
}

void AllocView::show_task(const std::string& name, const model::TaskState& state) {
    auto lifecycle = lifecycle_of(name);
    auto suffix = lifecycle == "main" ? "" : fmt::format(" ({})", lifecycle);
    title(fmt::format("Task {}{} is {}", quoted(name), suffix, quoted(state.state())));
    show_resources(name);
    in_.io.line("\nTask Events:");
    in_.io.line(key_values({{"Started At", format_time(state.started_at())},
                            {"Finished At", format_time(state.finished_at())},
                            {"Total Restarts", std::to_string(state.restarts())},
                            {"Last Restart", format_time(state.last_restart())}}));
    show_events(state);
}

void AllocView::show_resources(const std::string& name) {
    auto found = alloc_.allocated_resources().tasks().find(name);
    if (found == alloc_.allocated_resources().tasks().end()) return;
    const auto& given = found->second;
    const model::ResourceUsage* used = nullptr;
    if (usage_)
        if (auto it = usage_->tasks().find(name); it != usage_->tasks().end())
            used = &it->second.resource_usage();
    auto cpu = std::to_string(given.cpu().cpu_shares());
    auto memory = format_bytes(static_cast<uint64_t>(given.memory().memory_mb()) * kMiB);
    auto memory_max = given.memory().memory_max_mb();
    if (used) {
        cpu = fmt::format("{:.0f}/{}", used->cpu_stats().total_ticks(), cpu);
        // What counts against the limit is the usage where it is measured, else the resident set.
        auto bytes =
            used->memory_stats().usage() > 0 ? used->memory_stats().usage() : used->memory_stats().rss();
        memory = fmt::format("{}/{}", format_bytes(bytes), memory);
    }
    std::vector<std::string> addresses;
    for (const auto& network : given.networks()) {
        for (const auto* list : {&network.reserved_ports(), &network.dynamic_ports()})
            for (const auto& port : *list)
                addresses.push_back(fmt::format("{}: {}:{}", port.label(), network.ip(), port.value()));
    }
    auto disk = format_bytes(static_cast<uint64_t>(alloc_.allocated_resources().shared().disk_mb()) * kMiB);
    std::vector<Row> rows = {{"CPU", "Memory", "Disk", "Addresses"},
                             {cpu + " MHz", memory, disk, addresses.empty() ? "" : addresses[0]}};
    if (memory_max > 0 && memory_max != given.memory().memory_mb())
        rows.push_back(
            {"", fmt::format("Max: {}", format_bytes(static_cast<uint64_t>(memory_max) * kMiB)), "", ""});
    for (size_t i = 1; i < addresses.size(); ++i) rows.push_back({"", "", "", addresses[i]});
    in_.io.line("Task Resources:");
    in_.io.line(table(rows, Empty::Keep));
    if (used && in_.on("stats")) show_detailed_stats(*used);
}

void AllocView::show_detailed_stats(const model::ResourceUsage& usage) {
    const auto& memory = usage.memory_stats();
    Row head;
    Row values;
    auto bytes = [&](std::string_view name, uint64_t value) {
        bool measured =
            std::find(memory.measured().begin(), memory.measured().end(), name) != memory.measured().end();
        if (!measured) return;
        head.emplace_back(name);
        values.push_back(format_bytes(value));
    };
    bytes("Cache", memory.cache());
    bytes("Kernel Max Usage", memory.kernel_max_usage());
    bytes("Kernel Usage", memory.kernel_usage());
    bytes("Max Usage", memory.max_usage());
    bytes("RSS", memory.rss());
    bytes("Swap", memory.swap());
    bytes("Usage", memory.usage());
    if (!head.empty()) {
        in_.io.line("\nMemory Stats");
        in_.io.line(table({head, values}));
    }
    const auto& cpu = usage.cpu_stats();
    head.clear();
    values.clear();
    std::set<std::string> measured(cpu.measured().begin(), cpu.measured().end());
    for (const auto& name : measured) {
        head.push_back(name);
        if (name == "Percent")
            values.push_back(fmt::format("{:.2f}%", cpu.percent()));
        else if (name == "System Mode")
            values.push_back(fmt::format("{:.2f}%", cpu.system_mode()));
        else if (name == "User Mode")
            values.push_back(fmt::format("{:.2f}%", cpu.user_mode()));
        else if (name == "Throttled Periods")
            values.push_back(std::to_string(cpu.throttled_periods()));
        else if (name == "Throttled Time")
            values.push_back(std::to_string(cpu.throttled_time()));
        else
            head.pop_back();
    }
    if (head.empty()) return;
    in_.io.line("\nCPU Stats");
    in_.io.line(table({head, values}));
}

void AllocView::show_events(const model::TaskState& state) {
    std::vector<Row> rows = {{"Time", "Type", "Description"}};
    int oldest = verbose_ ? 0 : std::max(0, state.events_size() - kEventsMax);
    for (int i = state.events_size() - 1; i >= oldest; --i) {
        const auto& event = state.events(i);
        auto text = event.display_message().empty() ? event.message() : event.display_message();
        std::replace(text.begin(), text.end(), '\n', ' ');
        rows.push_back({format_time(event.time()), event.type(), text});
    }
    if (rows.size() == 1) return;
    in_.io.line("\nRecent Events:");
    in_.io.line(table(rows));
}

int list_allocs(Invocation& in, api::Client& client) {
    auto reply = client.get("/v1/allocations");
    if (!reply) return fail(in, "Error querying allocations: {}", reply.error().message());
    return print_data(in, reply->body);
}

}  // namespace

int alloc_status(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    if (in.args.empty()) {
        if (wants_data(in)) return list_allocs(in, *client);
        return usage_error(
            in,
            "This command takes one of the following argument conditions:\n * A single <allocation>\n"
            " * No arguments, with output format specified");
    }
    auto id = resolve_alloc(in, *client, in.args[0]);
    if (!id) return kExitError;
    auto reply = client->get("/v1/allocation/" + *id);
    if (!reply) return fail(in, "Error querying allocation: {}", reply.error().message());
    if (wants_data(in)) return print_data(in, reply->body);
    model::Allocation alloc;
    if (auto decoded = model::json::decode(reply->body, alloc); !decoded)
        return fail(in, "Error querying allocation: {}", decoded.error().message());
    model::AllocResourceUsage usage;
    bool have_usage = false;
    if (!in.on("short") && alloc.client_status() == model::kAllocClientRunning) {
        // Statistics are an extra: without them the rest is still worth showing.
        auto got = client->get_message(fmt::format("/v1/client/allocation/{}/stats", *id), usage);
        have_usage = got.has_value();
        if (!got && in.on("stats"))
            in.io.warn_line(fmt::format("Couldn't retrieve stats: {}", got.error().message()));
    }
    AllocView(in, alloc, have_usage ? &usage : nullptr).show();
    ui_hint(in, *client, "View allocation details", "/ui/allocations/" + alloc.id());
    return kExitOk;
}

}  // namespace drover::cli
