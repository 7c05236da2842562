// SPDX-License-Identifier: Apache-2.0
// alloc exec: a program inside a running task, with this terminal. The exit code is the program's.
#include <signal.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>

#include "api/client/exec_call.h"
#include "base/files.h"
#include "cli/alloc_pick.h"
#include "cli/exec_terminal.h"
#include "cli/verbs.h"
#include "proto/model/model.pb.h"

namespace drover::cli {
namespace {

namespace asio = boost::asio;
constexpr int kExitBrokenPipe = 141;

// One call, from the open connection to the exit code.
class Run {
 public:
    Run(asio::io_context& io, api::ExecCall& call, Streams& streams, std::optional<char> escape)
        : io_(io), call_(call), streams_(streams), filter_(escape), resized_(io) {}

    enum class Terminal : bool { No = false, Yes = true };
    Result<int> until_end(bool with_input, Terminal terminal) {
        std::optional<RawTerminal> raw;
        raw_ = terminal == Terminal::Yes;
        if (terminal == Terminal::Yes) {
            raw.emplace(STDIN_FILENO);
            resized_.add(SIGWINCH);
            send_size();
            await_resize();
        }
        call_.start({[this](const ports::ExecOutput& output) { show(output); },
                     [this](Result<int> result) { end(std::move(result)); }});
        std::unique_ptr<InputReader> reader;
        if (with_input)
            reader = std::make_unique<InputReader>(STDIN_FILENO, [this, terminal](std::string piece) {
                asio::post(io_, [this, terminal, piece = std::move(piece)]() mutable {
                    typed(std::move(piece), terminal);
                });
            });
        else
            call_.send({.stdin_closed = true}, nullptr);
        reader_ = reader.get();
        io_.run();
        return *result_;
    }
    bool detached() const { return detached_; }

 private:
    void show(const ports::ExecOutput& output) {
        if (!output.stdout_bytes.empty()) {
            if (!raw_) {
                streams_.out(output.stdout_bytes);
            } else if (!write_all(STDOUT_FILENO, output.stdout_bytes)) {
                // As streams_.out does it, but the terminal must be put back first.
                call_.close();
                return end(kExitBrokenPipe);
            }
        }
        if (!output.stderr_bytes.empty()) streams_.err(output.stderr_bytes);
    }
    void typed(std::string piece, Terminal terminal) {
        if (result_) return;
        if (piece.empty()) return call_.send({.stdin_closed = true}, nullptr);
        if (terminal == Terminal::Yes) {
            auto found = filter_.feed(piece);
            piece = std::move(found.pass);
            if (found.detach) {
                detached_ = true;
                call_.close();
                return end(make_error(Code::Cancelled, "closed by the escape character"));
            }
        }
        if (piece.empty()) return reader_->resume();
        call_.send({.stdin_bytes = std::move(piece)}, [this] { reader_->resume(); });
    }
    void send_size() {
        auto size = window_size(STDOUT_FILENO);
        if (!size) size = window_size(STDIN_FILENO);
        if (size) call_.send({.size = size}, nullptr);
    }
    void await_resize() {
        resized_.async_wait([this](const boost::system::error_code& error, int) {
            if (error || result_) return;
            send_size();
            await_resize();
        });
    }
    void end(Result<int> result) {
        if (result_) return;
        result_ = std::move(result);
        io_.stop();
    }

    asio::io_context& io_;
    api::ExecCall& call_;
    Streams& streams_;
    EscapeFilter filter_;
    asio::signal_set resized_;
    InputReader* reader_ = nullptr;
    std::optional<Result<int>> result_;
    bool detached_ = false;
    bool raw_ = false;
};

std::optional<ports::ExecRequest> pick_target(Invocation& in, api::Client& client) {
    auto alloc =
        in.on("job") ? pick_alloc_of_job(in, client, in.args[0]) : pick_alloc(in, client, in.args[0]);
    if (!alloc) return std::nullopt;
    ports::ExecRequest request;
    request.alloc_id = alloc->id();
    request.task = in.text("task");
    request.command.assign(in.args.begin() + 1, in.args.end());
    if (!request.task.empty()) {
        if (!check_task(in, *alloc, request.task)) return std::nullopt;
        return request;
    }
    auto task = only_task(in, *alloc);
    if (!task) return std::nullopt;
    request.task = *task;
    return request;
}

}  // namespace

int alloc_exec(Invocation& in) {
    if (in.args.empty())
        return usage_error(in, in.on("job") ? "A job ID is required" : "An allocation ID is required");
    if (in.args.size() < 2) return usage_error(in, "A command is required");
    const bool with_input = in.on("i");
    const bool own_terminal = in.io.in_is_terminal && in.io.out_is_terminal;
    const bool tty = in.given("t") ? in.on("t") : with_input && own_terminal;
    if (tty && !with_input) return fail_text(in, "-i must be enabled if running with tty");
    const auto escape_text = in.text("e");
    std::optional<char> escape;
    if (escape_text != "none") {
        if (escape_text.size() != 1) return fail_text(in, "-e requires 'none' or a single character");
        escape = escape_text[0];
    }
    auto client = make_client(in);
    if (!client) return kExitError;
    auto request = pick_target(in, *client);
    if (!request) return kExitError;
    request->tty = tty;

    asio::io_context io;
    auto call = api::ExecCall::open(*client, *request, io);
    if (!call) return fail(in, "failed to exec into task: {}", call.error().message());
    Run run(io, **call, in.io, escape);
    const bool raw = tty && in.io.in_is_terminal;
    auto code = run.until_end(with_input, raw ? Run::Terminal::Yes : Run::Terminal::No);
    if (run.detached()) return fail_text(in, "\nConnection closed");
    if (!code) return fail(in, "failed to exec into task: {}", code.error().message());
    return *code;
}

}  // namespace drover::cli
