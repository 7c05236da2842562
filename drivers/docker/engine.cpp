// SPDX-License-Identifier: Apache-2.0
#include "drivers/docker/engine.h"

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/strings.h"
#include "drivers/docker/json_read.h"

namespace drover::drivers {
namespace {

using nlohmann::json;

// The versions of the API that this client was written against.
constexpr int kApiMinorMin = 25;
constexpr int kApiMinorMax = 43;
constexpr int64_t kCallNs = 30 * kSecond;
constexpr int64_t kSlowCallNs = 2 * kMinute;  // create, start, remove: the daemon waits for disks
constexpr size_t kAnswerMax = 64 << 20;

Code code_of(int status) {
    switch (status) {
        case 400:
            return Code::InvalidArgument;
        case 401:
        case 403:
            return Code::PermissionDenied;
        case 404:
            return Code::NotFound;
        case 409:
            return Code::AlreadyExists;
        default:
            return Code::Internal;
    }
}

Error error_of(int status, const std::string& body) {
    json answer = json::parse(body, nullptr, false);
    std::string message = text_at(answer, "message");
    if (message.empty()) message = fmt::format("docker daemon: HTTP status {}", status);
    return Error(code_of(status), message);
}

Result<json> parse(const std::string& text) {
    json value = json::parse(text, nullptr, false);
    if (value.is_discarded()) return make_error(Code::Internal, "docker daemon: the answer is no JSON");
    return value;
}

// A port of "1.41": 41; -1 for anything else.
int minor_of(const std::string& version) {
    auto parts = split(version, '.');
    if (parts.size() != 2 || parts[0] != "1") return -1;
    return static_cast<int>(parse_int(parts[1]).value_or(-1));
}

}  // namespace

Result<std::string> Engine::api_version() {
    {
        std::lock_guard lock(mutex_);
        if (!api_version_.empty()) return api_version_;
    }
    const int64_t deadline = mono_now() + kCallNs;
    DROVER_TRY(auto exchange, HttpExchange::begin(socket_path_, {.target = "/version"}, deadline));
    DROVER_TRY(std::string body, exchange->read_all(deadline, kAnswerMax));
    if (exchange->status() != 200) return error_of(exchange->status(), body);
    DROVER_TRY(json answer, parse(body));
    const int newest = minor_of(text_at(answer, "ApiVersion"));
    const int oldest = std::max(minor_of(text_at(answer, "MinAPIVersion")), kApiMinorMin);
    const int chosen = std::min(newest, kApiMinorMax);
    if (chosen < oldest)
        return make_error(
            Code::FailedPrecondition, "docker daemon: speaks API {} to {}, this driver 1.{} to 1.{}",
            text_at(answer, "MinAPIVersion"), text_at(answer, "ApiVersion"), kApiMinorMin, kApiMinorMax);
    std::lock_guard lock(mutex_);
    api_version_ = fmt::format("1.{}", chosen);
    return api_version_;
}

Result<std::unique_ptr<HttpExchange>> Engine::begin(HttpRequest request, int64_t deadline) {
    DROVER_TRY(std::string version, api_version());
    request.target = "/v" + version + request.target;
    auto exchange = HttpExchange::begin(socket_path_, request, deadline);
    if (!exchange) {
        // The daemon that comes back may be another version.
        std::lock_guard lock(mutex_);
        api_version_.clear();
        return std::move(exchange).error();
    }
    const int status = (*exchange)->status();
    if (status < 200 || (status >= 300 && status != 304)) {
        if (status == 101) return exchange;
        DROVER_TRY(std::string body, (*exchange)->read_all(deadline, kAnswerMax));
        return error_of(status, body);
    }
    return exchange;
}

Result<std::string> Engine::call(HttpRequest request, int64_t timeout_ns) {
    const int64_t deadline = mono_now() + timeout_ns;
    DROVER_TRY(auto exchange, begin(std::move(request), deadline));
    return exchange->read_all(deadline, kAnswerMax);
}

Result<DaemonInfo> Engine::info() {
    DROVER_TRY(std::string body, call({.target = "/info"}, kCallNs));
    DROVER_TRY(json answer, parse(body));
    DaemonInfo info;
    info.version = text_at(answer, "ServerVersion");
    info.os_type = text_at(answer, "OSType");
    info.default_runtime = text_at(answer, "DefaultRuntime");
    info.cpus = int_at(answer, "NCPU");
    if (const json* runtimes = find(answer, "Runtimes"); runtimes && runtimes->is_object())
        for (const auto& [name, unused] : runtimes->items()) info.runtimes.push_back(name);
    // Not every daemon has the default bridge.
    if (auto bridge = call({.target = "/networks/bridge"}, kCallNs)) {
        json network = json::parse(*bridge, nullptr, false);
        if (const json* config = find(network, "IPAM", "Config");
            config && config->is_array() && !config->empty())
            info.bridge_ip = text_at((*config)[0], "Gateway");
    }
    return info;
}

// --- images

Result<std::string> Engine::image_id(const std::string& reference) {
    DROVER_TRY(std::string body, call({.target = "/images/" + url_escape(reference) + "/json"}, kCallNs));
    DROVER_TRY(json answer, parse(body));
    return text_at(answer, "Id");
}

Status Engine::read_progress(HttpExchange& exchange, int64_t deadline, int64_t activity_ns,
                             const std::function<void(const Progress&)>& progress) {
    std::string pending;
    for (;;) {
        auto piece = exchange.read(std::min(deadline, mono_now() + activity_ns));
        if (!piece && piece.error().code() == Code::DeadlineExceeded && mono_now() < deadline)
            return make_error(Code::DeadlineExceeded, "no progress for {}", format_duration(activity_ns));
        if (!piece) return std::move(piece).error();
        if (piece->empty()) return {};
        pending += *piece;
        for (size_t end; (end = pending.find('\n')) != std::string::npos; pending.erase(0, end + 1)) {
            json message = json::parse(pending.substr(0, end), nullptr, false);
            if (std::string error = text_at(message, "error"); !error.empty())
                return Error(Code::Internal, error);
            if (!progress || !message.is_object()) continue;
            Progress step{
                .id = text_at(message, "id"), .status = text_at(message, "status"), .current = 0, .total = 0};
            if (const json* detail = find(message, "progressDetail")) {
                step.current = int_at(*detail, "current");
                step.total = int_at(*detail, "total");
            }
            progress(step);
        }
    }
}

Status Engine::pull(const std::string& repository, const std::string& tag_or_digest,
                    const std::string& auth_header, int64_t deadline, int64_t activity_ns,
                    const std::function<void(const Progress&)>& progress) {
    HttpRequest request{
        .method = "POST",
        .target = "/images/create?fromImage=" + url_escape(repository) + "&tag=" + url_escape(tag_or_digest)};
    if (!auth_header.empty()) request.headers.emplace_back("X-Registry-Auth", auth_header);
    DROVER_TRY(auto exchange, begin(std::move(request), std::min(deadline, mono_now() + activity_ns)));
    return read_progress(*exchange, deadline, activity_ns, progress);
}

Status Engine::load(const std::string& archive_path, int64_t deadline) {
    DROVER_TRY(auto exchange, begin({.method = "POST",
                                     .target = "/images/load?quiet=1",
                                     .content_type = "application/x-tar",
                                     .body_path = archive_path},
                                    deadline));
    return read_progress(*exchange, deadline, deadline, nullptr);
}

Status Engine::import(const std::string& tar, const std::string& repository, const std::string& tag,
                      const std::vector<std::string>& changes) {
    HttpRequest request{
        .method = "POST",
        .target = "/images/create?fromSrc=-&repo=" + url_escape(repository) + "&tag=" + url_escape(tag),
        .body = tar,
        .content_type = "application/x-tar"};
    for (const std::string& change : changes) request.target += "&changes=" + url_escape(change);
    const int64_t deadline = mono_now() + kSlowCallNs;
    DROVER_TRY(auto exchange, begin(std::move(request), deadline));
    return read_progress(*exchange, deadline, kSlowCallNs, nullptr);
}

Status Engine::remove_image(const std::string& reference) {
    DROVER_CHECK(call({.method = "DELETE", .target = "/images/" + url_escape(reference)}, kSlowCallNs));
    return {};
}

// --- containers

Result<std::string> Engine::create(const std::string& name, const json& body) {
    DROVER_TRY(std::string text, call({.method = "POST",
                                       .target = "/containers/create?name=" + url_escape(name),
                                       .body = body.dump(-1, ' ', false, json::error_handler_t::replace)},
                                      kSlowCallNs));
    DROVER_TRY(json answer, parse(text));
    return text_at(answer, "Id");
}

Status Engine::start(const std::string& id) {
    DROVER_CHECK(call({.method = "POST", .target = "/containers/" + id + "/start"}, kSlowCallNs));
    return {};
}

Result<ContainerInfo> Engine::inspect(const std::string& id_or_name) {
    DROVER_TRY(std::string body,
               call({.target = "/containers/" + url_escape(id_or_name) + "/json"}, kCallNs));
    DROVER_TRY(json answer, parse(body));
    ContainerInfo info;
    info.id = text_at(answer, "Id");
    info.name = text_at(answer, "Name");
    if (starts_with(info.name, "/")) info.name.erase(0, 1);
    info.image_id = text_at(answer, "Image");
    if (const json* state = find(answer, "State")) {
        info.status = text_at(*state, "Status");
        info.error = text_at(*state, "Error");
        info.pid = int_at(*state, "Pid");
        info.exit_code = static_cast<int32_t>(int_at(*state, "ExitCode"));
        info.running = bool_at(*state, "Running");
        info.oom_killed = bool_at(*state, "OOMKilled");
        // "0001-01-01T00:00:00Z" is Go's "never".
        info.started_ns = std::max<int64_t>(0, parse_rfc3339(text_at(*state, "StartedAt")).value_or(0));
        info.finished_ns = std::max<int64_t>(0, parse_rfc3339(text_at(*state, "FinishedAt")).value_or(0));
    }
    if (const json* config = find(answer, "Config")) {
        info.labels = map_at(*config, "Labels");
        info.tty = bool_at(*config, "Tty");
        info.stop_signal = text_at(*config, "StopSignal");
    }
    info.sandbox_key = text_at(answer, "NetworkSettings", "SandboxKey");
    if (const json* networks = find(answer, "NetworkSettings", "Networks");
        networks && networks->is_object()) {
        for (const auto& [name, network] : networks->items()) {
            std::string ip = text_at(network, "IPAddress");
            if (ip.empty()) ip = text_at(network, "GlobalIPv6Address");
            if (info.ip.empty() && !ip.empty()) info.network = name, info.ip = ip;
        }
    }
    return info;
}

Status Engine::kill(const std::string& id, const std::string& signal) {
    auto done = call({.method = "POST", .target = "/containers/" + id + "/kill?signal=" + url_escape(signal)},
                     kCallNs);
    if (done) return {};
    if (done.error().code() == Code::AlreadyExists)  // 409: it does not run
        return Error(Code::FailedPrecondition, done.error().message());
    return std::move(done).error();
}

Status Engine::remove(const std::string& id) {
    for (const int64_t deadline = mono_now() + kSlowCallNs;;) {
        auto done = call({.method = "DELETE", .target = "/containers/" + id + "?force=1&v=1"}, kSlowCallNs);
        if (done || done.error().code() == Code::NotFound) return {};
        // 409: somebody else is removing it; it is gone in a moment.
        if (done.error().code() != Code::AlreadyExists || mono_now() > deadline)
            return std::move(done).error();
        ::usleep(20'000);
    }
}

Result<std::vector<ContainerSummary>> Engine::list(const std::vector<std::string>& labels) {
    json filters{{"label", labels}};
    DROVER_TRY(std::string body,
               call({.target = "/containers/json?all=1&filters=" + url_escape(filters.dump())}, kCallNs));
    DROVER_TRY(json answer, parse(body));
    std::vector<ContainerSummary> out;
    for (const json& entry : answer) {
        out.push_back({.id = text_at(entry, "Id"),
                       .state = text_at(entry, "State"),
                       .created_unix_s = int_at(entry, "Created"),
                       .labels = map_at(entry, "Labels")});
    }
    return out;
}

// --- exec

Result<std::string> Engine::create_exec(const std::string& id, const std::vector<std::string>& command,
                                        bool tty, bool input) {
    json body{{"AttachStdin", input},
              {"AttachStdout", true},
              {"AttachStderr", true},
              {"Tty", tty},
              {"Cmd", command}};
    DROVER_TRY(
        std::string text,
        call({.method = "POST", .target = "/containers/" + id + "/exec", .body = body.dump()}, kCallNs));
    DROVER_TRY(json answer, parse(text));
    return text_at(answer, "Id");
}

Result<std::unique_ptr<HttpExchange>> Engine::start_exec(const std::string& exec_id, bool tty) {
    json body{{"Detach", false}, {"Tty", tty}};
    return begin(
        {.method = "POST", .target = "/exec/" + exec_id + "/start", .body = body.dump(), .upgrade = true},
        mono_now() + kSlowCallNs);
}

Status Engine::resize_exec(const std::string& exec_id, int rows, int columns) {
    DROVER_CHECK(
        call({.method = "POST", .target = fmt::format("/exec/{}/resize?h={}&w={}", exec_id, rows, columns)},
             kCallNs));
    return {};
}

Result<ExecInfo> Engine::inspect_exec(const std::string& exec_id) {
    DROVER_TRY(std::string text, call({.target = "/exec/" + exec_id + "/json"}, kCallNs));
    DROVER_TRY(json answer, parse(text));
    return ExecInfo{.running = bool_at(answer, "Running"),
                    .exit_code = static_cast<int32_t>(int_at(answer, "ExitCode")),
                    .pid = int_at(answer, "Pid")};
}

// --- streams

Result<std::unique_ptr<HttpExchange>> Engine::events(const std::string& label, int64_t since) {
    json filters{{"type", {"container"}}, {"label", {label}}, {"event", {"die", "oom", "destroy"}}};
    return begin({.target = fmt::format("/events?since={}&filters={}", since, url_escape(filters.dump()))},
                 mono_now() + kCallNs);
}

Result<std::unique_ptr<HttpExchange>> Engine::logs(const std::string& id, int64_t since_ns) {
    std::string target = "/containers/" + id + "/logs?stdout=1&stderr=1&timestamps=1&follow=1";
    if (since_ns > 0) target += fmt::format("&since={}.{:09}", since_ns / kSecond, since_ns % kSecond);
    return begin({.target = std::move(target)}, mono_now() + kCallNs);
}

}  // namespace drover::drivers
