// SPDX-License-Identifier: Apache-2.0
#include "server-lite/scheduler/place.h"

#include <cmath>

#include "base/strings.h"
#include "model/status.h"
#include "server-lite/scheduler/fit.h"
#include "server-lite/scheduler/place_inside.h"

namespace drover::server {

uint64_t Seeded::next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

std::string Seeded::uuid() {
    const uint64_t a = (next() & ~0xf000ull) | 0x4000, b = (next() & ~(3ull << 62)) | (2ull << 62);
    return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", a >> 32, (a >> 16) & 0xffff, a & 0xffff,
                       b >> 48, b & 0xffffffffffffull);
}

Placer::~Placer() = default;

Placer::Placer(const State& state, const model::Job& job, Seeded& seeded)
    : state_(state), job_(job), seeded_(seeded) {
    spread_algorithm_ = state.config->scheduler_algorithm() == "spread";
    oversubscription_ = state.config->memory_oversubscription_enabled();
    state.nodes.each([&](const std::string&, const NodePtr& node) {
        if (!in_pool(job, *node)) return;
        ++in_pool_;
        if (!node_ready(*node) || !in_datacenters(job, *node)) return;
        ++available_by_dc_[node->datacenter()];
        nodes_.push_back(node);
    });
    for (size_t i = nodes_.size(); i > 1; --i) std::swap(nodes_[i - 1], nodes_[seeded.below(i)]);
    columns_.reserve(nodes_.size());
    for (const auto& node : nodes_) {
        column_of_[node->id()] = columns_.size();
        columns_.push_back({node, model::available(*node), state.usage_of(node->id()), {}});
    }
    for (const auto& record : state.job_allocs(job.namespace_(), job.id()))
        if (holds_resources(*record))
            if (auto at = column_of_.find(record->alloc->node_id()); at != column_of_.end())
                ++columns_[at->second].job_groups[record->alloc->task_group()];
}

Placer::GroupView& Placer::view(const model::TaskGroup& group) {
    auto& slot = groups_[group.name()];
    if (slot) return *slot;
    slot = std::make_unique<GroupView>(job_, group);
    GroupView& v = *slot;
    v.ask = model::ask_of(group, oversubscription_);
    v.need = model::comparable(v.ask);
    auto add_affinities = [&](const auto& list) {
        for (const auto& a : list) {
            v.affinities.push_back(&a);
            v.affinity_weights += std::abs(a.has_weight() ? a.weight() : 50);
        }
    };
    auto add_distinct = [&](const auto& constraints, bool group_only) {
        for (const auto& c : constraints) {
            if (c.operand() == "distinct_hosts" && c.r_target() != "false")
                (group_only ? v.distinct_hosts_group : v.distinct_hosts_job) = true;
            if (c.operand() == "distinct_property") {
                auto allowed = parse_int(c.r_target());
                v.properties.push_back({c.l_target(), allowed.value_or(1), group_only, {}});
            }
        }
    };
    add_affinities(job_.affinities());
    add_affinities(group.affinities());
    add_distinct(job_.constraints(), false);
    add_distinct(group.constraints(), true);
    for (const auto& task : group.tasks()) {
        add_affinities(task.affinities());
        v.cores += task.resources().cores();
        for (const auto& device : task.resources().devices()) v.devices.push_back(&device);
        for (const auto& network : task.resources().networks())
            for (const auto& port : network.reserved_ports())
                v.static_ports.emplace_back(port.host_network(), port.value());
    }
    for (const auto& network : group.networks())
        for (const auto& port : network.reserved_ports())
            if (!port.ignore_collision()) v.static_ports.emplace_back(port.host_network(), port.value());

    auto value_on = [&](const std::string& target, std::string_view node_id) -> std::optional<std::string> {
        auto node = state_.node(node_id);
        return node ? resolve_target(target, *node) : std::nullopt;
    };
    auto add_spreads = [&](const auto& list) {
        for (const auto& spread : list) {
            SpreadView s;
            s.spread = &spread;
            s.weight = spread.has_weight() ? spread.weight() : 50;
            spread_weights_ += s.weight;
            double sum = 0;
            for (const auto& target : spread.spread_target()) {
                s.desired[target.value()] = target.percent() * static_cast<double>(group.count()) / 100.0;
                sum += s.desired[target.value()];
            }
            if (sum > 0 && sum < static_cast<double>(group.count()))
                s.desired["*"] = static_cast<double>(group.count()) - sum;
            v.spreads.push_back(std::move(s));
        }
    };
    add_spreads(job_.spreads());
    add_spreads(group.spreads());
    if (!v.spreads.empty() || !v.properties.empty())
        for (const auto& record : state_.job_allocs(job_.namespace_(), job_.id())) {
            if (model::terminal(*record->alloc)) continue;
            const bool same_group = record->alloc->task_group() == group.name();
            for (auto& s : v.spreads)
                if (auto value = value_on(s.spread->attribute(), record->alloc->node_id());
                    same_group && value)
                    ++s.use[*value];
            for (auto& p : v.properties)
                if (auto value = value_on(p.target, record->alloc->node_id());
                    value && (same_group || !p.group_only))
                    ++p.use[*value];
        }

    v.reasons.resize(columns_.size());
    v.affinity.resize(columns_.size());
    v.scored.resize(columns_.size());
    for (size_t i = 0; i < columns_.size(); ++i) {
        const auto& node = *columns_[i].node;
        v.reasons[i] = v.feasibility.reason(node);
        if (!v.reasons[i].empty()) {
            v.filtered.set_nodes_filtered(v.filtered.nodes_filtered() + 1);
            ++(*v.filtered.mutable_constraint_filtered())[v.reasons[i]];
            if (!node.node_class().empty()) ++(*v.filtered.mutable_class_filtered())[node.node_class()];
            continue;
        }
        double matched = 0;
        for (const auto* a : v.affinities)
            if (check_affinity(*a, node)) matched += a->has_weight() ? a->weight() : 50;
        v.affinity[i] = v.affinity_weights > 0 ? matched / v.affinity_weights : 0;
    }
    v.filtered.set_nodes_evaluated(static_cast<int64_t>(columns_.size()));
    v.filtered.set_nodes_in_pool(in_pool_);
    v.filtered.set_node_pool(job_.node_pool());
    for (const auto& [dc, count] : available_by_dc_) (*v.filtered.mutable_nodes_available())[dc] = count;
    return v;
}

