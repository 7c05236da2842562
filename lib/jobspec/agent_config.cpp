// SPDX-License-Identifier: Apache-2.0
#include "jobspec/agent_config.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "hcl/parser.h"
#include "jobspec/decode.h"
#include "proto/agent/config.pb.h"

namespace drover::jobspec {
namespace {

using agentconfig::AgentConfig;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// The key by which repeated blocks of one kind are the same block: their label, or `name` where a block has
// one.
const FieldDescriptor* merge_key(const google::protobuf::Descriptor* type) {
    for (int i = 0; i < type->field_count(); ++i)
        if (type->field(i)->options().GetExtension(model::hcl).kind() == model::HCL_LABEL)
            return type->field(i);
    const FieldDescriptor* name = type->FindFieldByName("name");
    return name && name->cpp_type() == FieldDescriptor::CPPTYPE_STRING ? name : nullptr;
}

void merge_message(Message& into, const Message& over);

void merge_blocks(Message& into, const Message& over, const FieldDescriptor* field) {
    const auto* reflection = into.GetReflection();
    const FieldDescriptor* key = merge_key(field->message_type());
    for (int i = 0; i < reflection->FieldSize(over, field); ++i) {
        const Message& block = reflection->GetRepeatedMessage(over, field, i);
        Message* same = nullptr;
        for (int k = 0; key && k < reflection->FieldSize(into, field); ++k) {
            Message* candidate = reflection->MutableRepeatedMessage(&into, field, k);
            if (candidate->GetReflection()->GetString(*candidate, key) ==
                block.GetReflection()->GetString(block, key))
                same = candidate;
        }
        if (same)
            merge_message(*same, block);
        else
            reflection->AddMessage(&into, field)->CopyFrom(block);
    }
}

void merge_message(Message& into, const Message& over) {
    if (into.GetDescriptor() == model::MapValue::descriptor()) {
        // Free-form: the later file's keys win, the others stay.
        auto& fields = *static_cast<model::MapValue&>(into).mutable_fields();
        for (const auto& [name, value] : static_cast<const model::MapValue&>(over).fields())
            fields[name] = value;
        return;
    }
    const auto* reflection = into.GetReflection();
    std::vector<const FieldDescriptor*> set;
    reflection->ListFields(over, &set);
    for (const FieldDescriptor* field : set) {
        if (field->is_map()) {
            // Map entries of the later file replace those of the same key: protobuf's own merge does that.
            std::unique_ptr<Message> only(over.New());
            only->CopyFrom(over);
            std::vector<const FieldDescriptor*> others;
            reflection->ListFields(*only, &others);
            for (const FieldDescriptor* other : others)
                if (other != field) reflection->ClearField(only.get(), other);
            into.MergeFrom(*only);
        } else if (field->is_repeated()) {
            if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
                merge_blocks(into, over, field);
            } else {
                for (int i = 0; i < reflection->FieldSize(over, field); ++i)
                    reflection->AddString(&into, field, reflection->GetRepeatedString(over, field, i));
            }
        } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
            merge_message(*reflection->MutableMessage(&into, field), reflection->GetMessage(over, field));
        } else {
            switch (field->cpp_type()) {
                case FieldDescriptor::CPPTYPE_STRING:
                    reflection->SetString(&into, field, reflection->GetString(over, field));
                    break;
                case FieldDescriptor::CPPTYPE_INT64:
                    reflection->SetInt64(&into, field, reflection->GetInt64(over, field));
                    break;
                case FieldDescriptor::CPPTYPE_BOOL:
                    reflection->SetBool(&into, field, reflection->GetBool(over, field));
                    break;
                case FieldDescriptor::CPPTYPE_DOUBLE:
                    reflection->SetDouble(&into, field, reflection->GetDouble(over, field));
                    break;
                default:
                    abort_with("a scalar kind that config.proto does not use", __FILE__, __LINE__);
            }
        }
    }
}

void check_port(std::string& findings, std::string_view name, int64_t port) {
    if (port < 0 || port > 65535)
        findings += fmt::format("ports: {} is {}, expected 0 to 65535\n", name, port);
}

}  // namespace

Status parse_agent_config(const std::string& text, const std::string& name, AgentConfig& config) {
    hcl::Diagnostics diagnostics;
    hcl::File file = ends_with(name, ".json") ? hcl::parse_json(text, name, diagnostics)
                                              : hcl::parse(text, name, diagnostics);
    if (!diagnostics.has_errors())
        decode_body(*file.body, hcl::EvalContext(), config, diagnostics, {.merge_repeated_blocks = true});
    return diagnostics.status();
}

void merge_agent_config(AgentConfig& into, const AgentConfig& over) {
    merge_message(into, over);
}

Status load_agent_config(const std::string& path, AgentConfig& config, std::vector<std::string>& files) {
    struct stat st {};
    if (::stat(path.c_str(), &st) != 0) return Error::from_errno(fmt::format("configuration {}", path));
    std::vector<std::string> paths;
    if (S_ISDIR(st.st_mode)) {
        DROVER_TRY(auto names, list_dir(path));
        for (const std::string& name : names) {
            // Editors' leftovers are no configuration.
            if (name[0] == '.' || name[0] == '#' || ends_with(name, "~")) continue;
            if (ends_with(name, ".hcl") || ends_with(name, ".json")) paths.push_back(join_path(path, name));
        }
    } else {
        paths.push_back(path);
    }
    for (const std::string& file : paths) {
        DROVER_TRY(std::string text, read_file(file, 16u << 20));
        AgentConfig one;
        DROVER_CHECK(parse_agent_config(text, file, one));
        merge_agent_config(config, one);
        files.push_back(file);
    }
    return {};
}

