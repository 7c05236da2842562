// SPDX-License-Identifier: Apache-2.0
// plugin status, plugin restart: the driver and device plugins of the agent that is asked, drover's own. The
// table of CSI plugins is Nomad's, and empty.
#include "cli/plugin_verbs.h"

#include "api/client/client.h"
#include "base/clock.h"
#include "base/strings.h"
#include "cli/support.h"
#include "cli/verbs.h"
#include "proto/model/model.pb.h"

namespace drover::cli {
namespace {

// A name wins over prefixes of it, and the file's name is as good as the plugin's own.
std::vector<model::Value> choose(const model::Value& plugins, const std::string& type,
                                 const std::string& wanted) {
    std::vector<model::Value> exact, prefixed;
    for (const auto& item : plugins.list_value().values()) {
        const auto its_type = text_of(field(item, "Type"));
        // One that has not told its type yet may be what is looked for.
        if (!type.empty() && !its_type.empty() && its_type != type) continue;
        const auto name = text_of(field(item, "Name"));
        const auto file = text_of(field(item, "File"));
        if (wanted.empty() || starts_with(name, wanted)) prefixed.push_back(item);
        if (name == wanted || ends_with(file, "/" + wanted)) exact.push_back(item);
    }
    return exact.empty() ? prefixed : exact;
}

std::string shown(std::string text) {
    return text.empty() ? "<none>" : text;
}

void show_one(Invocation& in, const model::Value& plugin) {
    in.io.line(key_values({{"Name", text_of(field(plugin, "Name"))},
                           {"Type", shown(text_of(field(plugin, "Type")))},
                           {"Version", shown(text_of(field(plugin, "Version")))},
                           {"API Version", shown(text_of(field(plugin, "APIVersion")))},
                           {"State", text_of(field(plugin, "State"))},
                           {"Reason", shown(text_of(field(plugin, "Reason")))},
                           {"Since", text_of(field(plugin, "Since"))},
                           {"PID", text_of(field(plugin, "PID"))},
                           {"Launches", text_of(field(plugin, "Launches"))},
                           {"Reattached", text_of(field(plugin, "Reattached"))},
                           {"Bundled", text_of(field(plugin, "Bundled"))},
                           {"File", text_of(field(plugin, "File"))}}));
}

}  // namespace

std::string plugins_table(const std::vector<model::Value>& plugins, bool verbose, int64_t now_ns) {
    std::vector<Row> rows = {{"Name", "Type", "State", "Since", "Launches", "Reason"}};
    if (verbose) rows = {{"Name", "Type", "Version", "State", "Since", "PID", "Launches", "File", "Reason"}};
    for (const auto& item : plugins) {
        Row row;
        for (const auto& column : rows[0]) {
            auto text = text_of(field(item, column));
            if (column == "Since") {
                const auto since = parse_rfc3339(text);
                if (since) text = relative_time(*since, now_ns);
            }
            row.push_back(std::move(text));
        }
        rows.push_back(std::move(row));
    }
    return table(rows);
}

int plugin_status(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    const auto type = in.text("type");
    api::QueryParams query;
    if (!type.empty()) query.emplace_back("type", type);
    auto reply = client->get("/v1/plugins", query);
    auto value = reply ? model::json::parse_value(reply->body) : Result<model::Value>(reply.error());
    if (!value) return fail(in, "Error querying plugins: {}", value.error().message());
    if (type == "csi") {
        if (wants_data(in)) return print_data(in, reply->body);
        if (!in.args.empty()) return fail(in, "No plugin(s) with prefix or ID {} found", quoted(in.args[0]));
        in.io.line(in.io.bold("Container Storage Interface"));
        in.io.line("No CSI plugins");
        return kExitOk;
    }
    const auto& wanted = in.args.empty() ? std::string() : in.args[0];
    const auto chosen = choose(field(*value, "Plugins"), type, wanted);
    if (!wanted.empty() && chosen.empty())
        return fail(in, "No plugin(s) with prefix or ID {} found", quoted(wanted));
    if (wants_data(in)) {
        model::Value list;
        list.mutable_list_value();
        for (const auto& item : chosen) *list.mutable_list_value()->add_values() = item;
        return print_data(in, model::json::encode_value(list));
    }
    if (chosen.empty())
        in.io.line("No plugins");
    else if (!wanted.empty() && chosen.size() == 1 && !in.on("short"))
        show_one(in, chosen[0]);
    else
        in.io.line(plugins_table(chosen, in.on("verbose"), in.io.clock()));
    return kExitOk;
}

int plugin_restart(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    const auto& name = in.args[0];
    auto reply = client->put(fmt::format("/v1/client/plugin/{}/restart", api::escape_segment(name)), "");
    if (!reply) return fail(in, "Error restarting plugin {}: {}", quoted(name), reply.error().message());
    in.io.line(fmt::format("Plugin {} was restarted", quoted(name)));
    return kExitOk;
}

}  // namespace drover::cli
