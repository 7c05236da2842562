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

// In the order of the file; what is not expected is named in the summary, where people's eyes and scripts
// look for it.
hcl::Diagnostics in_nomads_words(const hcl::Diagnostics& diagnostics, std::string_view source) {
    std::vector<hcl::Diagnostic> sorted = diagnostics.all();
    std::stable_sort(sorted.begin(), sorted.end(), [](const hcl::Diagnostic& a, const hcl::Diagnostic& b) {
        return a.subject && b.subject && a.subject->start.byte < b.subject->start.byte;
    });
    hcl::Diagnostics out;
    for (hcl::Diagnostic& diagnostic : sorted) {
        // Without variables a value is unknown only where its error has been said already.
        if (diagnostic.detail == "Unsuitable value: value must be known") continue;
        bool unexpected = diagnostic.summary == "Unsupported argument" ||
                          diagnostic.summary == "Unsupported block type" ||
                          diagnostic.summary == "Invalid label";
        if (unexpected && diagnostic.subject) {
            const hcl::Range& at = *diagnostic.subject;
            std::string key(source.substr(at.start.byte, at.end.byte - at.start.byte));
            if (key.size() > 1 && key[0] == '"') key = key.substr(1, key.size() - 2);
            diagnostic.summary = "unexpected keys " + key;
        }
        out.add(std::move(diagnostic));
    }
    return out;
}

}  // namespace

