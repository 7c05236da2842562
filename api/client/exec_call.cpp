// SPDX-License-Identifier: Apache-2.0
#include "api/client/exec_call.h"

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>

#include "api/exec_frames.h"
#include "base/strings.h"
#include "model/json/json.h"

namespace drover::api {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = beast::websocket;
using boost::system::error_code;
using Socket = asio::generic::stream_protocol::socket;

std::string command_json(const std::vector<std::string>& command) {
    std::string out = "[";
    for (const auto& part : command) {
        if (out.size() > 1) out += ',';
        model::json::append_quoted(out, part);
    }
    return out + "]";
}

}  // namespace

struct ExecCall::State : std::enable_shared_from_this<ExecCall::State> {
    explicit State(asio::io_context& io) : ws(io), heartbeat(io) {}

    Result<void> handshake(Client& client, const std::string& target, asio::io_context& io);
    void read();
    void write();
    void beat();
    void end(Result<int> result);

    websocket::stream<Socket> ws;
    asio::steady_timer heartbeat;
    beast::flat_buffer buffer;
    Handlers handlers;
    struct Write {
        std::string text;
        std::function<void()> sent;
    };
    std::deque<Write> writes;
    bool ended = false;
};

Result<void> ExecCall::State::handshake(Client& client, const std::string& target, asio::io_context& io) {
    const auto& options = client.options();
    ws.read_message_max(kExecFrameBytesMax);
    ws.auto_fragment(false);
    ws.text(true);
    ws.set_option(websocket::stream_base::decorator([&](websocket::request_type& request) {
        request.set("user-agent", "drover");
        if (!options.token.empty()) request.set("x-nomad-token", options.token);
        if (!options.http_auth.empty())
            request.set("authorization", "Basic " + base64_encode(options.http_auth));
    }));
    auto host = options.address.substr(options.address.find("://") + 3);
    websocket::response_type response;
    std::optional<error_code> done;
    ws.async_handshake(response, starts_with(options.address, "unix") ? "localhost" : host, target,
                       [&](error_code error) { done = error; });
    io.run_for(std::chrono::milliseconds(options.connect_timeout_ms + kExecHeartbeatMs));
    if (!done) {
        error_code ignored;
        ws.next_layer().close(ignored);
        io.restart();
        io.run();  // the handler refers to this frame
        return make_error(Code::DeadlineExceeded, "no answer to the request for exec");
    }
    io.restart();
    if (!*done) return {};
    if (*done == websocket::error::upgrade_declined)
        return make_error(Code::Unknown, "Unexpected response code: {} ({})", response.result_int(),
                          trim(response.body()));
    return make_error(Code::Unavailable, "the connection failed: {}", done->message());
}

Result<std::unique_ptr<ExecCall>> ExecCall::open(Client& client, const ports::ExecRequest& request,
                                                 asio::io_context& io) {
    QueryParams query = {{"task", request.task},
                         {"tty", request.tty ? "true" : "false"},
                         {"command", command_json(request.command)}};
    auto target =
        client.target(fmt::format("/v1/client/allocation/{}/exec", escape_segment(request.alloc_id)), query);
    DROVER_TRY(auto fd, client.dial());
    auto state = std::make_shared<State>(io);
    error_code error;
    // The family is of no interest to a socket that is connected.
    state->ws.next_layer().assign(asio::local::stream_protocol(), fd.get(), error);
    if (error) return make_error(Code::Internal, "the connection failed: {}", error.message());
    static_cast<void>(fd.release());
    DROVER_CHECK(state->handshake(client, target, io));
    return std::unique_ptr<ExecCall>(new ExecCall(std::move(state)));
}

ExecCall::~ExecCall() {
    close();
}

void ExecCall::start(Handlers handlers) {
    state_->handlers = std::move(handlers);
    state_->read();
    state_->beat();
}

void ExecCall::send(ports::ExecInput input, std::function<void()> sent) {
    if (state_->ended) return;
    state_->writes.push_back({encode_exec(input), std::move(sent)});
    if (state_->writes.size() == 1) state_->write();
}

void ExecCall::close() {
    if (std::exchange(state_->ended, true)) return;
    error_code ignored;
    state_->heartbeat.cancel();
    state_->ws.next_layer().close(ignored);
}

void ExecCall::State::write() {
    ws.async_write(asio::buffer(writes.front().text), [self = shared_from_this()](error_code error, size_t) {
        if (error || self->ended) return;  // the reading side tells
        auto sent = std::move(self->writes.front().sent);
        self->writes.pop_front();
        if (!self->writes.empty()) self->write();
        if (sent) sent();
    });
}

void ExecCall::State::beat() {
    heartbeat.expires_after(std::chrono::milliseconds(kExecHeartbeatMs));
    heartbeat.async_wait([self = shared_from_this()](error_code error) {
        if (error || self->ended) return;
        if (self->writes.empty()) {
            self->writes.push_back({"{}", nullptr});
            self->write();
        }
        self->beat();
    });
}

void ExecCall::State::read() {
    ws.async_read(buffer, [self = shared_from_this()](error_code error, size_t) {
        if (self->ended) return;
        if (error == websocket::error::closed && !self->ws.reason().reason.empty())
            return self->end(make_error(
                Code::Unknown, "{}",
                std::string_view(self->ws.reason().reason.data(), self->ws.reason().reason.size())));
        if (error)
            return self->end(make_error(
                Code::Unavailable, "the connection was lost before the exit code came: {}", error.message()));
        auto output = decode_exec_output(beast::buffers_to_string(self->buffer.data()));
        self->buffer.consume(self->buffer.size());
        if (!output) return self->end(std::move(output).error());
        self->handlers.output(*output);
        if (self->ended) return;
        if (output->exit_code) return self->end(*output->exit_code);
        self->read();
    });
}

void ExecCall::State::end(Result<int> result) {
    ended = true;
    heartbeat.cancel();
    error_code ignored;
    ws.next_layer().close(ignored);
    handlers.ended(std::move(result));
}

}  // namespace drover::api