// Why the group does not fit on the node next to what is there; empty when it does.
std::string Placer::room(const GroupView& v, size_t at) const {
    const Column& column = columns_[at];
    if (column.node->node_max_allocs() > 0 && column.usage.allocs >= column.node->node_max_allocs())
        return "max allocs";
    const auto& groups = column.job_groups;
    if (v.distinct_hosts_job && !groups.empty()) return "distinct_hosts";
    if (v.distinct_hosts_group && groups.contains(v.group->name())) return "distinct_hosts";
    for (const auto& p : v.properties) {
        auto value = resolve_target(p.target, *column.node);
        if (!value) return fmt::format("missing property \"{}\"", p.target);
        auto used = p.use.find(*value);
        if (used != p.use.end() && used->second >= p.allowed)
            return fmt::format("distinct_property: {}={} used by {} allocs", p.target, *value, used->second);
    }
    // Network before capacity, as the ranking iterator meets them.
    if (!v.static_ports.empty()) {
        const auto reserved = reserved_ports(*column.node);
        for (const auto& [host_network, port] : v.static_ports) {
            const std::string ip = address_of(*column.node, host_network);
            if (ip.empty() || !port_free(column.usage.ports, reserved, ip, port)) {
                std::string label;
                for (const auto& network : v.group->networks())
                    for (const auto& p : network.reserved_ports())
                        if (p.value() == port) label = p.label();
                return fmt::format("network: reserved port collision {}={}", label, port);
            }
        }
    }
    model::Comparable total = column.usage.used;
    total.add(v.need);
    if (v.cores > 0) {
        total.cpu += v.cores * mhz_per_core(*column.node);
        const auto free = static_cast<int64_t>(column.available.cores.size()) -
                          static_cast<int64_t>(column.usage.used.cores.size());
        if (free < v.cores) return "cores";
    }
    return std::string(column.available.exhausted_by(total));
}

double Placer::spread_boost(GroupView& v, const Column& column) const {
    double total = 0, lowest = -1;
    for (auto& s : v.spreads) {
        auto value = resolve_target(s.spread->attribute(), *column.node);
        if (!value) {
            total += -1;
            continue;
        }
        const auto used = s.use.find(*value);
        const double use = used == s.use.end() ? 0 : static_cast<double>(used->second);
        if (!s.desired.empty() || !s.spread->spread_target().empty()) {
            double other_use = use;
            auto desired = s.desired.find(*value);
            if (desired == s.desired.end()) {
                desired = s.desired.find("*");
                other_use = 0;
                for (const auto& [v2, n] : s.use)
                    if (!s.desired.contains(v2)) other_use += static_cast<double>(n);
            }
            if (desired == s.desired.end()) {
                total += -1;
            } else if (desired->second == 0) {
                total += lowest;
            } else {
                const double boost = (desired->second - (other_use + 1)) / desired->second * s.weight /
                                     std::max(1.0, spread_weights_);
                lowest = std::min(lowest, boost);
                total += boost;
            }
            continue;
        }
        if (s.use.empty()) continue;  // even spread, nothing used yet
        double least = 1e18, most = 0;
        for (const auto& [v2, n] : s.use) {
            least = std::min(least, static_cast<double>(n));
            most = std::max(most, static_cast<double>(n));
        }
        if (used == s.use.end()) least = 0;
        if (use != least)
            total += least == 0 ? -1 : (least - use) / least;
        else if (least == most)
            total += -1;
        else
            total += least == 0 ? 1 : (most - least) / least;
    }
    return total;
}

