// SPDX-License-Identifier: Apache-2.0
#include "api/session.h"

#include <sys/socket.h>

#include <future>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "api/router.h"
#include "api/services.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/strings.h"

namespace drover::api {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;

class Session final : public SessionHandle, public std::enable_shared_from_this<Session> {
 public:
    Session(Socket socket, std::string remote, Services& services, std::function<void()> on_end)
        : services_(services),
          socket_(std::move(socket)),
          timer_(socket_.get_executor()),
          remote_(std::move(remote)),
          on_end_(std::move(on_end)),
          buffer_(kHeaderBytesMax + (16u << 10)) {}
    ~Session() override { end(); }

    void start() override {
        post([self = shared_from_this()] { self->read_request(); });
    }
    void close() override {
        post([self = shared_from_this()] { self->end(); });
    }
    void post(std::function<void()> job) { asio::post(socket_.get_executor(), std::move(job)); }

    // ---- answers, called by the sink of the current exchange
    // -----------------------------------------------------
    void send(Response response);
    Status write_piece(std::string bytes);
    void begin_stream(Response head);
    void finish_stream();

 private:
    void arm(int64_t ms);
    void end();
    void read_request();
    void read_header();
    void read_body();
    void on_request();
    void refuse(int status, std::string_view text);
    void watch_for_close();
    void write_head(const Response& response, std::string& out, bool chunked) const;
    void write_now(std::string bytes, std::function<void(error_code)> done);
    void pump();
    void after_answer();

    Services& services_;
    Socket socket_;
    asio::steady_timer timer_;
    const std::string remote_;
    std::function<void()> on_end_;
    beast::flat_buffer buffer_;
    std::optional<http::request_parser<http::string_body>> parser_;
    std::shared_ptr<ports::CancelToken> cancel_;  // of the exchange being answered
    uint64_t request_count_ = 0;
    bool http10_ = false;
    bool head_only_ = false;
    bool keep_alive_ = false;
    bool accepts_gzip_ = false;
    bool closed_ = false;
    struct Write {
        std::string bytes;
        std::function<void(error_code)> done;
    };
    std::deque<Write> writes_;
    bool writing_ = false;
    std::string log_method_;
    std::string log_path_;
    int64_t started_ns_ = 0;
};

// One per request: what an Exchange holds of its session.
class Sink final : public ExchangeSink, public BodyStream, public std::enable_shared_from_this<Sink> {
 public:
    explicit Sink(std::shared_ptr<Session> session) : session_(std::move(session)) {}

    void send(Response response) override {
        session_->post([session = session_, response = std::move(response)]() mutable {
            session->send(std::move(response));
        });
    }
    std::shared_ptr<BodyStream> begin_stream(Response head) override {
        session_->post([session = session_, head = std::move(head)]() mutable {
            session->begin_stream(std::move(head));
        });
        return shared_from_this();
    }
    void post(std::function<void()> job) override { session_->post(std::move(job)); }
    Status write(std::string bytes) override { return session_->write_piece(std::move(bytes)); }
    void finish() override {
        session_->post([session = session_] { session->finish_stream(); });
    }

 private:
    std::shared_ptr<Session> session_;
};

void Session::arm(int64_t ms) {
    timer_.expires_after(std::chrono::milliseconds(ms));
    timer_.async_wait([weak = weak_from_this()](error_code error) {
        if (error) return;
        if (auto self = weak.lock()) self->end();
    });
}

void Session::end() {
    if (closed_) return;
    closed_ = true;
    timer_.cancel();
    error_code ignored;
    socket_.shutdown(asio::socket_base::shutdown_both, ignored);
    socket_.close(ignored);
    for (auto& write : std::exchange(writes_, {}))
        if (write.done) write.done(asio::error::operation_aborted);
    if (auto cancel = std::move(cancel_)) cancel->cancel();
    if (auto done = std::move(on_end_)) done();
}

// Waits for the first byte with the idle limit, then reads the head with the header limit: a client that
// trickles a head byte by byte is cut off, one that keeps its connection between requests is not.
void Session::read_request() {
    if (closed_) return;
    ++request_count_;
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(kHeaderBytesMax));
    parser_->body_limit(services_.options.limits.body_bytes_max);
    if (buffer_.size() > 0) return read_header();
    arm(services_.options.limits.idle_timeout_ms);
    socket_.async_wait(asio::socket_base::wait_read, [self = shared_from_this()](error_code error) {
        if (error || self->closed_) return self->end();
        self->read_header();
    });
}

