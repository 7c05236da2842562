// SPDX-License-Identifier: Apache-2.0
#include "api/exec_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>

#include "api/exec_frames.h"
#include "api/hangup.h"
#include "api/services.h"
#include "base/strings.h"

namespace drover::api {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using boost::system::error_code;

constexpr std::chrono::seconds kLinger{2};  // for the client to read the last frame and close

// "failed precondition" -> "FailedPrecondition"
std::string grpc_name(Code code) {
    std::string out;
    for (auto& word : split(code_name(code), ' ')) {
        if (word.empty()) continue;
        word[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(word[0])));
        out += word;
    }
    return out;
}

// All of its state lives on the session's strand.
class ExecSocket final : public Upgrade, public std::enable_shared_from_this<ExecSocket> {
 public:
    ExecSocket(ExchangePtr exchange, bool tty, bool handshake, OpenExec open)
        : exchange_(std::move(exchange)), tty_(tty), handshake_(handshake), open_(std::move(open)) {}

    void start(Socket socket, std::string read_ahead, std::function<void()> ended) override;
    void close() override { end(); }

 private:
    using Self = std::shared_ptr<ExecSocket>;

    void accepted();
    void open_session();
    void opened(Result<std::unique_ptr<ports::ExecSession>> session);
    void read_client();
    void on_message(const std::string& text);
    void read_task();
    void on_output(Result<ports::ExecOutput> output);
    void send(std::string frame, std::function<void()> then);
    void send_next();
    void watch();
    void refuse(const Error& error);
    void finish();
    void end_soon();
    void end();

    const ExchangePtr exchange_;
    const bool tty_;
    bool handshake_;  // the client's first message is still to come
    OpenExec open_;
    std::function<void()> ended_;
    std::optional<websocket::stream<Socket>> ws_;
    std::optional<asio::steady_timer> timer_;
    http::request<http::empty_body> request_;
    beast::flat_buffer buffer_;
    struct Frame {
        std::string text;
        std::function<void()> then;
    };
    std::deque<Frame> frames_;  // the first is being sent
    std::unique_ptr<ports::ExecSession> session_;
    bool reading_ = false;   // a message of the client is awaited
    bool closing_ = false;   // a close frame is on its way
    bool finished_ = false;  // the exit code was sent
};

void ExecSocket::start(Socket socket, std::string read_ahead, std::function<void()> ended) {
    ended_ = std::move(ended);
    keep_alive(socket.native_handle());
    timer_.emplace(socket.get_executor());
    ws_.emplace(std::move(socket));
    ws_->read_message_max(kExecFrameBytesMax);
    ws_->auto_fragment(false);
    ws_->text(true);
    if (!read_ahead.empty()) return end();  // data before the protocol was agreed on
    request_.version(11);
    request_.method(http::verb::get);
    request_.target(exchange_->request.target);
    for (const char* name : {"host", "connection", "upgrade", "sec-websocket-key", "sec-websocket-version",
                             "sec-websocket-protocol"})
        if (auto value = exchange_->request.header(name); !value.empty())
            request_.set(name, std::string(value));
    ws_->async_accept(request_, [self = shared_from_this()](error_code error) {
        if (error || !self->ended_) return self->end();
        self->accepted();
    });
}

void ExecSocket::accepted() {
    watch();
    if (handshake_) return read_client();
    open_session();
}

void ExecSocket::open_session() {
    bool taken = exchange_->services.blocking.run([self = shared_from_this()] {
        auto session = std::make_shared<Result<std::unique_ptr<ports::ExecSession>>>(self->open_());
        self->exchange_->post([self, session] { self->opened(std::move(*session)); });
    });
    if (!taken) refuse(make_error(Code::ResourceExhausted, "too many requests are waiting for this agent"));
}

void ExecSocket::opened(Result<std::unique_ptr<ports::ExecSession>> session) {
    if (!ended_) return;  // the session cancels as it goes
    if (!session) return refuse(session.error());
    session_ = std::move(*session);
    read_task();
    read_client();
}

// ---- from the client

void ExecSocket::read_client() {
    if (!ended_ || closing_ || reading_) return;
    reading_ = true;
    ws_->async_read(buffer_, [self = shared_from_this()](error_code error, size_t) {
        self->reading_ = false;
        if (!self->ended_) return;
        if (error == websocket::error::message_too_big)
            return self->refuse(make_error(Code::InvalidArgument, "an exec message has at most {} bytes",
                                           kExecFrameBytesMax));
        if (error) return self->end();
        auto text = beast::buffers_to_string(self->buffer_.data());
        self->buffer_.consume(self->buffer_.size());
        self->on_message(text);
    });
}

