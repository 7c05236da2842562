// SPDX-License-Identifier: Apache-2.0
// Checks of what every plugin does: the start of its process, the base service, its end.
#include <signal.h>
#include <sys/stat.h>

#include "base/files.h"
#include "base/strings.h"
#include "plugin-sdk/testing/bench.h"
#include "plugin-sdk/testing/streams.h"

namespace drover::sdk::testing {
namespace {

constexpr int64_t kHoldNs = 700 * kMillisecond;
constexpr int64_t kShutdownNs = 2 * kSecond;  // then a host kills
constexpr size_t kShownMax = 120;

std::string shown(std::string_view text) {
    return std::string(trim(text).substr(0, kShownMax));
}

Verdict handshake_line(Bench& bench) {
    DROVER_TRY(auto plugin, bench.another());
    if (!plugin->socket().empty()) {
        struct stat socket {};
        if (::stat(plugin->socket().c_str(), &socket) != 0 || !S_ISSOCK(socket.st_mode))
            return failed("expected a socket at {}, found none", plugin->socket());
    }
    DROVER_CHECK(plugin->info().context("a call right after the line"));
    return passed("after {} ms", plugin->launch_ns() / kMillisecond);
}

// Hosts take the first line for the handshake, and throw away what comes after it.
Verdict stray_output(Bench& bench) {
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    DROVER_CHECK(plugin->info());
    // Whoever prints from a background thread gets a moment for it.
    bench.eventually([&] { return !plugin->printed_after_handshake().empty(); }, kHoldNs);
    const std::string printed = plugin->printed_after_handshake();
    if (!printed.empty())
        return failed("expected nothing on stdout after the line, found \"{}\"", shown(printed));
    return {};
}

Verdict refuses(Bench& bench, LaunchOptions options) {
    std::string output;
    options.stderr_path += ".refused";
    (void)write_file(options.stderr_path, "");
    DROVER_TRY(int status,
               PluginProcess::run_to_end(options, &output).context("expected an end with exit status 1"));
    if (status != 1) return failed("expected exit status 1, found {}", status);
    if (starts_with(trim(output), "1|2|"))
        return failed("expected no handshake, found \"{}\"", shown(output));
    const std::string said = output + read_file(options.stderr_path).value_or("");
    if (trim(said).empty())
        return failed("expected an explanation for the person who ran it, found no output");
    (void)bench;
    return {};
}

Verdict cookie_absent(Bench& bench) {
    LaunchOptions options = bench.launch_options();
    options.cookie = false;
    return refuses(bench, options);
}

Verdict cookie_wrong(Bench& bench) {
    LaunchOptions options = bench.launch_options();
    options.env["NOMAD_PLUGIN_MAGIC_COOKIE"] = "not-the-cookie";
    return refuses(bench, options);
}

Verdict ignores_interrupt(Bench& bench) {
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    ::kill(plugin->pid(), SIGINT);
    // A signal needs no time to be delivered, an end does.
    bench.eventually([&] { return !plugin->info(); }, 300 * kMillisecond);
    DROVER_CHECK(plugin->info().context("expected answers after SIGINT (Ctrl-C at the agent's terminal)"));
    return {};
}

Verdict plugin_info(Bench& bench) {
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    DROVER_TRY(PluginInfo info, plugin->info().context("PluginInfo"));
    if (info.type != PluginType::Driver && info.type != PluginType::Device)
        return failed("type: expected driver (2) or device (3), found {}", static_cast<int>(info.type));
    if (info.name.empty()) return failed("name: expected one, found an empty text");
    std::string_view version = info.version;
    if (starts_with(version, "v")) version.remove_prefix(1);
    version = version.substr(0, version.find_first_of("-+"));
    for (const std::string& part : split(version, '.'))
        if (!parse_uint(part))
            return failed("plugin_version: expected numbers with dots, found \"{}\"", info.version);
    for (const std::string& api : info.api_versions)
        if (api == "v0.1.0" || api == "0.1.0") return passed("{} {}", info.name, info.version);
    return failed("plugin_api_versions: expected v0.1.0 among them, found [{}]",
                  join(info.api_versions, ", "));
}

Verdict config_schema(Bench& bench) {
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    DROVER_TRY(auto schema, plugin->config_schema().context("ConfigSchema"));
    if (!schema) return skipped("the plugin takes no config");
    DROVER_CHECK((bench.config().plugin ? bench.config().plugin : bench.empty_config())(*schema));
    return {};
}

Verdict set_config_twice(Bench& bench) {
    // As a Nomad agent does it before the launch that counts: the same bytes twice, without the agent's own
    // config.
    DROVER_TRY(auto plugin, bench.another());
    DROVER_CHECK(bench.configure(*plugin, false).context("SetConfig without the agent's config"));
    DROVER_CHECK(bench.configure(*plugin, false).context("SetConfig a second time"));
    DROVER_CHECK(bench.configure(*plugin, true).context("SetConfig with the agent's config"));
    return {};
}

Verdict set_config_refused(Bench& bench) {
    DROVER_TRY(auto plugin, bench.another());
    DROVER_TRY(auto schema, plugin->config_schema());
    if (!schema || schema->attributes.empty()) return skipped("the plugin takes no config");
    DROVER_CHECK(bench.configure(*plugin, false).context("SetConfig"));
    // 0xc1 is the one byte that msgpack never uses.
    Status set = plugin->set_config("\xc1", std::nullopt);
    if (set) return failed("expected an error for bytes that are no msgpack, found OK");
    if (set.error().message().empty()) return failed("expected an error text, found an empty one");
    DROVER_CHECK(plugin->info().context("expected answers after a refused config"));
    return {};
}

Verdict health(Bench& bench) {
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    Result<bool> healthy = true;
    // Hosts ask again and again.
    bench.eventually(
        [&] {
            healthy = plugin->healthy();
            return !healthy || !*healthy;
        },
        kHoldNs);
    if (!healthy && healthy.error().code() == Code::Unimplemented)
        return skipped("no grpc.health.v1 service; hosts do without it");
    if (!healthy) return std::move(healthy).error().context("Health/Check of \"plugin\"");
    if (!*healthy) return failed("expected SERVING for \"plugin\", found another status");
    return {};
}

// Streams that end at once make hosts open them again and again.
Verdict streams_held(Bench& bench) {
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    int held = 0;
    for (auto [stream, name] : {std::pair(HostStream::Stdio, "GRPCStdio/StreamStdio"),
                                std::pair(HostStream::Broker, "GRPCBroker/StartStream")}) {
        const HeldStream seen = hold_stream(plugin->channel(), stream, kHoldNs);
        if (!seen.ended)
            ++held;
        else if (seen.ended->code() != Code::Unimplemented)
            return failed("{}: expected it to stay open, found: {}", name, seen.ended->message());
    }
    if (held == 0) return skipped("neither a stdio nor a broker service; hosts do without them");
    return {};
}

// What a Nomad agent does when it starts: two short launches, while the instance of the last agent still
// lives.
Verdict second_instances(Bench& bench) {
    DROVER_TRY(PluginProcess * live, bench.plugin());
    for (int launch = 1; launch <= 2; ++launch) {
        DROVER_TRY(auto other, bench.another().context("beside a live instance"));
        DROVER_CHECK(other->info().context("a second instance"));
        DROVER_CHECK(bench.configure(*other, false).context("SetConfig of a second instance"));
        DROVER_CHECK(other->shutdown(kShutdownNs).context("end of a second instance"));
        DROVER_CHECK(live->info().context("the live instance after a second one"));
    }
    return {};
}

Verdict shutdown(Bench& bench) {
    DROVER_CHECK(bench.plugin());
    auto plugin = bench.take();
    const std::string socket = plugin->socket();
    const int64_t begun = mono_now();
    DROVER_TRY(int status, plugin->shutdown(kShutdownNs).context("after GRPCController/Shutdown"));
    const int64_t took = mono_now() - begun;
    if (status != 0) return failed("expected exit status 0, found {}", status);
    if (!socket.empty() && path_exists(socket))
        return failed("expected the socket to be removed, found {}", socket);
    return passed("after {} ms", took / kMillisecond);
}

}  // namespace

const std::vector<Check>& launch_checks() {
    using enum CheckKind;
    using enum Needs;
    static const std::vector<Check> table = {
        {"handshake/line", "The first line on stdout is 1|2|unix|<socket>|grpc|, and calls are answered then",
         Any, Nothing, handshake_line},
        {"handshake/cookie-absent", "Run by hand it explains itself and exits with 1", Any, Nothing,
         cookie_absent},
        {"handshake/cookie-wrong", "Another host's cookie is refused with exit status 1", Any, Nothing,
         cookie_wrong},
        {"handshake/stray-output", "Nothing but the line is printed to stdout", Any, Plugin, stray_output},
        {"base/plugin-info", "A type, a name, a version, and API version v0.1.0", Any, Plugin, plugin_info},
        {"base/config-schema", "The schema is a valid one and takes the config", Any, Plugin, config_schema},
        {"base/set-config-twice", "SetConfig may be repeated, with and without the agent's config", Any,
         Plugin, set_config_twice},
        {"base/set-config-refused", "A config that is no msgpack is an error, and the plugin lives on", Any,
         Plugin, set_config_refused},
        {"base/health", "grpc.health.v1 says SERVING for \"plugin\"", Any, Plugin, health},
        {"base/streams-held", "The stdio and broker streams stay open", Any, Plugin, streams_held},
        {"base/second-instances", "Short second instances do not disturb a live one", Any, Plugin,
         second_instances},
        {"base/interrupt", "SIGINT is ignored", Any, Plugin, ignores_interrupt},
        {"base/shutdown", "GRPCController/Shutdown ends it within 2 s, with exit status 0", Any, Plugin,
         shutdown},
    };
    return table;
}

}  // namespace drover::sdk::testing
