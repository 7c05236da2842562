// SPDX-License-Identifier: Apache-2.0
#include "api/client/client.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <boost/beast/http.hpp>

#include "base/clock.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/strings.h"
#include "model/json/json.h"

namespace drover::api {
namespace {

namespace http = boost::beast::http;

std::string env_or(const char* name, const char* other) {
    if (const char* value = std::getenv(name); value && *value) return value;
    const char* value = std::getenv(other);
    return value ? value : "";
}

// The words Go prints, which differ from strerror's.
std::string connect_error(int number) {
    switch (number) {
        case ECONNREFUSED:
            return "connection refused";
        case ENOENT:
            return "no such file or directory";
        case ETIMEDOUT:
            return "i/o timeout";
        case ENETUNREACH:
            return "network is unreachable";
        case EHOSTUNREACH:
            return "no route to host";
        case EACCES:
            return "permission denied";
        default:
            return std::strerror(number);
    }
}

struct Address {
    std::string host;  // without brackets
    std::string port;
    std::string unix_path;
};

Result<Address> parse_address(const std::string& text) {
    auto invalid = [&](std::string_view why) {
        return make_error(Code::InvalidArgument, "invalid address '{}': {}", text, why);
    };
    auto scheme_end = text.find("://");
    if (scheme_end == std::string::npos) {
        if (text.find(':') != std::string::npos)
            return invalid(fmt::format("parse \"{}\": first path segment in URL cannot contain colon", text));
        return invalid("a URL like http://127.0.0.1:4646 or unix:///path is expected");
    }
    auto scheme = text.substr(0, scheme_end);
    auto rest = text.substr(scheme_end + 3);
    if (scheme == "unix") {
        if (rest.empty() || rest.size() >= sizeof(sockaddr_un::sun_path))
            return invalid("a socket path is expected");
        return Address{"127.0.0.1", "", rest};
    }
    if (scheme == "https") return invalid("https is not supported yet; http or unix is expected");
    if (scheme != "http")
        return invalid(fmt::format("unsupported scheme \"{}\": http or unix is expected", scheme));
    rest = rest.substr(0, rest.find('/'));
    if (rest.find('@') != std::string::npos) return invalid("user information belongs into NOMAD_HTTP_AUTH");
    Address address;
    auto colon = rest.rfind(':');
    auto bracket = rest.rfind(']');
    if (colon != std::string::npos && (bracket == std::string::npos || colon > bracket)) {
        address.port = rest.substr(colon + 1);
        rest.resize(colon);
        auto number = parse_uint(address.port);
        if (!number || *number > 65535) return invalid(fmt::format("invalid port \"{}\"", address.port));
    } else {
        address.port = "80";
    }
    if (rest.size() > 2 && rest.front() == '[' && rest.back() == ']') rest = rest.substr(1, rest.size() - 2);
    if (rest.empty()) return invalid("the host is missing");
    address.host = rest;
    return address;
}

Code code_of_status(int status) {
    switch (status) {
        case 400:
            return Code::InvalidArgument;
        case 401:
            return Code::Unauthenticated;
        case 403:
            return Code::PermissionDenied;
        case 404:
            return Code::NotFound;
        case 409:
            return Code::Aborted;
        case 429:
            return Code::ResourceExhausted;
        case 501:
            return Code::Unimplemented;
        default:
            return Code::Internal;
    }
}

bool wait_for(int fd, short events, int64_t timeout_ms) {
    int64_t deadline = mono_now() + timeout_ms * kMillisecond;
    while (true) {
        pollfd entry{fd, events, 0};
        auto left = std::max<int64_t>(0, (deadline - mono_now() + kMillisecond - 1) / kMillisecond);
        int ready = ::poll(&entry, 1, static_cast<int>(std::min<int64_t>(left, INT32_MAX)));
        if (ready > 0) return true;
        if (ready == 0 || errno != EINTR) return false;
    }
}

// A socket on which poll decides; 0 and the descriptor, or an errno.
int connect_to(const sockaddr* address, socklen_t length, int64_t timeout_ms, UniqueFd& out) {
    UniqueFd fd(::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return errno;
    if (::connect(fd.get(), address, length) != 0) {
        if (errno != EINPROGRESS) return errno;
        if (!wait_for(fd.get(), POLLOUT, timeout_ms)) return ETIMEDOUT;
        int error = 0;
        socklen_t size = sizeof error;
        ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) return error;
    }
    if (address->sa_family != AF_UNIX) {
        int on = 1;
        ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    out = std::move(fd);
    return 0;
}

// "PUT" -> "Put", as Go's net/url names a method in its errors.
std::string go_method(std::string_view method) {
    auto text = to_lower(method);
    if (!text.empty()) text[0] = static_cast<char>(text[0] - 'a' + 'A');
    return text;
}

}  // namespace

ClientOptions ClientOptions::from_environment() {
    ClientOptions options;
    options.address = env_or("DROVER_ADDR", "NOMAD_ADDR");
    options.region = env_or("DROVER_REGION", "NOMAD_REGION");
    options.namespace_name = env_or("DROVER_NAMESPACE", "NOMAD_NAMESPACE");
    options.token = env_or("DROVER_TOKEN", "NOMAD_TOKEN");
    options.http_auth = env_or("DROVER_HTTP_AUTH", "NOMAD_HTTP_AUTH");
    return options;
}

uint64_t HttpReply::index() const {
    auto it = headers.find("x-nomad-index");
    return it == headers.end() ? 0 : parse_uint(it->second).value_or(0);
}

std::string HttpReply::next_token() const {
    auto it = headers.find("x-nomad-nexttoken");
    return it == headers.end() ? "" : it->second;
}

std::string escape_segment(std::string_view text) {
    std::string out;
    for (char c : text) {
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                     c == '_' || c == '.' || c == '~';
        if (plain)
            out += c;
        else
            out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return out;
}

std::string encode_query(const QueryParams& query) {
    std::string out;
    for (const auto& [name, value] : query)
        out += fmt::format("{}{}={}", out.empty() ? "" : "&", escape_segment(name), escape_segment(value));
    return out;
}

struct Client::State {
    ClientOptions options;
    Address address;
    UniqueFd fd;
    bool fresh = false;      // nothing was read on this connection yet
    std::string read_ahead;  // bytes after the last answer

    Status connect();
    Status send(std::string_view bytes);
    Result<size_t> receive(char* buffer, size_t size);
    std::string render(const RawRequest& request) const;
    std::string url(std::string_view target) const { return fmt::format("{}{}", options.address, target); }
    Result<HttpReply> exchange(const RawRequest& request,
                               const std::function<bool(const HttpReply&)>& on_head,
                               const std::function<bool(std::string_view)>& on_data, bool& answered);
    Result<HttpReply> read_reply(std::string_view method,
                                 const std::function<bool(const HttpReply&)>& on_head,
                                 const std::function<bool(std::string_view)>& on_data, bool& answered);
};

Status Client::State::connect() {
    fd.reset();
    read_ahead.clear();
    fresh = true;
    if (!address.unix_path.empty()) {
        sockaddr_un where{};
        where.sun_family = AF_UNIX;
        std::copy(address.unix_path.begin(), address.unix_path.end(), where.sun_path);
        int error =
            connect_to(reinterpret_cast<sockaddr*>(&where), sizeof where, options.connect_timeout_ms, fd);
        if (error == 0) return {};
        return make_error(Code::Unavailable, "dial unix {}: connect: {}", address.unix_path,
                          connect_error(error));
    }
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    int lookup = ::getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &found);
    if (lookup != 0)
        return make_error(Code::Unavailable, "dial tcp: lookup {}: {}", address.host, ::gai_strerror(lookup));
    int error = ENOENT;
    std::string shown;
    for (auto* entry = found; entry; entry = entry->ai_next) {
        char host[NI_MAXHOST];
        ::getnameinfo(entry->ai_addr, entry->ai_addrlen, host, sizeof host, nullptr, 0, NI_NUMERICHOST);
        shown = entry->ai_family == AF_INET6 ? fmt::format("[{}]:{}", host, address.port)
                                             : fmt::format("{}:{}", host, address.port);
        error = connect_to(entry->ai_addr, entry->ai_addrlen, options.connect_timeout_ms, fd);
        if (error == 0) break;
    }
    ::freeaddrinfo(found);
    if (error == 0) return {};
    if (error == ETIMEDOUT) return make_error(Code::Unavailable, "dial tcp {}: i/o timeout", shown);
    return make_error(Code::Unavailable, "dial tcp {}: connect: {}", shown, connect_error(error));
}

Status Client::State::send(std::string_view bytes) {
    while (!bytes.empty()) {
        auto sent = ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes.remove_prefix(static_cast<size_t>(sent));
        } else if (errno == EAGAIN) {
            if (!wait_for(fd.get(), POLLOUT, options.read_timeout_ms))
                return make_error(Code::DeadlineExceeded, "write: i/o timeout");
        } else if (errno != EINTR) {
            return Error(Code::Unavailable, fmt::format("write: {}", connect_error(errno)));
        }
    }
    return {};
}

// 0 at the end of the stream.
Result<size_t> Client::State::receive(char* buffer, size_t size) {
    if (!read_ahead.empty()) {
        auto count = std::min(size, read_ahead.size());
        std::copy_n(read_ahead.begin(), count, buffer);
        read_ahead.erase(0, count);
        return count;
    }
    while (true) {
        auto got = ::recv(fd.get(), buffer, size, 0);
        if (got >= 0) return static_cast<size_t>(got);
        if (errno == EAGAIN) {
            if (!wait_for(fd.get(), POLLIN, options.read_timeout_ms))
                return make_error(Code::DeadlineExceeded, "read: i/o timeout");
        } else if (errno != EINTR) {
            return Error(Code::Unavailable, fmt::format("read: {}", connect_error(errno)));
        }
    }
}

std::string Client::State::render(const RawRequest& request) const {
    auto host = address.host.find(':') == std::string::npos ? address.host : "[" + address.host + "]";
    std::string out = fmt::format("{} {} HTTP/1.1\r\nHost: {}{}{}\r\n", request.method, request.target, host,
                                  address.port.empty() ? "" : ":", address.port);
    auto headers = request.headers;
    headers.try_emplace("user-agent", "drover");
    if (!options.token.empty()) headers.try_emplace("x-nomad-token", options.token);
    if (!options.http_auth.empty())
        headers.try_emplace("authorization", "Basic " + base64_encode(options.http_auth));
    if (!request.body.empty() || request.method == "PUT" || request.method == "POST")
        headers["content-length"] = std::to_string(request.body.size());
    for (const auto& [name, value] : headers) out += fmt::format("{}: {}\r\n", name, value);
    return out + "\r\n" + request.body;
}

Result<HttpReply> Client::State::exchange(const RawRequest& request,
                                          const std::function<bool(const HttpReply&)>& on_head,
                                          const std::function<bool(std::string_view)>& on_data,
                                          bool& answered) {
    if (!fd) DROVER_CHECK(connect());
    DROVER_CHECK(send(render(request)));
    return read_reply(request.method, on_head, on_data, answered);
}

// Feeds Beast's parser by hand: poll gives the deadlines that its blocking calls do not have.
Result<HttpReply> Client::State::read_reply(std::string_view method,
                                            const std::function<bool(const HttpReply&)>& on_head,
                                            const std::function<bool(std::string_view)>& on_data,
                                            bool& answered) {
    http::response_parser<http::buffer_body> parser;
    parser.header_limit(256u << 10);
    parser.body_limit(boost::none);
    parser.skip(method == "HEAD");
    parser.eager(true);
    HttpReply reply;
    std::string pending;
    bool head_seen = false;
    bool streaming = false;
    bool stopped = false;
    char piece[16 << 10];
    char input[16 << 10];
    while (!parser.is_done() && !stopped) {
        DROVER_TRY(auto got, receive(input, sizeof input));
        if (got == 0) {
            boost::system::error_code error;
            parser.put_eof(error);
            if (error || !parser.is_done())
                return make_error(Code::Unavailable, "{}", head_seen ? "unexpected EOF" : "EOF");
            break;
        }
        answered = true;
        pending.append(input, got);
        // Until the parser has taken what it can; what is left waits for more.
        while (!pending.empty() && !parser.is_done() && !stopped) {
            auto& body = parser.get().body();
            body.data = piece;
            body.size = sizeof piece;
            body.more = true;
            boost::system::error_code error;
            auto used = parser.put(boost::asio::buffer(pending), error);
            pending.erase(0, used);
            if (error && error != http::error::need_buffer && error != http::error::need_more)
                return make_error(Code::Unavailable, "malformed HTTP response: {}", error.message());
            if (parser.is_header_done() && !std::exchange(head_seen, true)) {
                reply.status = static_cast<int>(parser.get().result_int());
                for (const auto& field : parser.get().base())
                    reply.headers[to_lower(
                        std::string_view(field.name_string().data(), field.name_string().size()))] =
                        std::string(field.value().data(), field.value().size());
                streaming = on_head && on_head(reply);
            }
            std::string_view data(piece, sizeof piece - (head_seen ? body.size : sizeof piece));
            if (!data.empty() && streaming) stopped = !on_data(data);
            if (!data.empty() && !streaming) {
                if (reply.body.size() + data.size() > options.body_bytes_max)
                    return make_error(Code::ResourceExhausted, "the response has more than {} bytes",
                                      options.body_bytes_max);
                reply.body += data;
            }
            if (error == http::error::need_more) break;
            if (used == 0 && data.empty()) break;
        }
    }
    if (stopped || !parser.keep_alive())
        fd.reset();
    else
        read_ahead = std::move(pending);
    fresh = false;
    return reply;
}

Result<Client> Client::create(ClientOptions options) {
    auto state = std::make_unique<State>();
    if (options.address.empty()) options.address = "http://127.0.0.1:4646";
    DROVER_TRY(state->address, parse_address(options.address));
    while (options.address.size() > 1 && options.address.back() == '/') options.address.pop_back();
    state->options = std::move(options);
    return Client(std::move(state));
}

Client::Client(std::unique_ptr<State> state) : state_(std::move(state)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

const ClientOptions& Client::options() const {
    return state_->options;
}
const std::string& Client::address() const {
    return state_->options.address;
}

Result<HttpReply> Client::raw(const RawRequest& request, const std::function<bool(const HttpReply&)>& on_head,
                              const std::function<bool(std::string_view)>& on_data) {
    for (int attempt = 0;; ++attempt) {
        bool reused = state_->fd.valid();
        bool answered = false;
        auto reply = state_->exchange(request, on_head, on_data, answered);
        if (reply) return reply;
        state_->fd.reset();
        // A kept connection may have been closed by the server just now; nothing was answered, so ask once
        // more.
        bool again = attempt == 0 && reused && !answered && reply.error().code() == Code::Unavailable;
        if (!again)
            return std::move(reply.error())
                .context(fmt::format("{} \"{}\"", go_method(request.method), state_->url(request.target)));
    }
}

namespace {

std::string target_of(std::string_view path, QueryParams query, const ClientOptions& options) {
    auto has = [&](std::string_view name) {
        return std::any_of(query.begin(), query.end(), [&](const auto& item) { return item.first == name; });
    };
    if (!options.region.empty() && !has("region")) query.emplace_back("region", options.region);
    if (!options.namespace_name.empty() && !has("namespace"))
        query.emplace_back("namespace", options.namespace_name);
    std::string target(path);
    if (!query.empty()) target += "?" + encode_query(query);
    return target;
}

Result<HttpReply> expect_success(Result<HttpReply> reply) {
    if (!reply || (reply->status >= 200 && reply->status < 300)) return reply;
    return make_error(code_of_status(reply->status), "Unexpected response code: {} ({})", reply->status,
                      trim(reply->body));
}

}  // namespace

Result<HttpReply> Client::get(std::string_view path, const QueryParams& query) {
    return expect_success(raw({"GET", target_of(path, query, options()), {}, ""}));
}

Result<HttpReply> Client::put(std::string_view path, std::string_view body, const QueryParams& query) {
    RawRequest request{"PUT", target_of(path, query, options()), {}, std::string(body)};
    if (!body.empty()) request.headers["content-type"] = "application/json";
    return expect_success(raw(request));
}

Result<HttpReply> Client::erase(std::string_view path, const QueryParams& query) {
    return expect_success(raw({"DELETE", target_of(path, query, options()), {}, ""}));
}

Status Client::get_message(std::string_view path, google::protobuf::Message& out, const QueryParams& query) {
    DROVER_TRY(auto reply, get(path, query));
    return model::json::decode(reply.body, out).context("failed to decode the server's answer");
}

Status Client::put_message(std::string_view path, const google::protobuf::Message& in,
                           google::protobuf::Message& out, const QueryParams& query) {
    model::json::EncodeOptions encode;
    encode.view = model::json::View::Api;
    DROVER_TRY(auto reply, put(path, model::json::encode(in, encode), query));
    if (trim(reply.body).empty()) return {};
    return model::json::decode(reply.body, out).context("failed to decode the server's answer");
}

Status Client::stream(std::string_view path, const QueryParams& query,
                      const std::function<bool(std::string_view)>& on_data) {
    auto reply = raw(
        {"GET", target_of(path, query, options()), {}, ""},
        [](const HttpReply& head) { return head.status >= 200 && head.status < 300; }, on_data);
    auto checked = expect_success(std::move(reply));
    if (!checked) return std::move(checked).error();
    return {};
}

}  // namespace drover::api