void ExecSocket::on_message(const std::string& text) {
    if (finished_) return read_client();  // only its end is waited for
    if (std::exchange(handshake_, false)) {
        if (auto checked = check_exec_handshake(text); !checked) return refuse(checked.error());
        return open_session();
    }
    auto input = decode_exec_input(text);
    if (!input) return refuse(input.error());
    if (!tty_) input->size.reset();  // some drivers hang on a size for what has no terminal
    if (*input == ports::ExecInput{}) return read_client();
    session_->write(std::move(*input), [self = shared_from_this()](Status) {
        // A failed write says nothing that the reading side does not say better.
        self->exchange_->post([self] { self->read_client(); });
    });
}

// ---- from the task

void ExecSocket::read_task() {
    session_->read([self = shared_from_this()](Result<ports::ExecOutput> output) {
        auto moved = std::make_shared<Result<ports::ExecOutput>>(std::move(output));
        self->exchange_->post([self, moved] { self->on_output(std::move(*moved)); });
    });
}

void ExecSocket::on_output(Result<ports::ExecOutput> output) {
    if (!ended_ || closing_) return;
    if (!output && output.error().code() == Code::OutOfRange)
        return refuse(make_error(Code::Internal, "the driver ended the session without an exit code"));
    if (!output) return refuse(output.error());
    if (*output == ports::ExecOutput{}) return read_task();
    const bool last = output->exit_code.has_value();
    send(encode_exec(*output), [this, last] { last ? finish() : read_task(); });
}

// One frame is under way at a time; `then` when it is with the kernel.
void ExecSocket::send(std::string frame, std::function<void()> then) {
    frames_.push_back({std::move(frame), std::move(then)});
    if (frames_.size() == 1) send_next();
}

void ExecSocket::send_next() {
    ws_->async_write(asio::buffer(frames_.front().text),
                     [self = shared_from_this()](error_code error, size_t) {
                         if (!self->ended_) return;
                         if (error) return self->end();
                         auto then = std::move(self->frames_.front().then);
                         self->frames_.pop_front();
                         if (!self->frames_.empty()) self->send_next();
                         if (then) then();
                     });
}

// ---- the end

// While a driver is slow to take input nobody reads here, and a client that went away would not be noticed:
// its end may even be queued behind input that is not read. A sign of life makes its machine answer with a
// reset.
void ExecSocket::watch() {
    timer_->expires_after(kHangupInterval);
    timer_->async_wait([self = shared_from_this()](error_code error) {
        if (error || !self->ended_) return;
        if (!self->reading_ && self->session_) {
            if (hung_up(self->ws_->next_layer().native_handle())) return self->end();
            if (self->frames_.empty()) self->send("{}", nullptr);
        }
        self->watch();
    });
}

void ExecSocket::refuse(const Error& error) {
    if (!ended_ || std::exchange(closing_, true)) return;
    const bool known = !session_ || error.code() == Code::Cancelled;
    // What a driver says is shown as clients know it from gRPC; our own refusals are sentences.
    std::string text =
        known ? error.message()
              : fmt::format("rpc error: code = {} desc = {}", grpc_name(error.code()), error.message());
    websocket::close_reason reason(error.code() == Code::InvalidArgument || error.code() == Code::NotFound
                                       ? websocket::close_code::policy_error
                                       : websocket::close_code::internal_error);
    constexpr size_t kReasonBytesMax = 123;  // RFC 6455
    if (text.size() > kReasonBytesMax) {
        size_t cut = kReasonBytesMax;
        while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut;
        text.resize(cut);
    }
    reason.reason = text;
    if (session_) session_->cancel();
    end_soon();
    ws_->async_close(reason, [self = shared_from_this()](error_code) { self->end(); });
}

// Closing at once would reset the connection if input is still coming in, and the last frame could be lost.
void ExecSocket::finish() {
    finished_ = true;
    error_code ignored;
    ws_->next_layer().shutdown(asio::socket_base::shutdown_send, ignored);
    end_soon();
    read_client();
}

void ExecSocket::end_soon() {
    timer_->expires_after(kLinger);
    timer_->async_wait([self = shared_from_this()](error_code error) {
        if (!error) self->end();
    });
}

void ExecSocket::end() {
    auto ended = std::exchange(ended_, nullptr);
    if (!ended) return;
    if (timer_) timer_->cancel();
    error_code ignored;
    if (ws_) ws_->next_layer().close(ignored);
    if (session_) session_->cancel();
    ended();
}

}  // namespace

void serve_exec(const ExchangePtr& exchange, bool tty, OpenExec open) {
    const auto& request = exchange->request;
    if (to_lower(request.header("upgrade")).find("websocket") == std::string::npos ||
        request.header("sec-websocket-key").empty())
        return exchange->fail(400, "exec is a WebSocket: a request with Upgrade: websocket is expected");
    bool handshake = false;
    if (auto text = request.param_or("ws_handshake", ""); !text.empty())
        handshake = parse_bool(text).value_or(false);
    exchange->upgrade(std::make_shared<ExecSocket>(exchange, tty, handshake, std::move(open)));
}

}  // namespace drover::api
