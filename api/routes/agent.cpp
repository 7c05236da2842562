// SPDX-License-Identifier: Apache-2.0
// /v1/agent/*, /v1/metrics, /v1/plugins: what this very process says about itself.
#include <condition_variable>

#include "api/context.h"
#include "api/router.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/strings.h"
#include "ports/node_port.h"

namespace drover::api {
namespace {

using Sections = std::map<std::string, std::map<std::string, std::string>>;

std::string sections_json(const Sections& sections) {
    std::string json = "{";
    for (const auto& [section, values] : sections) {
        if (json.size() > 1) json += ',';
        model::json::append_quoted(json, section);
        json += ":{";
        bool first = true;
        for (const auto& [key, value] : values) {
            if (!std::exchange(first, false)) json += ',';
            model::json::append_quoted(json, key);
            json += ':';
            model::json::append_quoted(json, value);
        }
        json += '}';
    }
    return json + "}";
}

model::ServerMembers members_of(const ExchangePtr& exchange) {
    model::ServerMembers members;
    if (exchange->services.options.agent.members) exchange->services.options.agent.members(members);
    return members;
}

// Not through ask(): an agent that sees no server still tells about itself.
void self(const ExchangePtr& exchange) {
    auto answer = [exchange](Sections sections) {
        const auto& options = exchange->services.options;
        if (options.node)
            for (auto& [name, values] : options.node->stats())
                sections[name].insert(values.begin(), values.end());
        if (options.agent.stats)
            for (auto& [name, values] : options.agent.stats())
                sections[name].insert(values.begin(), values.end());
        auto members = members_of(exchange);
        std::string member = "{}";
        for (const auto& item : members.members())
            if (item.name() == members.server_name() || members.members_size() == 1)
                member = model::json::encode(item);
        auto config = options.agent.config_json ? options.agent.config_json() : "{}";
        exchange->reply_json(fmt::format("{{\"config\":{},\"member\":{},\"stats\":{}}}", config, member,
                                         sections_json(sections)));
    };
    ports::call<cluster::StatsResponse>(
        *exchange->services.options.cluster, "Cluster.Stats", cluster::StatusRequest(),
        [exchange, answer](Result<cluster::StatsResponse> result) {
            Sections sections;
            if (result)
                for (const auto& [name, section] : result->sections())
                    sections[name].insert(section.values().begin(), section.values().end());
            exchange->run_blocking([answer, sections = std::move(sections)] { answer(sections); });
        },
        exchange->cancel);
}

void members(const ExchangePtr& exchange) {
    exchange->reply_json(model::json::encode(members_of(exchange)));
}

void health(const ExchangePtr& exchange) {
    auto type = exchange->request.param_or("type", "");
    if (!type.empty() && type != "client" && type != "server")
        return exchange->fail(400,
                              fmt::format("invalid type \"{}\": \"client\" or \"server\" is expected", type));
    model::AgentHealthResponse response;
    if (exchange->services.options.agent.health) exchange->services.options.agent.health(response);
    bool ok = true;
    std::string json = "{";
    auto part = [&](std::string_view name, bool present, const model::AgentHealth& state) {
        if ((!type.empty() && type != name) || (!present && type != name)) return;
        if (json.size() > 1) json += ',';
        json += fmt::format("\"{}\":", name);
        model::AgentHealth absent;
        absent.set_message(fmt::format("{} not enabled", name));
        json += model::json::encode(present ? state : absent);
        ok = ok && present && state.ok();
    };
    part("client", response.has_client(), response.client());
    part("server", response.has_server(), response.server());
    json += "}";
    if (!ok) return exchange->fail(500, json);
    exchange->reply_json(std::move(json));
}

void servers(const ExchangePtr& exchange) {
    const auto& options = exchange->services.options;
    if (!options.node || !options.agent.servers)
        return exchange->fail(501, "client mode is not enabled on this agent");
    std::string json = "[";
    for (const auto& address : options.agent.servers()) {
        if (json.size() > 1) json += ',';
        model::json::append_quoted(json, address);
    }
    exchange->reply_json(json + "]");
}

void reload(const ExchangePtr& exchange) {
    if (!exchange->services.options.agent.reload) return exchange->fail(501, "this agent cannot be reloaded");
    exchange->run_blocking([exchange] {
        if (auto status = exchange->services.options.agent.reload(); !status)
            return exchange->fail(500, status.error().message());
        exchange->reply_empty();
    });
}

// Lines from the log's tap to one slow client: bounded, drops the oldest rather than holding up the agent.
struct LineQueue {
    std::mutex mutex;
    std::condition_variable wake;
    std::deque<std::string> lines;
    size_t dropped = 0;
    bool ended = false;
    static constexpr size_t kLinesMax = 4096;