Status parse_agent_config(const std::string& text, const std::string& name, AgentConfig& config) {
    hcl::Diagnostics diagnostics;
    // The dialect of these files has no expressions: a bare name or a function call is an error.
    hcl::File file = hcl::parse_hcl1(text, name, diagnostics);
    if (!diagnostics.has_errors()) {
        hcl::EvalContext context;
        context.variables_allowed = false;
        DecodeOptions options;
        options.merge_repeated_blocks = true;
        decode_body(*hcl::fold_case(file.body), context, config, diagnostics, options);
    }
    return in_nomads_words(diagnostics, file.source).status();
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
            if (!ends_with(name, ".hcl") && !ends_with(name, ".json")) continue;
            std::string file = join_path(path, name);
            if (::stat(file.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) continue;
            paths.push_back(std::move(file));
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

namespace {

void set_server_defaults(agentconfig::Server& server) {
    server.set_raft_protocol(3);
    server.set_raft_multiplier(1);
    server.set_heartbeat_grace(10 * kSecond);
    server.set_min_heartbeat_ttl(10 * kSecond);
    server.set_max_heartbeats_per_second(50);
    server.set_failover_heartbeat_ttl(5 * kMinute);
    server.set_node_gc_threshold(24 * kHour);
    server.set_job_gc_interval(5 * kMinute);
    server.set_job_gc_threshold(4 * kHour);
    server.set_eval_gc_threshold(kHour);
    server.set_batch_eval_gc_threshold(24 * kHour);
    server.set_deployment_gc_threshold(kHour);
    server.set_csi_volume_claim_gc_interval(5 * kMinute);
    server.set_csi_volume_claim_gc_threshold(5 * kMinute);
    server.set_csi_plugin_gc_threshold(kHour);
    server.set_acl_token_gc_threshold(kHour);
    server.set_root_key_gc_interval(10 * kMinute);
    server.set_root_key_gc_threshold(kHour);
    server.set_root_key_rotation_threshold(720 * kHour);
    server.mutable_server_join()->set_retry_interval(30 * kSecond);
    server.mutable_server_join()->set_retry_max(0);
    server.set_plan_apply_pipeline(1);
    auto* rejected = server.mutable_plan_rejection_tracker();
    rejected->set_enabled(false);
    rejected->set_node_threshold(100);
    rejected->set_node_window(5 * kMinute);
    server.set_enable_event_broker(true);
    server.set_event_buffer_size(100);
    auto* search = server.mutable_search();
    search->set_fuzzy_enabled(true);
    search->set_limit_query(20);
    search->set_limit_results(100);
    search->set_min_term_length(2);
    server.set_job_default_priority(50);
    server.set_job_max_priority(100);
    server.set_job_max_count(50000);
    server.set_job_max_source_size("1M");
    server.set_job_tracked_versions(6);
    server.set_start_timeout(30 * kSecond);
    auto* introduction = server.mutable_client_introduction();
    introduction->set_enforcement("warn");
    introduction->set_default_identity_ttl(5 * kMinute);
    introduction->set_max_identity_ttl(30 * kMinute);
}

void set_retry_defaults(agentconfig::Retry& retry) {
    retry.set_attempts(12);
    retry.set_backoff(250 * kMillisecond);
    retry.set_max_backoff(kMinute);
}

void set_template_defaults(agentconfig::Template& render) {
    render.set_disable_file_sandbox(false);
    render.set_max_stale(87600 * kHour);
    render.set_block_query_wait(5 * kMinute);
    render.mutable_wait()->set_min(5 * kSecond);
    render.mutable_wait()->set_max(4 * kMinute);
    set_retry_defaults(*render.mutable_consul_retry());
    set_retry_defaults(*render.mutable_vault_retry());
    set_retry_defaults(*render.mutable_nomad_retry());
    render.set_vault_default_lease_duration(5 * kMinute);
}

void set_client_defaults(agentconfig::Client& client) {
    client.set_node_pool("default");
    client.set_bind_wildcard_default_host_network(true);
    client.set_min_dynamic_port(20000);
    client.set_max_dynamic_port(32000);
    client.set_max_kill_timeout(30 * kSecond);
    client.set_disable_remote_exec(false);
    client.set_no_host_uuid(true);
    client.set_gc_interval(kMinute);
    client.set_gc_disk_usage_threshold(80);
    client.set_gc_inode_usage_threshold(70);
    client.set_gc_max_allocs(50);
    client.set_gc_parallel_destroys(2);
    client.set_gc_volumes_on_node_gc(false);
    client.set_cgroup_parent("drover");
    client.set_cni_path("/opt/cni/bin:/usr/libexec/cni");
    client.set_cni_config_dir("/opt/cni/config");
    client.set_bridge_network_name("nomad");
    client.set_bridge_network_subnet("172.26.64.0/20");
    client.set_bridge_network_hairpin_mode(false);
    set_template_defaults(*client.mutable_template_());
    auto* artifact = client.mutable_artifact();
    artifact->set_http_read_timeout(30 * kMinute);
    artifact->set_gcs_timeout(30 * kMinute);
    artifact->set_git_timeout(30 * kMinute);
    artifact->set_hg_timeout(30 * kMinute);
    artifact->set_s3_timeout(30 * kMinute);
    artifact->set_http_max_size("100GB");
    artifact->set_decompression_size_limit("100GB");
    artifact->set_decompression_file_count_limit(4096);
    client.set_nomad_service_discovery(true);
    client.mutable_users()->set_dynamic_user_min(80000);
    client.mutable_users()->set_dynamic_user_max(89999);
}

void set_other_defaults(AgentConfig& c) {
    c.set_log_rotate_duration(24 * kHour);
    c.set_syslog_facility("LOCAL0");
    auto* acl = c.mutable_acl();
    acl->set_enabled(false);
    acl->set_token_ttl(30 * kSecond);
    acl->set_policy_ttl(30 * kSecond);
    acl->set_role_ttl(30 * kSecond);
    acl->set_token_min_expiration_ttl(kMinute);
    acl->set_token_max_expiration_ttl(24 * kHour);
    c.mutable_tls()->set_tls_min_version("tls12");
    auto* telemetry = c.mutable_telemetry();
    telemetry->set_in_memory_collection_interval(10 * kSecond);
    telemetry->set_in_memory_retention_period(kMinute);
    telemetry->set_collection_interval(kSecond);
    telemetry->set_filter_default(true);
    auto* autopilot = c.mutable_autopilot();
    autopilot->set_cleanup_dead_servers(true);
    autopilot->set_last_contact_threshold(200 * kMillisecond);
    autopilot->set_max_trailing_logs(250);
    autopilot->set_min_quorum(0);
    autopilot->set_server_stabilization_time(10 * kSecond);
    c.mutable_limits()->set_https_handshake_timeout("5s");
    c.mutable_limits()->set_http_max_conns_per_client(100);
    c.mutable_limits()->set_rpc_handshake_timeout("5s");
    c.mutable_limits()->set_rpc_max_conns_per_client(100);
    auto* rpc = c.mutable_rpc();
    rpc->set_accept_backlog(256);
    rpc->set_keep_alive_interval(30 * kSecond);
    rpc->set_connection_write_timeout(10 * kSecond);
    rpc->set_stream_open_timeout(75 * kSecond);
    rpc->set_stream_close_timeout(5 * kMinute);
    rpc->set_dial_timeout(10 * kSecond);
    c.mutable_ui()->set_enabled(true);
    c.mutable_ui()->set_show_cli_hints(true);
}

}  // namespace

AgentConfig default_agent_config() {
    AgentConfig c;
    c.set_region("global");
    c.set_datacenter("dc1");
    c.set_bind_addr("0.0.0.0");
    c.set_log_level("INFO");
    c.mutable_ports()->set_http(4646);
    c.mutable_ports()->set_rpc(4647);
    c.mutable_ports()->set_serf(4648);
    set_server_defaults(*c.mutable_server());
    set_client_defaults(*c.mutable_client());
    set_other_defaults(c);
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
