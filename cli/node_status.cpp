// SPDX-License-Identifier: Apache-2.0
// node status: the list of nodes, or all about one.
#include "base/clock.h"
#include "base/strings.h"
#include "cli/node_self.h"
#include "cli/plugin_verbs.h"
#include "cli/show.h"
#include "cli/verbs.h"
#include "model/resources.h"
#include "model/status.h"
#include "proto/model/model.pb.h"

namespace drover::cli {
namespace {

constexpr uint64_t kMiB = 1u << 20;

std::string yes(bool value) {
    return value ? "true" : "false";
}
std::string mib(int64_t value) {
    return format_bytes(static_cast<uint64_t>(std::max<int64_t>(value, 0)) * kMiB);
}

class NodeView {
 public:
    NodeView(Invocation& in, api::Client& client) : in_(in), client_(client) {}
    int list();
    int show(const std::string& id);

 private:
    void title(std::string_view text) { in_.io.line("\n" + in_.io.bold(text)); }
    void show_basics();
    void show_drivers();
    void show_plugins();
    void show_events();
    void show_resources();
    void show_host();
    void show_allocs();
    void show_map(std::string_view name, const google::protobuf::Map<std::string, std::string>& map);

    Invocation& in_;
    api::Client& client_;
    const size_t length_ = id_length(in_);
    const bool verbose_ = length_ == kFullId;
    model::Node node_;
    std::vector<model::Allocation> allocs_;
    model::HostStats host_;
    bool have_host_ = false;
};

int NodeView::list() {
    api::QueryParams query;
    if (in_.given("filter")) query.emplace_back("filter", in_.text("filter"));
    if (in_.given("per-page")) query.emplace_back("per_page", in_.text("per-page"));
    if (in_.given("page-token")) query.emplace_back("next_token", in_.text("page-token"));
    if (in_.on("os")) query.emplace_back("os", "true");
    auto reply = client_.get("/v1/nodes", query);
    if (!reply) return fail(in_, "Error querying node status: {}", reply.error().message());
    if (wants_data(in_)) return print_data(in_, reply->body);
    auto nodes = get_list<model::NodeListStub>(client_, "/v1/nodes", query);
    if (!nodes) return fail(in_, "Error querying node status: {}", nodes.error().message());
    if (in_.on("quiet")) {
        for (const auto& node : *nodes) in_.io.line(limit_id(node.id(), length_));
        return kExitOk;
    }
    if (nodes->empty()) return kExitOk;
    std::vector<Row> rows = {{"ID", "Node Pool", "DC", "Name", "Class"}};
    if (in_.on("os")) rows[0].push_back("OS");
    if (verbose_) rows[0].insert(rows[0].end(), {"Address", "Version"});
    rows[0].insert(rows[0].end(), {"Drain", "Eligibility", "Status"});
    if (in_.on("allocs")) rows[0].push_back("Running Allocs");
    for (const auto& node : *nodes) {
        Row row = {limit_id(node.id(), length_), node.node_pool(), node.datacenter(), node.name(),
                   node.node_class()};
        auto os = node.attributes().find("os.name");
        if (in_.on("os")) row.push_back(os == node.attributes().end() ? "" : os->second);
        if (verbose_) row.insert(row.end(), {node.address(), node.version()});
        row.insert(row.end(), {yes(node.drain()), node.scheduling_eligibility(), node.status()});
        if (in_.on("allocs")) {
            auto allocs =
                get_list<model::Allocation>(client_, fmt::format("/v1/node/{}/allocations", node.id()));
            if (!allocs) return fail(in_, "Error querying node allocations: {}", allocs.error().message());
            row.push_back(std::to_string(std::count_if(allocs->begin(), allocs->end(), [](const auto& a) {
                return a.client_status() == model::kAllocClientRunning;
            })));
        }
        rows.push_back(std::move(row));
    }
    in_.io.line(table(rows));
    if (auto next = reply->next_token(); !next.empty())
        in_.io.line(fmt::format(
            "\nResults have been paginated. To get the next page run:\n\ndrover node status -page-token {}",
            next));
    ui_hint(in_, client_, "View and manage Nomad clients", "/ui/clients");
    return kExitOk;
}

void NodeView::show_basics() {
    std::string drain = yes(node_.has_drain_strategy());
    if (node_.has_drain_strategy() && node_.drain_strategy().force_deadline() > 0)
        drain += fmt::format("; {} deadline",
                             relative_time(node_.drain_strategy().force_deadline(), in_.io.clock()));
    auto names = [](const auto& map) {
        std::set<std::string> sorted;
        for (const auto& [name, value] : map) sorted.insert(name);
        return join({sorted.begin(), sorted.end()}, ",");
    };
    KeyValues pairs = {{"ID", node_.id()},
                       {"Name", node_.name()},
                       {"Node Pool", node_.node_pool()},
                       {"Class", node_.node_class()},
                       {"DC", node_.datacenter()},
                       {"Drain", drain},
                       {"Eligibility", node_.scheduling_eligibility()},
                       {"Status", node_.status()},
                       {"CSI Controllers", names(node_.csi_controller_plugins())},
                       {"CSI Drivers", names(node_.csi_node_plugins())}};
    if (have_host_)
        pairs.emplace_back("Uptime", format_duration(static_cast<int64_t>(host_.uptime()) * kSecond));
    if (!verbose_) {
        pairs.emplace_back("Host Volumes", names(node_.host_volumes()));
        pairs.emplace_back("Host Networks", names(node_.host_networks()));
        pairs.emplace_back("CSI Volumes", "");
        std::set<std::string> drivers;
        for (const auto& [name, info] : node_.drivers())
            if (info.detected()) drivers.insert(info.healthy() ? name : name + " (unhealthy)");
        pairs.emplace_back("Driver Status", join({drivers.begin(), drivers.end()}, ","));
    }
    in_.io.line(key_values(pairs));
}

void NodeView::show_drivers() {
    if (!verbose_) return;
    std::map<std::string, model::DriverInfo> drivers(node_.drivers().begin(), node_.drivers().end());
    std::vector<Row> rows = {{"Driver", "Detected", "Healthy", "Message", "Time"}};
    for (const auto& [name, info] : drivers)
        rows.push_back({name, yes(info.detected()), yes(info.healthy()), info.health_description(),
                        format_time(info.update_time())});
    title("Drivers");
    in_.io.line(table(rows));
}

// Of a node whose agent cannot be asked there is nothing to say.
void NodeView::show_plugins() {
    if (!verbose_) return;
    auto reply = client_.get("/v1/plugins", {{"node_id", node_.id()}});
    auto value = reply ? model::json::parse_value(reply->body) : Result<model::Value>(reply.error());
    if (!value) return;
    const auto& list = field(*value, "Plugins").list_value().values();
    if (list.empty()) return;
    title("Plugins");
    in_.io.line(plugins_table({list.begin(), list.end()}, true, in_.io.clock()));
}

void NodeView::show_events() {
    std::vector<Row> rows = {{"Time", "Subsystem", "Message"}};
    if (verbose_) rows[0].push_back("Details");
    for (int i = node_.events_size() - 1; i >= 0; --i) {
        const auto& event = node_.events(i);
        Row row = {format_time(event.timestamp()), event.subsystem(), event.message()};
        std::map<std::string, std::string> details(event.details().begin(), event.details().end());
        if (auto driver = details.find("driver"); driver != details.end())
            row[1] = fmt::format("Driver: {}", driver->second);
        std::string text;
        for (const auto& [key, value] : details)
            text += fmt::format("{}{} = {}", text.empty() ? "" : ", ", key, value);
        if (verbose_) row.push_back(text);
        rows.push_back(std::move(row));
    }
    title("Node Events");
    in_.io.line(table(rows));
}

void NodeView::show_resources() {
    auto total = model::available(node_);
    model::Comparable used;
    int count = 0;
    for (const auto& alloc : allocs_) {
        if (model::terminal(alloc) || alloc.client_status() == model::kAllocClientPending) continue;
        used.add(model::comparable(alloc));
        ++count;
    }
    title("Allocated Resources");
    in_.io.line(
        table({{"CPU", "Memory", "Disk", "Alloc Count"},
               {fmt::format("{}/{} MHz", used.cpu, total.cpu),
                fmt::format("{}/{}", mib(used.memory_mb), mib(total.memory_mb)),
                fmt::format("{}/{}", mib(used.disk_mb), mib(total.disk_mb)), std::to_string(count)}}));
}

void NodeView::show_host() {
    if (!have_host_) return;
    double ticks = 0;
    uint64_t memory = 0;
    for (const auto& alloc : allocs_) {
        if (alloc.client_status() != model::kAllocClientRunning) continue;
        model::AllocResourceUsage usage;
        auto got = client_.get_message(fmt::format("/v1/client/allocation/{}/stats", alloc.id()), usage);
        if (!got) continue;  // it may just have ended
        ticks += usage.resource_usage().cpu_stats().total_ticks();
        const auto& stats = usage.resource_usage().memory_stats();
        memory += stats.usage() > 0 ? stats.usage() : stats.rss();
    }
    auto total = model::available(node_);
    title("Allocation Resource Utilization");
    in_.io.line(table({{"CPU", "Memory"},
                       {fmt::format("{:.0f}/{} MHz", ticks, total.cpu),
                        fmt::format("{}/{}", format_bytes(memory), mib(total.memory_mb))}}));
    title("Host Resource Utilization");
    const auto& disk = host_.alloc_dir_stats();
    in_.io.line(table(
        {{"CPU", "Memory", "Disk"},
         {fmt::format("{:.0f}/{} MHz", host_.cpu_ticks_consumed(), total.cpu),
          fmt::format("{}/{}", format_bytes(host_.memory().used()), format_bytes(host_.memory().total())),
          fmt::format("{}/{}", format_bytes(disk.used()), format_bytes(disk.size()))}}));
    if (!in_.on("stats")) return;
    title("CPU Stats");
    for (int i = 0; i < host_.cpu_size(); ++i) {
        const auto& cpu = host_.cpu(i);
        if (i > 0) in_.io.line("");
        in_.io.line(key_values({{"CPU", cpu.cpu()},
                                {"User", fmt::format("{:.2f}%", cpu.user())},
                                {"System", fmt::format("{:.2f}%", cpu.system())},
                                {"Idle", fmt::format("{:.2f}%", cpu.idle())}}));
    }
    title("Memory Stats");
    in_.io.line(key_values({{"Total", format_bytes(host_.memory().total())},
                            {"Available", format_bytes(host_.memory().available())},
                            {"Used", format_bytes(host_.memory().used())},
                            {"Free", format_bytes(host_.memory().free())}}));
    title("Disk Stats");
    for (int i = 0; i < host_.disk_stats_size(); ++i) {
        const auto& stats = host_.disk_stats(i);
        if (i > 0) in_.io.line("");
        in_.io.line(key_values({{"Device", stats.device()},
                                {"MountPoint", stats.mountpoint()},
                                {"Size", format_bytes(stats.size())},
                                {"Used", format_bytes(stats.used())},
                                {"Available", format_bytes(stats.available())},
                                {"Used Percent", fmt::format("{:.2f}%", stats.used_percent())},
                                {"Inodes Percent", fmt::format("{:.2f}%", stats.inodes_used_percent())}}));
    }
}

void NodeView::show_allocs() {
    std::vector<model::AllocationListStub> stubs;
    for (const auto& alloc : allocs_) {
        auto& stub = stubs.emplace_back();
        stub.set_id(alloc.id());
        stub.set_eval_id(alloc.eval_id());
        stub.set_node_id(alloc.node_id());
        stub.set_task_group(alloc.task_group());
        stub.set_job_version(alloc.job().version());
        stub.set_desired_status(alloc.desired_status());
        stub.set_client_status(alloc.client_status());
        stub.set_create_time(alloc.create_time());
        stub.set_modify_time(alloc.modify_time());
        stub.set_create_index(alloc.create_index());
    }
    title("Allocations");
    in_.io.line(allocs_table(stubs, {verbose_, in_.io.clock()}, false));
}

void NodeView::show_map(std::string_view name, const google::protobuf::Map<std::string, std::string>& map) {
    std::map<std::string, std::string> sorted(map.begin(), map.end());
    title(name);
    in_.io.line(key_values({sorted.begin(), sorted.end()}));
}

int NodeView::show(const std::string& id) {
    auto reply = client_.get("/v1/node/" + api::escape_segment(id));
    if (!reply) return fail(in_, "Error querying node info: {}", reply.error().message());
    if (wants_data(in_)) return print_data(in_, reply->body);
    if (auto decoded = model::json::decode(reply->body, node_); !decoded)
        return fail(in_, "Error querying node info: {}", decoded.error().message());
    if (in_.on("short")) {
        show_basics();
        auto allocs = get_list<model::Allocation>(client_, fmt::format("/v1/node/{}/allocations", id));
        if (!allocs) return fail(in_, "Error querying node allocations: {}", allocs.error().message());
        allocs_ = std::move(*allocs);
        show_allocs();
        return kExitOk;
    }
    auto allocs = get_list<model::Allocation>(client_, fmt::format("/v1/node/{}/allocations", id));
    if (!allocs) return fail(in_, "Error querying node allocations: {}", allocs.error().message());
    allocs_ = std::move(*allocs);
    // Of a node that is down there are no live figures; everything else is shown all the same.
    have_host_ = client_.get_message("/v1/client/stats", host_, {{"node_id", id}}).has_value();
    show_basics();
    show_drivers();
    show_plugins();
    show_events();
    show_resources();
    show_host();
    show_allocs();
    if (verbose_) {
        show_map("Attributes", node_.attributes());
        show_map("Meta", node_.meta());
    }
    ui_hint(in_, client_, "View client details and metrics", "/ui/clients/" + id);
    return kExitOk;
}

}  // namespace

int node_status(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    NodeView view(in, *client);
    if (in.args.empty() && !in.on("self")) return view.list();
    auto id = in.on("self") ? own_node_id(in, *client) : resolve_node(in, *client, in.args[0]);
    return id ? view.show(*id) : kExitError;
}

}  // namespace drover::cli