AgentConfig default_agent_config() {
    AgentConfig c;
    c.set_region("global");
    c.set_datacenter("dc1");
    c.set_bind_addr("0.0.0.0");
    c.set_log_level("INFO");
    c.mutable_ports()->set_http(4646);
    c.mutable_ports()->set_rpc(4647);
    c.mutable_ports()->set_serf(4648);
    auto* client = c.mutable_client();
    client->set_node_pool("default");
    client->set_min_dynamic_port(20000);
    client->set_max_dynamic_port(32000);
    client->set_max_kill_timeout(30 * kSecond);
    client->set_gc_interval(kMinute);
    client->set_gc_max_allocs(50);
    client->set_cgroup_parent("drover");
    auto* server = c.mutable_server();
    server->set_heartbeat_grace(10 * kSecond);
    server->set_min_heartbeat_ttl(10 * kSecond);
    server->set_max_heartbeats_per_second(50);
    server->set_failover_heartbeat_ttl(5 * kMinute);
    server->set_node_gc_threshold(24 * kHour);
    server->set_job_gc_interval(5 * kMinute);
    server->set_job_gc_threshold(4 * kHour);
    server->set_eval_gc_threshold(kHour);
    server->set_batch_eval_gc_threshold(24 * kHour);
    server->set_deployment_gc_threshold(kHour);
    server->set_job_default_priority(50);
    server->set_job_max_priority(100);
    server->set_job_max_count(50000);
    server->set_job_tracked_versions(6);
    c.mutable_limits()->set_http_max_conns_per_client(100);
    c.mutable_ui()->set_enabled(true);
    c.mutable_ui()->set_show_cli_hints(true);
    return c;
}

AgentConfig dev_agent_config() {
    AgentConfig c = default_agent_config();
    c.set_bind_addr("127.0.0.1");
    c.set_log_level("DEBUG");
    c.set_enable_debug(true);
    c.mutable_server()->set_enabled(true);
    c.mutable_server()->set_bootstrap_expect(1);
    c.mutable_client()->set_enabled(true);
    c.mutable_client()->set_gc_disk_usage_threshold(99);
    c.mutable_client()->set_gc_inode_usage_threshold(99);
    c.mutable_client()->set_gc_max_allocs(50);
    c.mutable_telemetry()->set_prometheus_metrics(true);
    auto* raw_exec = c.add_plugin();
    raw_exec->set_name("raw_exec");
    (*raw_exec->mutable_config()->mutable_fields())["enabled"].set_bool_value(true);
    return c;
}

Status validate_agent_config(const AgentConfig& c, bool dev) {
    if (!c.server().enabled() && !c.client().enabled())
        return Error(Code::InvalidArgument, "Must specify either server, client or dev mode for the agent.");
    std::string findings;
    if (!dev) {
        if (c.data_dir().empty())
            findings += "Must specify \"data_dir\" config option or \"data-dir\" CLI flag\n";
        else if (c.data_dir()[0] != '/')
            findings += fmt::format("data_dir must be an absolute path, found \"{}\"\n", c.data_dir());
    }
    for (auto [name, dir] :
         {std::pair{"plugin_dir", c.plugin_dir()}, std::pair{"client.alloc_dir", c.client().alloc_dir()},
          std::pair{"client.state_dir", c.client().state_dir()}})
        if (!dir.empty() && dir[0] != '/')
            findings += fmt::format("{} must be an absolute path, found \"{}\"\n", name, dir);
    check_port(findings, "http", c.ports().http());
    check_port(findings, "rpc", c.ports().rpc());
    check_port(findings, "serf", c.ports().serf());
    if (c.server().enabled() && c.server().bootstrap_expect() < 1 && !dev)
        findings += "server: bootstrap_expect must be at least 1 when the server is enabled\n";
    if (c.server().bootstrap_expect() > 1)
        findings += fmt::format(
            "server: bootstrap_expect is {}; this version runs one server a region (expected 1)\n",
            c.server().bootstrap_expect());
    if (c.client().enabled() && !c.server().enabled() && c.client().servers().empty() &&
        c.client().server_join().retry_join().empty() && c.client().server_join().start_join().empty())
        findings += "client: no servers given: set client.servers = [\"host:4647\"] or client.server_join\n";
    if (c.client().min_dynamic_port() < 1 || c.client().max_dynamic_port() > 65535 ||
        c.client().min_dynamic_port() > c.client().max_dynamic_port())
        findings += fmt::format("client: dynamic ports {} to {} are no range within 1 to 65535\n",
                                c.client().min_dynamic_port(), c.client().max_dynamic_port());
    for (char ch : c.client().node_pool())
        if (!(std::isalnum(static_cast<unsigned char>(ch)) || ch == '-' || ch == '_')) {
            findings += fmt::format("client: node_pool \"{}\" may only hold letters, digits, '-' and '_'\n",
                                    c.client().node_pool());
            break;
        }
    log::Level level;
    if (!log::parse_level(c.log_level(), &level))
        findings +=
            fmt::format("log_level \"{}\": expected TRACE, DEBUG, INFO, WARN, ERROR or OFF\n", c.log_level());
    if (findings.empty()) return {};
    findings.pop_back();
    return Error(Code::InvalidArgument, findings);
}

}  // namespace drover::jobspec