Placer::Scored Placer::score(GroupView& v, size_t at, bool penalty) {
    const Column& column = columns_[at];
    Scored s;
    s.valid = true;
    s.exhausted = room(v, at);
    s.fits = s.exhausted.empty();
    if (!s.fits) return s;
    model::Comparable total = column.usage.used;
    total.add(v.need);
    total.cpu += v.cores * mhz_per_core(*column.node);
    int parts = 1;
    s.binpack = spread_algorithm_ ? model::score_spread(column.available, total)
                                  : model::score_binpack(column.available, total);
    double sum = s.binpack;
    auto append = [&](double value) {
        sum += value;
        ++parts;
    };
    if (auto same = column.job_groups.find(v.group->name());
        same != column.job_groups.end() && same->second > 0) {
        const auto desired = static_cast<double>(std::max<int64_t>(1, v.group->count()));
        s.anti_affinity = -static_cast<double>(same->second + 1) / desired;
        append(s.anti_affinity);
    }
    if (penalty) append(s.penalty = -1);
    if (!v.affinities.empty()) append(s.affinity = v.affinity[at]);
    if (!v.spreads.empty())
        if ((s.spread = spread_boost(v, column)) != 0) append(s.spread);
    s.score = sum / parts;
    return s;
}

namespace {
constexpr size_t kScoresKept = 5;
}

std::optional<PlaceOption> Placer::select(const PlaceRequest& request, model::AllocationMetric& metric) {
    GroupView& v = view(*request.group);
    std::vector<std::pair<double, size_t>> best;  // highest first, few
    std::vector<size_t> out_of_room;
    auto consider = [&](size_t i) {
        if (!v.reasons[i].empty()) return;
        Scored scratch;
        Scored* s = &v.scored[i];
        if (request.penalty_nodes.contains(columns_[i].node->id()))
            s = &(scratch = score(v, i, true));
        else if (!s->valid)
            *s = score(v, i, false);
        if (!s->fits) {
            out_of_room.push_back(i);
            return;
        }
        if (best.size() == kScoresKept && s->score <= best.back().first) return;
        auto place = std::upper_bound(best.begin(), best.end(), s->score,
                                      [](double score, const auto& b) { return score > b.first; });
        best.insert(place, {s->score, i});
        if (best.size() > kScoresKept) best.pop_back();
    };
    if (!request.only_node.empty()) {
        if (auto at = column_of_.find(request.only_node); at != column_of_.end()) consider(at->second);
    } else {
        for (size_t i = 0; i < columns_.size(); ++i) consider(i);
    }
    if (auto at = column_of_.find(request.preferred_node);
        at != column_of_.end() && v.reasons[at->second].empty() && room(v, at->second).empty())
        best.insert(best.begin(), {best.empty() ? 0 : best.front().first, at->second});

    metric = v.filtered;
    if (!request.only_node.empty()) {
        auto at = column_of_.find(request.only_node);
        const bool filtered = at == column_of_.end() || !v.reasons[at->second].empty();
        metric.set_nodes_evaluated(1);
        metric.set_nodes_filtered(filtered ? 1 : 0);
        metric.clear_constraint_filtered();
        metric.clear_class_filtered();
        if (at != column_of_.end() && filtered)
            (*metric.mutable_constraint_filtered())[v.reasons[at->second]] = 1;
    }
    auto exhaust = [&](size_t i, const std::string& why) {
        const auto& node = *columns_[i].node;
        if (why == "distinct_hosts" || why.starts_with("distinct_property") ||
            why.starts_with("missing property")) {
            metric.set_nodes_filtered(metric.nodes_filtered() + 1);
            ++(*metric.mutable_constraint_filtered())[why];
            if (!node.node_class().empty()) ++(*metric.mutable_class_filtered())[node.node_class()];
            return;
        }
        metric.set_nodes_exhausted(metric.nodes_exhausted() + 1);
        ++(*metric.mutable_dimension_exhausted())[why];
        if (!node.node_class().empty()) ++(*metric.mutable_class_exhausted())[node.node_class()];
    };
    for (size_t i : out_of_room)
        exhaust(i,
                request.penalty_nodes.contains(columns_[i].node->id()) ? room(v, i) : v.scored[i].exhausted);
    if (metric.nodes_exhausted() > 0)
        for (const auto& task : request.group->tasks()) {
            auto& asked = (*metric.mutable_resources_exhausted())[task.name()];
            asked.set_cpu(task.resources().cpu());
            asked.set_memory_mb(task.resources().memory_mb());
        }

    std::optional<PlaceOption> option;
    for (const auto& [value, i] : best) {
        if (option) break;
        model::AllocatedResources resources = v.ask;
        auto why = assign(v, columns_[i], resources);
        if (why.empty())
            option = PlaceOption{columns_[i].node, std::move(resources)};
        else
            exhaust(i, why);
    }
    for (const auto& [value, i] : best) {
        if (static_cast<size_t>(metric.score_meta_data_size()) >= kScoresKept) break;
        const bool penalty = request.penalty_nodes.contains(columns_[i].node->id());
        const Scored s = penalty ? score(v, i, true) : v.scored[i].valid ? v.scored[i] : score(v, i, false);
        auto& meta = *metric.add_score_meta_data();
        meta.set_node_id(columns_[i].node->id());
        meta.set_norm_score(s.score);
        auto& scores = *meta.mutable_scores();
        scores["binpack"] = s.binpack;
        scores["job-anti-affinity"] = s.anti_affinity;
        scores["node-reschedule-penalty"] = s.penalty;
        scores["node-affinity"] = s.affinity;
        if (!v.spreads.empty()) scores["allocation-spread"] = s.spread;
    }
    if (option) metric.clear_resources_exhausted();
    return option;
}