void Session::read_header() {
    arm(services_.options.limits.header_timeout_ms);
    http::async_read_header(
        socket_, buffer_, *parser_, [self = shared_from_this()](error_code error, size_t) {
            if (!error) return self->read_body();
            if (error == http::error::header_limit || error == http::error::buffer_overflow)
                return self->refuse(431, "Request Header Fields Too Large");
            if (error == http::error::body_limit) return self->refuse(413, "http: request body too large");
            bool peer_gone = error == http::error::end_of_stream ||
                             error.category() != make_error_code(http::error::bad_method).category();
            if (peer_gone) return self->end();
            self->refuse(400, fmt::format("malformed HTTP request: {}", error.message()));
        });
}

void Session::read_body() {
    if (closed_) return;
    arm(services_.options.limits.body_timeout_ms);
    auto& message = parser_->get();
    auto length = parser_->content_length();
    if (length && *length > services_.options.limits.body_bytes_max)
        return refuse(413, "http: request body too large");
    auto read = [self = shared_from_this()](error_code error) {
        if (error || self->closed_) return self->end();
        http::async_read(self->socket_, self->buffer_, *self->parser_, [self](error_code read_error, size_t) {
            if (!read_error) return self->on_request();
            if (read_error == http::error::body_limit)
                return self->refuse(413, "http: request body too large");
            bool malformed = read_error.category() == make_error_code(http::error::bad_method).category();
            if (malformed && read_error != http::error::end_of_stream &&
                read_error != http::error::partial_message)
                return self->refuse(400, fmt::format("malformed HTTP request: {}", read_error.message()));
            self->end();
        });
    };
    if (!parser_->is_done() && beast::iequals(message[http::field::expect], "100-continue"))
        return write_now("HTTP/1.1 100 Continue\r\n\r\n", std::move(read));
    read({});
}

void Session::on_request() {
    if (closed_) return;
    timer_.cancel();
    auto message = parser_->release();
    started_ns_ = mono_now();
    ++services_.requests;
    http10_ = message.version() < 11;
    keep_alive_ = message.keep_alive();
    Request request;
    request.method = std::string(message.method_string());
    head_only_ = request.method == "HEAD";
    request.target = std::string(message.target());
    log_method_ = request.method;
    log_path_ = request.target;
    if (request.method == "POST") request.method = "PUT";
    request.remote = remote_;
    for (const auto& field : message) {
        auto name = to_lower(std::string_view(field.name_string().data(), field.name_string().size()));
        auto& value = request.headers[name];
        if (!value.empty()) value += ", ";
        value += std::string_view(field.value().data(), field.value().size());
    }
    accepts_gzip_ = request.header("accept-encoding").find("gzip") != std::string::npos;
    request.body = std::move(message.body());
    auto target = parse_target(request.target, request);
    auto exchange =
        std::make_shared<Exchange>(std::move(request), services_, std::make_shared<Sink>(shared_from_this()));
    cancel_ = exchange->cancel;
    if (!target) return exchange->fail(400, target.error().message());
    watch_for_close();
    dispatch(exchange);
}

// An answer to something that never became a request; the connection cannot go on.
void Session::refuse(int status, std::string_view text) {
    if (closed_) return;
    keep_alive_ = false;
    http10_ = true;
    log_path_.clear();
    Response response;
    response.status = status;
    response.content_type = "text/plain; charset=utf-8";
    response.body = std::string(text);
    ++services_.errors;
    send(std::move(response));
}

