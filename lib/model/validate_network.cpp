// SPDX-License-Identifier: Apache-2.0
// See validate.h: networks, ports, services and checks.
#include <map>
#include <set>

#include <re2/re2.h>

#include "base/clock.h"
#include "base/strings.h"
#include "model/validate_parts.h"
#include "proto/model/model.pb.h"

namespace drover::model {

namespace {

bool one_of(std::string_view text, std::initializer_list<std::string_view> known) {
    for (auto each : known)
        if (text == each) return true;
    return false;
}

void check_port(const Port& port, const std::string& mode, std::map<std::string, std::string>& labels,
                std::map<std::string, std::string>& statics, Findings& findings) {
    if (port.label().empty()) findings.add("Port label cannot be empty");
    if (auto [before, fresh] = labels.emplace(port.label(), "taskgroup network"); !fresh)
        findings.add("Port label {} already in use by {}", port.label(), before->second);
    if (port.value() < 0) findings.add("Port {} has a negative static value {}", port.label(), port.value());
    if (port.value() > 65535)
        findings.add("Port {} ({}) cannot be greater than 65535", port.label(), port.value());
    if (port.to() < -1)
        findings.add("Port \"{}\" cannot be mapped to negative value {}", port.label(), port.to());
    if (port.to() > 65535)
        findings.add("Port \"{}\" cannot be mapped to a port ({}) greater than 65535", port.label(),
                     port.to());
    if (port.ignore_collision() && mode != "" && mode != "host")
        findings.add("Port {} cannot use ignore_collision with network mode \"{}\"; it needs \"host\"",
                     port.label(), mode);
    if (port.value() <= 0 || port.ignore_collision()) return;
    std::string key = fmt::format("{}/{}", port.host_network(), port.value());
    if (auto [before, fresh] = statics.emplace(key, port.label()); !fresh)
        findings.add("Static port {} already reserved by {}", port.value(), before->second);
}

bool is_hostname(std::string_view name) {
    static const RE2 pattern(
        R"(([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*)");
    return name.size() <= 253 && RE2::FullMatch(re2::StringPiece(name.data(), name.size()), pattern);
}

bool is_number(std::string_view text) {
    return parse_uint(text).has_value();
}

std::set<std::string> port_labels(const TaskGroup& group) {
    std::set<std::string> labels;
    auto take = [&](const NetworkResource& network) {
        for (const auto& port : network.reserved_ports()) labels.insert(port.label());
        for (const auto& port : network.dynamic_ports()) labels.insert(port.label());
    };
    for (const auto& network : group.networks()) take(network);
    for (const auto& task : group.tasks())
        for (const auto& network : task.resources().networks()) take(network);
    return labels;
}

Findings check_check(const ServiceCheck& check, const Service& service) {
    Findings findings;
    bool nomad = service.provider() == "nomad";
    if (!one_of(check.type(), {"http", "tcp", "grpc", "script"}))
        findings.add("invalid check type (\"{}\"), must be one of {}", check.type(),
                     nomad ? "http, tcp" : "tcp, http, grpc, script");
    else if (nomad && !one_of(check.type(), {"http", "tcp"}))
        findings.add("invalid check type (\"{}\"), must be one of tcp, http", check.type());
    if (check.interval() < kSecond)
        findings.add("interval ({}) cannot be lower than 1s", format_duration(check.interval()));
    if (check.timeout() < kSecond)
        findings.add("timeout ({}) is lower than required minimum timeout 1s",
                     format_duration(check.timeout()));
    if (check.type() == "http" && check.path().empty()) findings.add("http type must have http path");
    if (check.type() == "http" && check.path().find("://") != std::string::npos)
        findings.add("relative http path required");
    if (check.type() == "script" && check.command().empty())
        findings.add("script type must have a valid script path");
    if (!one_of(check.initial_status(), {"", "passing", "warning", "critical"}))
        findings.add("invalid initial check state ({}), must be one of passing, warning, critical or empty",
                     check.initial_status());
    if (!one_of(check.on_update(), {"", "require_healthy", "ignore_warnings", "ignore"}))
        findings.add("on_update must be \"require_healthy\", \"ignore_warnings\" or \"ignore\"; got \"{}\"",
                     check.on_update());
    if (nomad && check.on_update() == "ignore_warnings")
        findings.add("on_update may only be set to ignore_warnings for Consul service checks");
    constexpr size_t kNotesMax = 255;
    if (check.notes().size() > kNotesMax)
        findings.add("notes must not be longer than {} characters", kNotesMax);
    if (check.success_before_passing() < 0) findings.add("success_before_passing must be non-negative");
    if (check.failures_before_critical() < 0) findings.add("failures_before_critical must be non-negative");
    if (check.failures_before_warning() < 0) findings.add("failures_before_warning must be non-negative");
    if (check.has_check_restart()) {
        if (check.check_restart().limit() < 0)
            findings.add("limit must be greater than or equal to 0 but found {}",
                         check.check_restart().limit());
        if (check.check_restart().grace() < 0)
            findings.add("grace period cannot be negative, found {}",
                         format_duration(check.check_restart().grace()));
    }
    return findings;
}

void check_connect(const Service& service, Findings& findings) {
    if (!service.has_connect()) return;
    if (service.provider() == "nomad")
        findings.add("Service with provider nomad cannot include Connect blocks");
    int kinds = (service.connect().native() ? 1 : 0) + (service.connect().has_sidecar_service() ? 1 : 0) +
                (service.connect().has_gateway() ? 1 : 0);
    if (kinds != 1)
        findings.add(
            "Consul Connect must be exclusively native, make use of a sidecar, or represent a Gateway");
}

Findings check_service(const Service& service, const std::set<std::string>& ports) {
    Findings findings;
    // Variables are filled in on the client, so what holds them is not judged here.
    static const RE2 kLabel(R"((?i)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)");
    static const RE2 kVariable(R"(\$\{[^}]*\})");
    std::string name = service.name();
    RE2::GlobalReplace(&name, kVariable, "x");
    if (!RE2::FullMatch(name, kLabel))
        findings.add(
            "Service name must be valid per RFC 1123 and can contain only alphanumeric characters or dashes: "
            "\"{}\"",
            service.name());
    if (!one_of(service.provider(), {"consul", "nomad"}))
        findings.add("Service provider must be \"consul\" or \"nomad\"; got \"{}\"", service.provider());
    if (!one_of(service.address_mode(), {"", "auto", "host", "driver", "alloc", "alloc_ipv6"}))
        findings.add(
            "Service address_mode must be \"auto\", \"host\", \"driver\", \"alloc\" or \"alloc_ipv6\"; not "
            "\"{}\"",
            service.address_mode());
    if (!service.address().empty() && !one_of(service.address_mode(), {"", "auto"}))
        findings.add("Service address_mode must be \"auto\" if address is set");
    if (!one_of(service.on_update(), {"", "require_healthy", "ignore_warnings", "ignore"}))
        findings.add(
            "Service on_update must be \"require_healthy\", \"ignore_warnings\" or \"ignore\"; got \"{}\"",
            service.on_update());
    if (service.provider() == "nomad" && service.on_update() == "ignore_warnings")
        findings.add("Service on_update ignore_warnings is not supported by provider nomad");
    const auto& port = service.port_label();
    if (!port.empty() && !ports.contains(port) && !is_number(port) && port.find("${") == std::string::npos)
        findings.add("Service port label \"{}\" does not exist in the network block of the group", port);
    check_connect(service, findings);
    std::set<std::string> names;
    for (const auto& check : service.checks()) {
        if (!names.insert(check.name()).second) findings.add("check {} redefined", check.name());
        findings.nest(fmt::format("Check {} invalid", check.name()), check_check(check, service));
    }
    return findings;
}

}  // namespace

Findings check_networks(const TaskGroup& group) {
    Findings findings;
    if (group.networks_size() > 1) {
        bool connect = false;
        for (const auto& service : group.services()) connect = connect || service.has_connect();
        if (connect)
            findings.add("Consul Connect needs exactly one network; the group has {}", group.networks_size());
    }
    std::map<std::string, std::string> labels;
    std::map<std::string, std::string> statics;
    auto check = [&](const NetworkResource& network) {
        const auto& mode = network.mode();
        if (!one_of(mode, {"", "host", "bridge", "none"}) && !(starts_with(mode, "cni/") && mode.size() > 4))
            findings.add(
                "Invalid network mode \"{}\"; expected \"host\", \"bridge\", \"none\" or \"cni/<name>\"",
                mode);
        for (const auto& port : network.reserved_ports()) check_port(port, mode, labels, statics, findings);
        for (const auto& port : network.dynamic_ports()) check_port(port, mode, labels, statics, findings);
        if (!network.hostname().empty()) {
            if (mode != "bridge" && !starts_with(mode, "cni/"))
                findings.add("Hostname is only supported in bridge mode");
            if (network.hostname().find("${") == std::string::npos && !is_hostname(network.hostname()))
                findings.add("Hostname is not a valid DNS name: \"{}\"", network.hostname());
        }
        for (const auto& [name, value] : network.cni().args())
            if (name.find(';') != std::string::npos || value.find(';') != std::string::npos)
                findings.add("CNI args may not contain ';': \"{}\"", name);
    };
    for (const auto& network : group.networks()) check(network);
    for (const auto& task : group.tasks()) {
        labels.clear();
        for (const auto& network : task.resources().networks()) check(network);
    }
    return findings;
}

Findings check_services(const TaskGroup& group) {
    Findings findings;
    auto ports = port_labels(group);
    std::set<std::string> seen;
    std::set<std::string> providers;
    auto check = [&](const Service& service) {
        providers.insert(service.provider());
        if (!seen.insert(fmt::format("{}+{}", service.name(), service.port_label())).second)
            findings.add("Services are not unique: name \"{}\" with port \"{}\" is used twice",
                         service.name(), service.port_label());
        findings.nest(fmt::format("Service {} validation failed", service.name()),
                      check_service(service, ports));
    };
    for (const auto& service : group.services()) {
        check(service);
        bool known = service.task_name().empty();
        for (const auto& task : group.tasks()) known = known || task.name() == service.task_name();
        if (!known)
            findings.add("Service {} refers to task \"{}\", which the group does not have", service.name(),
                         service.task_name());
        for (const auto& each : service.checks())
            if (each.type() == "script" && each.task_name().empty() && service.task_name().empty())
                findings.add("Check {} of service {} is a script and must name its task", each.name(),
                             service.name());
    }
    for (const auto& task : group.tasks())
        for (const auto& service : task.services()) check(service);
    if (providers.size() > 1)
        findings.add("Multiple service providers used: task group services must use the same provider");
    return findings;
}

}  // namespace drover::model
