// SPDX-License-Identifier: Apache-2.0
// alloc logs, alloc fs: what allocations wrote.
#include "base/clock.h"
#include "base/strings.h"
#include "cli/alloc_pick.h"
#include "cli/frames.h"
#include "cli/verbs.h"
#include "proto/model/model.pb.h"

namespace drover::cli {
namespace {

// For -n: read this much per wanted line from the end, then show the last n lines of it.
constexpr int64_t kBytesPerLine = 120;
constexpr int64_t kLinesDefault = 10;

// The last `count` lines of what was read.
std::string_view last_lines(std::string_view text, int64_t count) {
    size_t at = text.size();
    if (at > 0 && text[at - 1] == '\n') --at;
    for (int64_t seen = 0; at > 0; --at)
        if (text[at - 1] == '\n' && ++seen == count) break;
    return text.substr(at);
}

struct TailWish {
    std::string origin = "start";
    int64_t offset = 0;
    int64_t lines = -1;  // -1: not counted in lines
};

std::optional<TailWish> read_tail(Invocation& in) {
    TailWish wish;
    bool lines = in.given("n");
    bool bytes = in.given("c");
    if (!in.on("tail") && !lines && !bytes) return wish;
    if (in.number("n") < 0 || in.number("c") < 0) {
        fail(in, "-n and -c take a number of lines or bytes, 0 or more");
        return std::nullopt;
    }
    wish.origin = "end";
    if (bytes) {
        wish.offset = in.number("c");
    } else {
        wish.lines = lines ? in.number("n") : kLinesDefault;
        wish.offset = wish.lines * kBytesPerLine;
    }
    return wish;
}

// Holds back what comes first until it is known to be all that was there, then shows its last lines; from
// then on everything passes. All that was there: as much as was asked for, or a heartbeat, or a second
// without an end.
class LastLines {
 public:
    LastLines(Streams& io, int64_t lines, int64_t span)
        : io_(io), lines_(lines), span_(span), since_(mono_now()) {}
    ~LastLines() { release(); }

    void take(const std::string& data) {
        if (released_) return io_.out(data);
        held_ += data;
        if (data.empty() || static_cast<int64_t>(held_.size()) >= span_ || mono_now() - since_ > kSecond)
            release();
    }
    void release() {
        if (std::exchange(released_, true)) return;
        io_.out(last_lines(held_, lines_));
    }

