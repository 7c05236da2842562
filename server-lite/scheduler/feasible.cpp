// SPDX-License-Identifier: Apache-2.0
#include "server-lite/scheduler/feasible.h"

#include <re2/re2.h>

#include "base/strings.h"
#include "model/status.h"
#include "server-lite/scheduler/version.h"

namespace drover::server {

bool glob_match(std::string_view pattern, std::string_view text) {
    const auto star = pattern.find('*');
    if (star == pattern.npos) return pattern == text;
    if (!text.starts_with(pattern.substr(0, star))) return false;
    text.remove_prefix(star);
    pattern.remove_prefix(star + 1);
    for (size_t skip = 0; skip <= text.size(); ++skip)
        if (glob_match(pattern, text.substr(skip))) return true;
    return false;
}

bool in_datacenters(const model::Job& job, const model::Node& node) {
    if (job.datacenters().empty()) return true;
    for (const auto& pattern : job.datacenters())
        if (glob_match(pattern, node.datacenter())) return true;
    return false;
}

bool in_pool(const model::Job& job, const model::Node& node) {
    const std::string_view pool =
        job.node_pool().empty() ? model::kNodePoolDefault : std::string_view(job.node_pool());
    const std::string_view of =
        node.node_pool().empty() ? model::kNodePoolDefault : std::string_view(node.node_pool());
    return pool == model::kNodePoolAll || pool == of;
}

std::optional<std::string> resolve_target(std::string_view target, const model::Node& node) {
    if (!target.starts_with("${")) return std::string(target);
    if (!target.ends_with("}")) return std::nullopt;
    const std::string name(target.substr(2, target.size() - 3));
    if (name == "node.unique.id") return node.id();
    if (name == "node.datacenter") return node.datacenter();
    if (name == "node.unique.name") return node.name();
    if (name == "node.class") return node.node_class();
    if (name == "node.pool") return node.node_pool();
    auto lookup = [&](const auto& map, std::string_view prefix) -> std::optional<std::string> {
        auto found = map.find(name.substr(prefix.size()));
        if (found == map.end()) return std::nullopt;
        return found->second;
    };
    if (name.starts_with("attr.")) return lookup(node.attributes(), "attr.");
    if (name.starts_with("meta.")) return lookup(node.meta(), "meta.");
    return std::nullopt;
}

namespace {

bool compare_order(std::string_view operand, const std::string& l, const std::string& r) {
    int order;
    auto li = parse_int(l), ri = parse_int(r);
    auto lf = parse_double(l), rf = parse_double(r);
    if (li && ri)
        order = *li < *ri ? -1 : *li > *ri;
    else if (lf && rf)
        order = *lf < *rf ? -1 : *lf > *rf;
    else
        order = l.compare(r) < 0 ? -1 : l.compare(r) > 0;
    if (operand == "<") return order < 0;
    if (operand == "<=") return order <= 0;
    if (operand == ">") return order > 0;
    return order >= 0;
}

std::set<std::string> comma_set(const std::string& text) {
    std::set<std::string> out;
    for (const auto& part : split(text, ',')) out.emplace(trim(part));
    return out;
}

// Compiled once a pattern and thread: constraints are checked for many nodes.
bool regexp_matches(const std::string& text, const std::string& pattern) {
    thread_local std::unordered_map<std::string, std::unique_ptr<re2::RE2>> cache;
    if (cache.size() > 256) cache.clear();
    auto& compiled = cache[pattern];
    if (!compiled) {
        re2::RE2::Options options;
        options.set_log_errors(false);
        compiled = std::make_unique<re2::RE2>(pattern, options);
    }
    return compiled->ok() && re2::RE2::PartialMatch(text, *compiled);
}

}  // namespace

bool check_constraint(std::string_view operand, const std::optional<std::string>& left,
                      const std::optional<std::string>& right) {
    if (operand == "distinct_hosts" || operand == "distinct_property") return true;
    if (operand == "is_set") return left.has_value();
    if (operand == "is_not_set") return !left.has_value();
    if (operand == "!=" || operand == "not") return left != right;
    if (!left || !right) return false;
    if (operand.empty() || operand == "=" || operand == "==" || operand == "is") return *left == *right;
    if (operand == "<" || operand == "<=" || operand == ">" || operand == ">=")
        return compare_order(operand, *left, *right);
    if (operand == "regexp") return regexp_matches(*left, *right);
    if (operand == "version") return version_matches(*left, *right, VersionRules::Lenient);
    if (operand == "semver") return version_matches(*left, *right, VersionRules::Semver);
    if (operand == "set_contains" || operand == "set_contains_all") {
        const auto have = comma_set(*left), want = comma_set(*right);
        return std::includes(have.begin(), have.end(), want.begin(), want.end());
    }
    if (operand == "set_contains_any") {
        const auto have = comma_set(*left);
        for (const auto& want : comma_set(*right))
            if (have.contains(want)) return true;
        return false;
    }
    return false;
}

bool check_constraint(const model::Constraint& c, const model::Node& node) {
    return check_constraint(c.operand(), resolve_target(c.l_target(), node),
                            resolve_target(c.r_target(), node));
}

bool check_affinity(const model::Affinity& a, const model::Node& node) {
    return check_constraint(a.operand(), resolve_target(a.l_target(), node),
                            resolve_target(a.r_target(), node));
}

std::string constraint_text(const model::Constraint& c) {
    return fmt::format("{} {} {}", c.l_target(), c.operand().empty() ? "=" : c.operand(), c.r_target());
}

bool escapes_class(const model::Constraint& c) {
    for (std::string_view target : {std::string_view(c.l_target()), std::string_view(c.r_target())})
        for (std::string_view prefix : {"${node.unique.", "${attr.unique.", "${meta.unique.", "${unique."})
            if (target.starts_with(prefix)) return true;
    return false;
}

std::string computed_class(const model::Node& node) {
    uint64_t hash = 0xcbf29ce484222325ull;
    auto mix = [&](std::string_view text) {
        for (char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ull;
        hash = (hash ^ 0x1f) * 0x100000001b3ull;
    };
    mix(node.datacenter());
    mix(node.node_class());
    mix(node.node_pool());
    auto mix_map = [&](const auto& map) {
        for (const auto& [key, value] : std::map<std::string, std::string>(map.begin(), map.end())) {
            if (key.starts_with("unique.")) continue;
            mix(key);
            mix(value);
        }
    };
    mix_map(node.attributes());
    mix("meta");
    mix_map(node.meta());
    for (const auto& device : node.node_resources().devices()) {
        mix(device.vendor());
        mix(device.type());
        mix(device.name());
    }
    return fmt::format("v1:{}", hash);
}

bool device_matches(const model::RequestedDevice& request, const model::NodeDeviceResource& device) {
    const auto parts = split(request.name(), '/');
    if (parts.size() == 1 && parts[0] != device.type()) return false;
    if (parts.size() == 2 && (parts[0] != device.vendor() || parts[1] != device.type())) return false;
    if (parts.size() >= 3 && (parts[0] != device.vendor() || parts[1] != device.type() ||
                              request.name().substr(parts[0].size() + parts[1].size() + 2) != device.name()))
        return false;
    auto resolve = [&](std::string_view target) -> std::optional<std::string> {
        if (!target.starts_with("${") || !target.ends_with("}")) return std::string(target);
        const std::string name(target.substr(2, target.size() - 3));
        if (name == "device.model") return device.name();
        if (name == "device.vendor") return device.vendor();
        if (name == "device.type") return device.type();
        if (name == "device.ids") {
            std::vector<std::string> ids;
            for (const auto& instance : device.instances()) ids.push_back(instance.id());
            return join(ids, ",");
        }
        if (!name.starts_with("device.attr.")) return std::nullopt;
        auto found = device.attributes().find(name.substr(12));
        if (found == device.attributes().end()) return std::nullopt;
        const auto& a = found->second;
        const std::string unit = a.unit().empty() ? "" : " " + a.unit();
        if (a.has_string()) return a.string();
        if (a.has_int_()) return std::to_string(a.int_()) + unit;
        if (a.has_bool_()) return std::string(a.bool_() ? "true" : "false");
        if (a.has_float_()) return fmt::format("{}", a.float_()) + unit;
        return std::nullopt;
    };
    for (const auto& c : request.constraints())
        if (!check_constraint(c.operand(), resolve(c.l_target()), resolve(c.r_target()))) return false;
    return true;
}

GroupFeasibility::GroupFeasibility(const model::Job& job, const model::TaskGroup& group) : group_(group) {
    auto take = [&](const auto& constraints) {
        for (const auto& c : constraints) {
            const bool escapes = escapes_class(c);
            escaped_ |= escapes;
            (escapes ? by_node_constraints_ : by_class_constraints_).push_back(&c);
        }
    };
    take(job.constraints());
    take(group.constraints());
    std::set<std::string> drivers;
    for (const auto& task : group.tasks()) {
        take(task.constraints());
        drivers.insert(task.driver());
        for (const auto& device : task.resources().devices()) devices_.push_back(&device);
    }
    drivers_.assign(drivers.begin(), drivers.end());
}

const std::string& GroupFeasibility::reason(const model::Node& node) {
    auto [cached, fresh] = by_class_.try_emplace(node.computed_class());
    if (fresh) cached->second = class_reason(node);
    if (!cached->second.empty()) return cached->second;
    last_ = node_reason(node);
    return last_;
}

std::string GroupFeasibility::class_reason(const model::Node& node) const {
    for (const auto* c : by_class_constraints_)
        if (!check_constraint(*c, node)) return constraint_text(*c);
    return {};
}

std::string GroupFeasibility::node_reason(const model::Node& node) const {
    for (const auto& driver : drivers_) {
        auto info = node.drivers().find(driver);
        if (info != node.drivers().end()) {
            if (!info->second.detected() || !info->second.healthy()) return "missing drivers";
            continue;
        }
        auto attribute = node.attributes().find("driver." + driver);
        if (attribute == node.attributes().end() || (attribute->second != "1" && attribute->second != "true"))
            return "missing drivers";
    }
    for (const auto* c : by_node_constraints_)
        if (!check_constraint(*c, node)) return constraint_text(*c);
    for (const auto* request : devices_) {
        bool found = false;
        for (const auto& device : node.node_resources().devices()) found |= device_matches(*request, device);
        if (!found) return "missing devices";
    }
    for (const auto& network : group_.networks()) {
        const auto& mode = network.mode();
        bool found = mode.empty() || mode == "host" || mode == "none";
        for (const auto& have : node.node_resources().networks()) found |= have.mode() == mode;
        for (const auto& have : node.node_resources().node_networks()) found |= have.mode() == mode;
        if (!found) return "missing network";
    }
    for (const auto& [name, volume] : group_.volumes()) {
        if (volume.type() == "csi")
            return fmt::format("CSI plugin for volume {} is missing", volume.source());
        auto have = node.host_volumes().find(volume.source());
        if (have == node.host_volumes().end() || (have->second.read_only() && !volume.read_only()))
            return "missing compatible host volumes";
    }
    return {};
}

}  // namespace drover::server