// While a blocking query waits: notice that the client went away, so that the cluster is not asked in vain.
void Session::watch_for_close() {
    socket_.async_wait(
        asio::socket_base::wait_read, [weak = weak_from_this(), request = request_count_](error_code error) {
            auto self = weak.lock();
            if (!self || self->closed_ || error || self->request_count_ != request || !self->cancel_) return;
            char byte;
            auto got = ::recv(self->socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
            if (got > 0) return;  // the next request, pipelined
            if (got < 0 && (errno == EAGAIN || errno == EINTR)) return self->watch_for_close();
            self->end();
        });
}

void Session::write_head(const Response& response, std::string& out, bool chunked) const {
    auto reason = http::obsolete_reason(http::int_to_status(static_cast<unsigned>(response.status)));
    out = fmt::format("HTTP/1.1 {} {}\r\n", response.status, std::string_view(reason.data(), reason.size()));
    if (!response.content_type.empty()) out += fmt::format("Content-Type: {}\r\n", response.content_type);
    for (const auto& [name, value] : response.headers) {
        bool clean = name.find_first_of("\r\n: ") == std::string::npos &&
                     value.find_first_of("\r\n") == std::string::npos;
        if (clean) out += fmt::format("{}: {}\r\n", name, value);
    }
    if (chunked)
        out += "Transfer-Encoding: chunked\r\n";
    else if (!head_only_ || !response.body.empty())
        out += fmt::format("Content-Length: {}\r\n", response.body.size());
    out += keep_alive_ ? (http10_ ? "Connection: keep-alive\r\n" : "") : "Connection: close\r\n";
    out += "\r\n";
}

void Session::send(Response response) {
    if (closed_) return;
    cancel_.reset();
    bool json = response.content_type == "application/json";
    if (accepts_gzip_ && json && response.body.size() >= kGzipBytesMin) {
        if (auto small = gzip(response.body)) {
            response.body = std::move(*small);
            response.headers.emplace_back("Content-Encoding", "gzip");
        }
    }
    if (json) response.headers.emplace_back("Vary", "Accept-Encoding");
    std::string out;
    write_head(response, out, false);
    if (!head_only_) out += response.body;
    if (!log_path_.empty() && log::enabled(log::Level::Debug))
        log::debug("http", "request complete",
                   {{"method", log_method_},
                    {"path", log_path_},
                    {"status", response.status},
                    {"duration", format_duration(mono_now() - started_ns_)}});
    write_now(std::move(out), [self = shared_from_this()](error_code error) {
        if (error) return self->end();
        self->after_answer();
    });
}

void Session::after_answer() {
    timer_.cancel();
    if (keep_alive_ && !closed_) return read_request();
    // Let the client read the answer before the reset that unread input would cause.
    error_code ignored;
    socket_.shutdown(asio::socket_base::shutdown_send, ignored);
    constexpr int64_t kLingerMs = 500;
    arm(kLingerMs);
    auto sink = std::make_shared<std::array<char, 4096>>();
    auto drain = std::make_shared<std::function<void()>>();
    *drain = [self = shared_from_this(), sink, weak = std::weak_ptr(drain)] {
        auto again = weak.lock();
        if (self->closed_ || !again) return;
        self->socket_.async_read_some(asio::buffer(*sink), [self, again](error_code error, size_t) {
            if (error) return self->end();
            (*again)();
        });
    };
    (*drain)();
}

// ---- streams: pieces are written in order; each caller waits for its own
// ------------------------------------------

void Session::begin_stream(Response head) {
    if (closed_) return;
    if (http10_) keep_alive_ = false;
    std::string out;
    write_head(head, out, !http10_);
    write_now(std::move(out), [self = shared_from_this()](error_code error) {
        if (error) self->end();
    });
}

Status Session::write_piece(std::string bytes) {
    if (bytes.empty()) return {};
    auto promise = std::make_shared<std::promise<error_code>>();
    auto future = promise->get_future();
    post([self = shared_from_this(), bytes = std::move(bytes), promise]() mutable {
        if (self->closed_) return promise->set_value(asio::error::operation_aborted);
        std::string piece =
            self->http10_ ? std::move(bytes) : fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
        self->write_now(std::move(piece), [promise](error_code error) { promise->set_value(error); });
    });
    auto error = future.get();
    if (error) return make_error(Code::Unavailable, "the client is gone: {}", error.message());
    return {};
}

void Session::finish_stream() {
    if (closed_) return;
    cancel_.reset();
    if (http10_) return end();
    write_now("0\r\n\r\n", [self = shared_from_this()](error_code error) {
        if (error) return self->end();
        self->after_answer();
    });
}

void Session::write_now(std::string bytes, std::function<void(error_code)> done) {
    writes_.push_back({std::move(bytes), std::move(done)});
    if (!writing_) pump();
}

void Session::pump() {
    if (writes_.empty() || closed_) return;
    writing_ = true;
    arm(kWriteTimeoutMs);
    auto bytes = std::make_shared<std::string>(std::move(writes_.front().bytes));
    asio::async_write(socket_, asio::buffer(*bytes),
                      [self = shared_from_this(), bytes](error_code error, size_t) {
                          self->writing_ = false;
                          if (self->closed_) return;  // end() has told everybody
                          self->timer_.cancel();
                          auto done = std::move(self->writes_.front().done);
                          self->writes_.pop_front();
                          if (done) done(error);
                          if (error) return self->end();
                          if (!self->writing_) self->pump();
                      });
}

}  // namespace

std::shared_ptr<SessionHandle> make_session(Socket socket, std::string remote, Services& services,
                                            std::function<void()> on_end) {
    return std::make_shared<Session>(std::move(socket), std::move(remote), services, std::move(on_end));
}

}  // namespace drover::api
