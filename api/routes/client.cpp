// SPDX-License-Identifier: Apache-2.0
// /v1/client/*: what only the node that runs an allocation can answer. When this process runs it, the
// NodePort is asked; else the request is passed on to that node's agent (proxy.cpp). Everything here may
// block and runs on the pools.
#include "api/context.h"
#include "api/router.h"
#include "api/routes/proxy.h"
#include "base/strings.h"
#include "ports/node_port.h"

namespace drover::api {
namespace {

const Headers kCors = {{"Access-Control-Allow-Origin", "*"}};
enum class Pool { Blocking, Stream };

// Runs `local` on a pool thread when the allocation is here, else passes the request on.
template <class Local>
void at_alloc(const ExchangePtr& exchange, Pool pool, Local local) {
    auto* node = exchange->services.options.node;
    const auto& alloc_id = exchange->args.back();
    if (node && node->has_alloc(alloc_id)) {
        auto job = [exchange, node, local] { local(exchange, *node); };
        return pool == Pool::Stream ? exchange->run_stream(std::move(job))
                                    : exchange->run_blocking(std::move(job));
    }
    forward_to_alloc(exchange, alloc_id);
}

// A client RPC's refusals: what does not exist is 404, what was asked wrongly 400.
void fail_client(const ExchangePtr& exchange, const Error& error) {
    if (error.code() == Code::InvalidArgument || error.code() == Code::OutOfRange)
        return exchange->fail(400, error.message());
    exchange->fail(error);
}

bool need_path(const ExchangePtr& exchange, std::string& path) {
    path = exchange->request.param_or("path", "");
    if (!path.empty()) return true;
    exchange->fail(400, "must provide a file name");
    return false;
}

void list_files(const ExchangePtr& exchange) {
    at_alloc(exchange, Pool::Blocking, [](const ExchangePtr& on, ports::NodePort& node) {
        auto files = node.list_files(on->args[0], on->request.param_or("path", "/"));
        if (!files) return fail_client(on, files.error());
        on->reply_json(model::json::encode_list(*files), kCors);
    });
}

void stat_file(const ExchangePtr& exchange) {
    std::string path;
    if (!need_path(exchange, path)) return;
    at_alloc(exchange, Pool::Blocking, [path](const ExchangePtr& on, ports::NodePort& node) {
        auto info = node.stat_file(on->args[0], path);
        if (!info) return fail_client(on, info.error());
        on->reply_json(model::json::encode(*info), kCors);
    });
}

// Sends `limit` bytes (all when negative) from `offset`, a piece at a time.
void send_file(const ExchangePtr& exchange, ports::NodePort& node, const std::string& path, int64_t offset,
               int64_t limit) {
    auto file = node.open_file(exchange->args[0], path);
    if (!file) return fail_client(exchange, file.error());
    auto body = exchange->stream("text/plain; charset=utf-8");
    if (!body) return;
    std::string piece;
    while (limit != 0) {
        constexpr int64_t kPieceBytes = 64 << 10;
        piece.resize(static_cast<size_t>(limit < 0 ? kPieceBytes : std::min(limit, kPieceBytes)));
        auto got = ::pread(file->get(), piece.data(), piece.size(), offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            static_cast<void>(
                body->write(Error::from_errno(fmt::format("read {}", path)).message()).has_value());
            break;
        }
        if (got == 0) break;
        piece.resize(static_cast<size_t>(got));
        offset += got;
        if (limit > 0) limit -= got;
        if (!body->write(piece)) return;
    }
    body->finish();
}

void cat_file(const ExchangePtr& exchange) {
    std::string path;
    if (!need_path(exchange, path)) return;
    at_alloc(exchange, Pool::Stream,
             [path](const ExchangePtr& on, ports::NodePort& node) { send_file(on, node, path, 0, -1); });
}

bool read_int(const ExchangePtr& exchange, std::string_view name, int64_t& value) {
    auto text = exchange->request.param_or(name, "");
    if (text.empty()) return true;
    auto number = parse_int(text);
    if (!number || *number < 0) {
        exchange->fail(400, fmt::format("error parsing {}: \"{}\" is not a number of bytes", name, text));
        return false;
    }
    value = *number;
    return true;
}

void read_at(const ExchangePtr& exchange) {
    std::string path;
    int64_t offset = 0;
    int64_t limit = -1;
    if (!need_path(exchange, path)) return;
    if (!exchange->request.param("offset"))
        return exchange->fail(400, "error parsing offset: a number of bytes is expected");
    if (!read_int(exchange, "offset", offset) || !read_int(exchange, "limit", limit)) return;
    at_alloc(exchange, Pool::Stream, [path, offset, limit](const ExchangePtr& on, ports::NodePort& node) {
        send_file(on, node, path, offset, limit == 0 ? -1 : limit);
    });
}

std::string frame_json(const model::StreamFrame& frame) {
    if (frame.data().empty() && frame.file_event().empty()) return "{}";
    std::string json = "{";
    if (!frame.data().empty()) json += fmt::format("\"Data\":\"{}\",", base64_encode(frame.data()));
    json += "\"File\":";
    model::json::append_quoted(json, frame.file());
    if (!frame.file_event().empty()) {
        json += ",\"FileEvent\":";
        model::json::append_quoted(json, frame.file_event());
    }
    return json + fmt::format(",\"Offset\":{}}}", frame.offset());
}

void send_frames(const ExchangePtr& exchange, std::shared_ptr<ports::FrameStream> frames, bool plain) {
    exchange->cancel->on_cancel([frames] { frames->cancel(); });
    auto body = exchange->stream(plain ? "text/plain; charset=utf-8" : "application/json");
    if (!body) return;
    while (true) {
        auto frame = frames->next();
        if (!frame) {
            // The head is out: what went wrong can only be told in the body.
            if (frame.error().code() != Code::OutOfRange && frame.error().code() != Code::Cancelled)
                static_cast<void>(body->write(frame.error().message()).has_value());
            break;
        }
        if (!body->write(plain ? (*frame)->data() : frame_json(**frame))) return;
    }
    body->finish();
}

bool read_origin(const ExchangePtr& exchange, std::string& origin, int64_t& offset) {
    origin = exchange->request.param_or("origin", "start");
    if (origin.empty()) origin = "start";
    if (origin == "start" || origin == "end") return read_int(exchange, "offset", offset);
    exchange->fail(400, "origin must be start or end");
    return false;
}

void stream_file(const ExchangePtr& exchange) {
    std::string path;
    std::string origin;
    int64_t offset = 0;
    bool follow = true;
    if (!need_path(exchange, path) || !read_origin(exchange, origin, offset) ||
        !read_flag(exchange, "follow", follow))
        return;
    at_alloc(exchange, Pool::Stream, [=](const ExchangePtr& on, ports::NodePort& node) {
        auto frames = node.stream_file(on->args[0], path, origin, offset, follow);
        if (!frames) return fail_client(on, frames.error());
        send_frames(on, std::move(*frames), false);
    });
}

void stream_logs(const ExchangePtr& exchange) {
    ports::LogRequest request;
    request.alloc_id = exchange->args[0];
    request.task = exchange->request.param_or("task", "");
    request.type = exchange->request.param_or("type", "");
    if (request.task.empty()) return exchange->fail(400, "must provide task name");
    if (request.type != "stdout" && request.type != "stderr")
        return exchange->fail(400, "type must be one of: stdout or stderr");
    bool plain = false;
    if (!read_origin(exchange, request.origin, request.offset) ||
        !read_flag(exchange, "follow", request.follow) || !read_flag(exchange, "plain", plain))
        return;
    at_alloc(exchange, Pool::Stream, [request, plain](const ExchangePtr& on, ports::NodePort& node) {
        auto frames = node.stream_logs(request);
        if (!frames) return fail_client(on, frames.error());
        send_frames(on, std::move(*frames), plain);
    });
}

void alloc_stats(const ExchangePtr& exchange) {
    at_alloc(exchange, Pool::Blocking, [](const ExchangePtr& on, ports::NodePort& node) {
        auto stats = node.alloc_stats(on->args[0], on->request.param_or("task", ""));
        if (!stats) return fail_client(on, stats.error());
        on->reply_json(model::json::encode(*stats), kCors);
    });
}

void alloc_checks(const ExchangePtr& exchange) {
    at_alloc(exchange, Pool::Blocking,
             [](const ExchangePtr& on, ports::NodePort&) { on->reply_json("null", kCors); });
}

void answer_status(const ExchangePtr& exchange, const Status& status) {
    if (!status) return fail_client(exchange, status.error());
    exchange->reply_json("{\"Index\":0,\"KnownLeader\":false,\"LastContact\":0,\"NextToken\":\"\"}");
}

void restart(const ExchangePtr& exchange) {
    model::AllocationRestartRequest body;
    if (!trim(exchange->request.body).empty() && !read_body(exchange, body)) return;
    at_alloc(exchange, Pool::Blocking, [body](const ExchangePtr& on, ports::NodePort& node) {
        answer_status(on, node.restart_alloc(on->args[0], body.task_name(), body.all_tasks()));
    });
}

void signal(const ExchangePtr& exchange) {
    model::AllocSignalRequest body;
    if (!read_body(exchange, body)) return;
    at_alloc(exchange, Pool::Blocking, [body](const ExchangePtr& on, ports::NodePort& node) {
        answer_status(on, node.signal_alloc(on->args[0], body.task(), body.signal()));
    });
}

void collect_alloc(const ExchangePtr& exchange) {
    at_alloc(exchange, Pool::Blocking, [](const ExchangePtr& on, ports::NodePort& node) {
        if (auto status = node.collect_alloc(on->args[0]); !status) return fail_client(on, status.error());
        on->reply_empty();
    });
}

// For requests about a node: ?node_id= names it, without it this agent's own is meant.
template <class Local>
void at_node(const ExchangePtr& exchange, Local local) {
    auto* node = exchange->services.options.node;
    auto id = exchange->request.param_or("node_id", "");
    if (node && (id.empty() || id == node->node_id()))
        return exchange->run_blocking([exchange, node, local] { local(exchange, *node); });
    if (id.empty()) return exchange->fail(400, "client is not enabled on this agent: a node_id is needed");
    forward_to_node(exchange, id);
}

void host_stats(const ExchangePtr& exchange) {
    at_node(exchange, [](const ExchangePtr& on, ports::NodePort& node) {
        auto stats = node.host_stats();
        if (!stats) return fail_client(on, stats.error());
        on->reply_json(model::json::encode(*stats), kCors);
    });
}

void collect_all(const ExchangePtr& exchange) {
    at_node(exchange, [](const ExchangePtr& on, ports::NodePort& node) {
        if (auto status = node.collect_all(); !status) return fail_client(on, status.error());
        on->reply_empty();
    });
}

constexpr Route kRoutes[] = {
    {"GET", "/v1/client/fs/ls/*", list_files},
    {"GET", "/v1/client/fs/stat/*", stat_file},
    {"GET", "/v1/client/fs/cat/*", cat_file},
    {"GET", "/v1/client/fs/readat/*", read_at},
    {"GET", "/v1/client/fs/stream/*", stream_file},
    {"GET", "/v1/client/fs/logs/*", stream_logs},
    {"GET", "/v1/client/allocation/*/stats", alloc_stats},
    {"GET", "/v1/client/allocation/*/checks", alloc_checks},
    {"PUT", "/v1/client/allocation/*/restart", restart},
    {"PUT", "/v1/client/allocation/*/signal", signal},
    {"GET", "/v1/client/allocation/*/gc", collect_alloc},
    {"PUT", "/v1/client/allocation/*/gc", collect_alloc},
    {"GET", "/v1/client/stats", host_stats},
    {"GET", "/v1/client/gc", collect_all},
    {"PUT", "/v1/client/gc", collect_all},
};

}  // namespace

std::span<const Route> client_routes() {
    return kRoutes;
}

}  // namespace drover::api