    void push(std::string_view line) {
        std::lock_guard lock(mutex);
        if (lines.size() == kLinesMax) {
            lines.pop_front();
            ++dropped;
        }
        lines.emplace_back(line);
        wake.notify_one();
    }
};

void monitor(const ExchangePtr& exchange) {
    auto text = to_upper(exchange->request.param_or("log_level", "INFO"));
    log::Level level;
    if (!log::parse_level(text, &level))
        return exchange->fail(400, fmt::format("Unknown log level: {}", text));
    bool plain = false;
    if (!read_flag(exchange, "plain", plain)) return;
    exchange->run_stream([exchange, level, plain] {
        auto queue = std::make_shared<LineQueue>();
        exchange->cancel->on_cancel([queue] {
            std::lock_guard lock(queue->mutex);
            queue->ended = true;
            queue->wake.notify_one();
        });
        auto body = exchange->stream(plain ? "text/plain" : "application/json");
        if (!body) return;
        int tap = log::add_tap(level, [queue](std::string_view line) { queue->push(line); });
        constexpr std::chrono::seconds kHeartbeat{1};
        std::unique_lock lock(queue->mutex);
        for (bool open = true; open && !queue->ended;) {
            queue->wake.wait_for(lock, kHeartbeat, [&] { return queue->ended || !queue->lines.empty(); });
            std::string data;
            if (auto lost = std::exchange(queue->dropped, 0))
                data = fmt::format("[WARN] monitor: {} lines were dropped\n", lost);
            for (auto& line : std::exchange(queue->lines, {})) {
                data += line;
                if (!ends_with(line, "\n")) data += '\n';
            }
            lock.unlock();
            if (!plain) {
                model::StreamFrame frame;
                frame.set_data(data);
                data = data.empty() ? "{}" : fmt::format("{{\"Data\":\"{}\"}}", base64_encode(data));
            }
            open = body->write(std::move(data)).has_value();
            lock.lock();
        }
        lock.unlock();
        log::remove_tap(tap);
        body->finish();
    });
}

std::string own_metrics(const Services& services) {
    auto gauge = [](std::string_view name, double value) {
        return fmt::format("{{\"Labels\":{{}},\"Name\":\"{}\",\"Value\":{}}}", name, value);
    };
    std::time_t now = static_cast<std::time_t>(unix_now() / kSecond);
    std::tm utc{};
    ::gmtime_r(&now, &utc);
    char when[64];
    std::strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S +0000 UTC", &utc);
    return fmt::format(
        "{{\"Counters\":[],\"Gauges\":[{},{},{}],\"Points\":[],\"PrecisionGauges\":[],\"Samples\":[],"
        "\"Timestamp\":\"{}\"}}",
        gauge("nomad.agent.http.connections", static_cast<double>(services.connections.load())),
        gauge("nomad.agent.http.requests", static_cast<double>(services.requests.load())),
        gauge("nomad.agent.http.errors", static_cast<double>(services.errors.load())), when);
}

void metrics(const ExchangePtr& exchange) {
    auto format = exchange->request.param_or("format", "");
    if (format == "prometheus") return exchange->fail(415, "Prometheus is not enabled");
    const auto& hook = exchange->services.options.agent.metrics_json;
    exchange->reply_json(hook ? hook() : own_metrics(exchange->services));
}

constexpr Route kRoutes[] = {
    {"GET", "/v1/agent/self", self},     {"GET", "/v1/agent/members", members},
    {"GET", "/v1/agent/health", health}, {"GET", "/v1/agent/servers", servers},
    {"PUT", "/v1/agent/reload", reload}, {"GET", "/v1/agent/monitor", monitor},
    {"GET", "/v1/metrics", metrics},
};

}  // namespace

std::span<const Route> agent_routes() {
    return kRoutes;
}

}  // namespace drover::api