void Placer::touch(const std::string& node_id, const model::Allocation& alloc, int by) {
    auto at = column_of_.find(node_id);
    if (at == column_of_.end()) return;
    Column& column = columns_[at->second];
    auto& count = column.job_groups[alloc.task_group()];
    count += by;
    if (count <= 0) column.job_groups.erase(alloc.task_group());
    for (auto& [name, v] : groups_) {
        v->scored[at->second].valid = false;
        if (v->spreads.empty() && v->properties.empty()) continue;
        const bool same_group = name == alloc.task_group();
        for (auto& s : v->spreads)
            if (auto value = resolve_target(s.spread->attribute(), *column.node); same_group && value) {
                if ((s.use[*value] += by) <= 0) s.use.erase(*value);
            }
        for (auto& p : v->properties)
            if (auto value = resolve_target(p.target, *column.node); value && (same_group || !p.group_only)) {
                if ((p.use[*value] += by) <= 0) p.use.erase(*value);
            }
        for (auto& s : v->scored) s.valid = false;
    }
}

void Placer::stopped(const AllocRecord& record) {
    if (!holds_resources(record)) return;
    if (auto at = column_of_.find(record.alloc->node_id()); at != column_of_.end())
        subtract_usage(columns_[at->second].usage, *record.alloc);
    touch(record.alloc->node_id(), *record.alloc, -1);
}

void Placer::restored(const AllocRecord& record) {
    if (!holds_resources(record)) return;
    if (auto at = column_of_.find(record.alloc->node_id()); at != column_of_.end())
        add_usage(columns_[at->second].usage, *record.alloc);
    touch(record.alloc->node_id(), *record.alloc, 1);
}

void Placer::placed(const model::Allocation& alloc) {
    if (auto at = column_of_.find(alloc.node_id()); at != column_of_.end())
        add_usage(columns_[at->second].usage, alloc);
    touch(alloc.node_id(), alloc, 1);
}

bool Placer::may_stay(const AllocRecord& record, const model::TaskGroup& group) {
    auto node = state_.node(record.alloc->node_id());
    if (!node || !in_pool(job_, *node) || !in_datacenters(job_, *node)) return false;
    GroupFeasibility feasibility(job_, group);
    return feasibility.reason(*node).empty();
}

std::map<std::string, bool> Placer::class_eligibility() const {
    std::map<std::string, bool> out;
    for (const auto& [name, v] : groups_)
        for (const auto& [computed_class, reason] : v->feasibility.classes())
            out[computed_class] |= reason.empty();
    return out;
}

bool Placer::escaped() const {
    for (const auto& [name, v] : groups_)
        if (v->feasibility.escaped()) return true;
    return false;
}

}  // namespace drover::server