 private:
    Streams& io_;
    const int64_t lines_;
    const int64_t span_;
    const int64_t since_;
    std::string held_;
    bool released_ = false;
};

// How many bytes from the end hold `lines` lines (or everything there is).
Result<int64_t> span_of_lines(api::Client& client, const std::string& path, api::QueryParams query,
                              int64_t lines) {
    constexpr int64_t kSpanMax = 64 << 20;
    query.insert(query.end(), {{"follow", "false"}, {"origin", "end"}, {"offset", ""}});
    for (int64_t span = lines * kBytesPerLine;; span *= 8) {
        query.back().second = std::to_string(span);
        int64_t bytes = 0;
        int64_t newlines = 0;
        FrameReader reader([&](const model::StreamFrame& frame) {
            bytes += static_cast<int64_t>(frame.data().size());
            newlines += std::count(frame.data().begin(), frame.data().end(), '\n');
            return true;
        });
        DROVER_CHECK(client.stream(path, query, [&](std::string_view piece) { return reader.feed(piece); }));
        DROVER_CHECK(reader.finish());
        if (newlines > lines || bytes < span || span >= kSpanMax) return span;
    }
}

// Shows a stream of frames; when lines are wanted, what comes first is cut to them. A refusal is an Error.
Status show_stream(Invocation& in, api::Client& client, const std::string& path, api::QueryParams query,
                   TailWish wish, bool follow) {
    if (wish.lines > 0) {
        DROVER_TRY(wish.offset, span_of_lines(client, path, query, wish.lines));
    }
    query.emplace_back("origin", wish.origin);
    query.emplace_back("offset", std::to_string(wish.offset));
    query.emplace_back("follow", follow ? "true" : "false");
    LastLines last(in.io, wish.lines, wish.offset);
    if (wish.lines <= 0) last.release();
    FrameReader reader([&](const model::StreamFrame& frame) {
        if (!frame.file_event().empty()) {
            in.io.warn_line(
                fmt::format("drover: FileEvent {} for {}", quoted(frame.file_event()), frame.file()));
            return true;
        }
        last.take(frame.data());
        return true;
    });
    DROVER_CHECK(client.stream(path, query, [&](std::string_view bytes) { return reader.feed(bytes); }));
    return reader.finish();
}

struct LogTarget {
    std::unique_ptr<model::Allocation> alloc;
    std::string task;
};

std::optional<LogTarget> pick_log_target(Invocation& in, api::Client& client) {
    LogTarget target;
    if (in.on("job"))
        target.alloc = pick_alloc_of_job(in, client, in.args[0]);
    else
        target.alloc = pick_alloc(in, client, in.args[0]);
    if (!target.alloc) return std::nullopt;
    if (!in.text("task").empty()) {
        target.task = in.text("task");
        if (!check_task(in, *target.alloc, target.task)) return std::nullopt;
    } else if (in.args.size() == 2) {
        target.task = in.args[1];  // the agent knows whether it exists
    } else {
        auto task = only_task(in, *target.alloc);
        if (!task) return std::nullopt;
        target.task = *task;
    }
    return target;
}

}  // namespace

int alloc_logs(Invocation& in) {
    if (in.args.empty())
        return fail_text(in, in.on("job") ? "A job ID is required" : "An allocation ID is required");
    if (in.on("stdout") && in.on("stderr") && in.on("f"))
        return fail_text(in, "Unable to follow both stdout and stderr: give one of -stdout and -stderr");
    auto wish = read_tail(in);
    if (!wish) return kExitError;
    auto client = make_client(in);
    if (!client) return kExitError;
    auto target = pick_log_target(in, *client);
    if (!target) return kExitError;
    std::vector<std::string> types;
    if (in.on("stdout") || !in.on("stderr")) types.push_back("stdout");
    if (in.on("stderr")) types.push_back("stderr");
    for (const auto& type : types) {
        api::QueryParams query = {{"task", target->task}, {"type", type}};
        auto shown =
            show_stream(in, *client, "/v1/client/fs/logs/" + target->alloc->id(), query, *wish, in.on("f"));
        if (!shown)
            return fail(in, "Failed to read {} file: error reading file: {}", type, shown.error().message());
    }
    return kExitOk;
}

namespace {

Row file_row(const model::AllocFileInfo& file, bool with_type) {
    Row row = {file.file_mode(), format_bytes(static_cast<uint64_t>(std::max<int64_t>(file.size(), 0))),
               format_time(file.mod_time())};
    if (with_type) row.push_back(file.content_type());
    row.push_back(file.is_dir() ? file.name() + "/" : file.name());
    return row;
}

}  // namespace

int alloc_fs(Invocation& in) {
    if (in.args.empty())
        return fail_text(in, in.on("job") ? "A job ID is required" : "An allocation ID is required");
    auto wish = read_tail(in);
    if (!wish) return kExitError;
    auto client = make_client(in);
    if (!client) return kExitError;
    auto alloc =
        in.on("job") ? pick_alloc_of_job(in, *client, in.args[0]) : pick_alloc(in, *client, in.args[0]);
    if (!alloc) return kExitError;
    auto path = in.args.size() == 2 ? in.args[1] : "/";
    api::QueryParams where = {{"path", path}};
    model::AllocFileInfo info;
    if (auto got = client->get_message("/v1/client/fs/stat/" + alloc->id(), info, where); !got)
        return fail_text(in, got.error().message());
    if (in.on("stat")) {
        in.io.line(table({{"Mode", "Size", "Modified Time", "Content Type", "Name"}, file_row(info, true)}));
        return kExitOk;
    }
    if (info.is_dir()) {
        auto files = get_list<model::AllocFileInfo>(*client, "/v1/client/fs/ls/" + alloc->id(), where);
        if (!files) return fail(in, "Error listing alloc dir: {}", files.error().message());
        std::vector<Row> rows = {{"Mode", "Size", "Modified Time", "Name"}};
        for (const auto& file : *files) rows.push_back(file_row(file, false));
        in.io.line(table(rows));
        return kExitOk;
    }
    Status shown;
    if (wish->origin == "start" && !in.on("f"))
        shown = client->stream("/v1/client/fs/cat/" + alloc->id(), where,
                               [&](std::string_view bytes) { return in.io.out(bytes), true; });
    else
        shown = show_stream(in, *client, "/v1/client/fs/stream/" + alloc->id(), where, *wish, in.on("f"));
    if (!shown) return fail_text(in, shown.error().message());
    return kExitOk;
}

}  // namespace drover::cli
