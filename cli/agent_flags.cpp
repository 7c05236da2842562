// SPDX-License-Identifier: Apache-2.0
#include "cli/agent_flags.h"

#include <functional>
#include <optional>

#include "base/clock.h"
#include "base/strings.h"
#include "proto/agent/config.pb.h"

namespace drover::cli {
namespace {

using agentconfig::AgentConfig;

// One flag: `value` is empty for switches given bare.
struct Row {
    std::string_view name;
    bool is_switch;
    std::string_view help;
    std::function<Status(AgentFlags&, AgentConfig&, const std::string& value)> set;
};

Status bad(std::string_view flag, std::string_view expected, const std::string& value) {
    return make_error(Code::InvalidArgument, "flag -{}: expected {}, found \"{}\"", flag, expected, value);
}

std::optional<bool> parse_bool(const std::string& value) {
    if (value.empty() || value == "true" || value == "1") return true;
    if (value == "false" || value == "0") return false;
    return std::nullopt;
}

using Text = std::string* (*)(AgentConfig&);
Row text(std::string_view name, std::string_view help, Text where) {
    return {name, false, help, [where](AgentFlags&, AgentConfig& c, const std::string& v) -> Status {
                *where(c) = v;
                return {};
            }};
}
Row toggle(std::string_view name, std::string_view help, std::function<void(AgentConfig&, bool)> set) {
    return {name, true, help, [name, set](AgentFlags&, AgentConfig& c, const std::string& v) -> Status {
                auto value = parse_bool(v);
                if (!value) return bad(name, "true or false", v);
                set(c, *value);
                return {};
            }};
}
Row number(std::string_view name, std::string_view help, std::function<void(AgentConfig&, int64_t)> set) {
    return {name, false, help, [name, set](AgentFlags&, AgentConfig& c, const std::string& v) -> Status {
                auto value = parse_int(v);
                if (!value) return bad(name, "a number", v);
                set(c, *value);
                return {};
            }};
}

const std::vector<Row>& rows() {
    static const std::vector<Row> table = {
        {"config", false,
         "A configuration file, or a directory of *.hcl and *.json; may be given several times.",
         [](AgentFlags& f, AgentConfig&, const std::string& v) -> Status {
             f.config_paths.push_back(v);
             return {};
         }},
        {"dev", true, "Server and client in one process, on the loopback, keeping nothing.",
         [](AgentFlags& f, AgentConfig&, const std::string& v) -> Status {
             auto value = parse_bool(v);
             if (!value) return bad("dev", "true or false", v);
             f.dev = *value;
             return {};
         }},
        toggle("server", "Run a server.", [](AgentConfig& c, bool v) { c.mutable_server()->set_enabled(v); }),
        toggle("client", "Run a client.", [](AgentConfig& c, bool v) { c.mutable_client()->set_enabled(v); }),
        number("bootstrap-expect", "Servers to wait for before the first election.",
               [](AgentConfig& c, int64_t v) { c.mutable_server()->set_bootstrap_expect(v); }),
        text("data-dir", "Where the agent keeps its state (absolute).",
             [](AgentConfig& c) { return c.mutable_data_dir(); }),
        text("bind", "Address to listen on.", [](AgentConfig& c) { return c.mutable_bind_addr(); }),
        text("region", "Region of the agent.", [](AgentConfig& c) { return c.mutable_region(); }),
        text("dc", "Datacenter of the agent.", [](AgentConfig& c) { return c.mutable_datacenter(); }),
        text("node", "Name of the agent; the host's name otherwise.",
             [](AgentConfig& c) { return c.mutable_name(); }),
        text("node-class", "Class of the node, for constraints.",
             [](AgentConfig& c) { return c.mutable_client()->mutable_node_class(); }),
        text("node-pool", "Pool of the node.",
             [](AgentConfig& c) { return c.mutable_client()->mutable_node_pool(); }),
        {"servers", false, "Servers of the client, host:port; a comma list, or given several times.",
         [](AgentFlags&, AgentConfig& c, const std::string& v) -> Status {
             for (const std::string& server : split(v, ','))
                 if (!server.empty()) c.mutable_client()->add_servers(server);
             return {};
         }},
        {"meta", false, "Metadata of the node, key=value; may be given several times.",
         [](AgentFlags&, AgentConfig& c, const std::string& v) -> Status {
             size_t at = v.find('=');
             if (at == std::string::npos || at == 0) return bad("meta", "key=value", v);
             (*c.mutable_client()->mutable_meta())[v.substr(0, at)] = v.substr(at + 1);
             return {};
         }},
        text("network-interface", "Interface whose address tasks get.",
             [](AgentConfig& c) { return c.mutable_client()->mutable_network_interface(); }),
        number("network-speed", "Speed of the interface in Mbit/s.",
               [](AgentConfig& c, int64_t v) { c.mutable_client()->set_network_speed(v); }),
        text("state-dir", "Where the client keeps its state.",
             [](AgentConfig& c) { return c.mutable_client()->mutable_state_dir(); }),
        text("alloc-dir", "Where allocations live.",
             [](AgentConfig& c) { return c.mutable_client()->mutable_alloc_dir(); }),
        text("plugin-dir", "Where third-party plugins are.",
             [](AgentConfig& c) { return c.mutable_plugin_dir(); }),
        text("encrypt", "Gossip key, 32 bytes in base64.",
             [](AgentConfig& c) { return c.mutable_server()->mutable_encrypt(); }),
        {"retry-join", false, "Servers to join; may be given several times.",
         [](AgentFlags&, AgentConfig& c, const std::string& v) -> Status {
             c.mutable_server()->mutable_server_join()->add_retry_join(v);
             return {};
         }},
        text("log-level", "TRACE, DEBUG, INFO, WARN, ERROR or OFF.",
             [](AgentConfig& c) { return c.mutable_log_level(); }),
        toggle("log-json", "Log lines as JSON.", [](AgentConfig& c, bool v) { c.set_log_json(v); }),
        toggle("log-include-location", "Source location in log lines.",
               [](AgentConfig& c, bool v) { c.set_log_include_location(v); }),
        toggle("acl-enabled", "Enforce access control.",
               [](AgentConfig& c, bool v) { c.mutable_acl()->set_enabled(v); }),
    };
    return table;
}

}  // namespace

Status parse_agent_flags(const std::vector<std::string>& args, AgentFlags& flags, AgentConfig& layer) {
    for (size_t i = 0; i < args.size(); ++i) {
        std::string_view arg = args[i];
        if (arg.size() < 2 || arg[0] != '-')
            return make_error(Code::InvalidArgument,
                              "unexpected argument \"{}\": drover agent takes flags only", arg);
        arg.remove_prefix(arg[1] == '-' ? 2 : 1);
        size_t equals = arg.find('=');
        std::string name(arg.substr(0, equals));
        if (name == "h" || name == "help") {
            flags.help = true;
            return {};
        }
        const Row* row = nullptr;
        std::vector<std::string> known;
        for (const Row& candidate : rows()) {
            known.emplace_back(candidate.name);
            if (candidate.name == name) row = &candidate;
        }
        if (!row) {
            auto near = closest(name, known);
            return make_error(Code::InvalidArgument, "flag provided but not defined: -{}{}", name,
                              near ? fmt::format(" (did you mean -{}?)", *near) : "");
        }
        std::string value;
        if (equals != std::string_view::npos) {
            value = arg.substr(equals + 1);
        } else if (!row->is_switch) {
            if (++i == args.size())
                return make_error(Code::InvalidArgument, "flag needs an argument: -{}", name);
            value = args[i];
        }
        DROVER_CHECK(row->set(flags, layer, value));
    }
    return {};
}

std::vector<std::pair<std::string, std::string>> agent_flag_help() {
    std::vector<std::pair<std::string, std::string>> help;
    for (const Row& row : rows())
        help.emplace_back(fmt::format("-{}{}", row.name, row.is_switch ? "" : "=<value>"), row.help);
    return help;
}

}  // namespace drover::cli
