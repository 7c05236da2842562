// SPDX-License-Identifier: Apache-2.0
#include "drivers/docker/http.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "base/clock.h"
#include "base/files.h"

namespace drover::drivers {
namespace {

namespace http = boost::beast::http;
constexpr size_t kChunk = 16 << 10;

Error unavailable(std::string_view what) {
    return Error(Code::Unavailable, fmt::format("docker daemon: {}", what), Retry::Yes);
}

// False when the deadline passed.
bool wait_for(int fd, short events, int64_t deadline) {
    for (;;) {
        int64_t left = deadline == HttpExchange::kForever ? -1 : std::max<int64_t>(0, deadline - mono_now());
        int timeout_ms =
            left < 0 ? -1 : static_cast<int>(std::min<int64_t>(left / kMillisecond + 1, 1 << 30));
        pollfd entry{fd, events, 0};
        int ready = ::poll(&entry, 1, left == 0 ? 0 : timeout_ms);
        if (ready > 0) return true;
        if (ready == 0 && left >= 0 && mono_now() >= deadline) return false;
        if (ready < 0 && errno != EINTR) return true;  // the read or write that follows tells
    }
}

Result<UniqueFd> connect_to(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return make_error(Code::InvalidArgument, "endpoint: the path \"{}\" is longer than {} bytes", path,
                          sizeof address.sun_path - 1);
    std::memcpy(address.sun_path, path.data(), path.size());
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return Error::from_errno("socket");
    // A unix socket connects at once, or says EAGAIN when the daemon's backlog is full.
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return unavailable(fmt::format("{}: {}", path, std::strerror(errno)));
    return fd;
}

}  // namespace

struct HttpExchange::Impl {
    UniqueFd fd;
    http::response_parser<http::buffer_body> parser;
    std::string buffer;  // read, not yet parsed
    bool raw = false;    // upgraded: no HTTP any more
    bool ended = false;

    Status send(std::string_view bytes, int64_t deadline) {
        while (!bytes.empty()) {
            ssize_t n = ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (n > 0) {
                bytes.remove_prefix(static_cast<size_t>(n));
            } else if (errno == EAGAIN) {
                if (!wait_for(fd.get(), POLLOUT, deadline)) return timed_out();
            } else if (errno != EINTR) {
                return unavailable(std::strerror(errno));
            }
        }
        return {};
    }

    Status send_file(const std::string& path, int64_t deadline) {
        UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
        if (!file) return Error::from_errno(path);
        for (;;) {
            ssize_t n = ::sendfile(fd.get(), file.get(), nullptr, 1 << 20);
            if (n == 0) return {};
            if (n > 0 || errno == EINTR) continue;
            if (errno != EAGAIN) return unavailable(std::strerror(errno));
            if (!wait_for(fd.get(), POLLOUT, deadline)) return timed_out();
        }
    }

    static Error timed_out() {
        return Error(Code::DeadlineExceeded, "docker daemon: no answer in time", Retry::Yes);
    }

    // More bytes into `buffer`: their number; 0 at the end, -1 when there are none now.
    Result<ssize_t> fill() {
        size_t used = buffer.size();
        buffer.resize(used + kChunk);
        ssize_t n;
        do n = ::recv(fd.get(), buffer.data() + used, kChunk, 0);
        while (n < 0 && errno == EINTR);
        int saved = errno;
        buffer.resize(used + static_cast<size_t>(std::max<ssize_t>(n, 0)));
        if (n >= 0) return n;
        if (saved == EAGAIN) return -1;
        return unavailable(std::strerror(saved));
    }

    Status read_head(int64_t deadline) {
        while (!parser.is_header_done()) {
            DROVER_TRY(ssize_t n, fill());
            if (n == 0) return unavailable("closed the connection without an answer");
            if (n < 0) {
                if (!wait_for(fd.get(), POLLIN, deadline)) return timed_out();
                continue;
            }
            boost::system::error_code code;
            size_t parsed = parser.put(boost::asio::buffer(buffer), code);
            buffer.erase(0, parsed);
            if (code && code != http::error::need_more) return unavailable("no HTTP: " + code.message());
        }
        return {};
    }

    // Parses what is in `buffer`; true when body bytes came out or the body ended.
    Result<bool> parse(std::string& out) {
        if (raw) {
            out.swap(buffer);
            return !out.empty();
        }
        if (parser.is_done()) return ended = true;
        if (buffer.empty()) return false;
        std::string piece(kChunk, '\0');
        auto& body = parser.get().body();
        body.data = piece.data();
        body.size = piece.size();
        boost::system::error_code code;
        size_t parsed = parser.put(boost::asio::buffer(buffer), code);
        buffer.erase(0, parsed);
        piece.resize(piece.size() - body.size);
        if (code && code != http::error::need_more && code != http::error::need_buffer)
            return unavailable("no HTTP: " + code.message());
        out = std::move(piece);
        if (out.empty() && parser.is_done()) ended = true;
        return !out.empty() || ended;
    }

    // nullopt: nothing there now.
    Result<std::optional<std::string>> read_now() {
        std::string out;
        if (ended) return std::optional<std::string>(out);
        for (;;) {
            // The parser may need several turns for one buffer (chunk heads, then bodies).
            size_t before = buffer.size();
            DROVER_TRY(bool some, parse(out));
            if (some) return std::optional<std::string>(std::move(out));
            if (before != buffer.size() && !buffer.empty()) continue;
            DROVER_TRY(ssize_t n, fill());
            if (n < 0) return std::optional<std::string>();
            if (n == 0) return at_end();
        }
    }

    Result<std::optional<std::string>> at_end() {
        ended = true;
        if (raw) return std::optional<std::string>(std::string());
        boost::system::error_code code;
        parser.put_eof(code);
        if (code) return unavailable("the connection was closed in the middle of an answer");
        return std::optional<std::string>(std::string());
    }
};

HttpExchange::HttpExchange(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpExchange::~HttpExchange() = default;

Result<std::unique_ptr<HttpExchange>> HttpExchange::begin(const std::string& socket_path,
                                                          const HttpRequest& request, int64_t deadline) {
    auto impl = std::make_unique<Impl>();
    DROVER_TRY(impl->fd, connect_to(socket_path));
    uint64_t length = request.body.size();
    if (!request.body_path.empty()) {
        struct stat info {};
        if (::stat(request.body_path.c_str(), &info) != 0) return Error::from_errno(request.body_path);
        length = static_cast<uint64_t>(info.st_size);
    }
    std::string head = fmt::format("{} {} HTTP/1.1\r\nHost: docker\r\nUser-Agent: drover\r\n", request.method,
                                   request.target);
    for (const auto& [name, value] : request.headers) head += name + ": " + value + "\r\n";
    if (length > 0 || request.method != "GET") {
        if (length > 0) head += "Content-Type: " + request.content_type + "\r\n";
        head += fmt::format("Content-Length: {}\r\n", length);
    }
    head += request.upgrade ? "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n" : "Connection: close\r\n\r\n";
    DROVER_CHECK(impl->send(head + request.body, deadline));
    if (!request.body_path.empty()) DROVER_CHECK(impl->send_file(request.body_path, deadline));
    impl->parser.body_limit(boost::none);
    impl->parser.header_limit(64 << 10);
    if (request.method == "HEAD") impl->parser.skip(true);
    DROVER_CHECK(impl->read_head(deadline));
    const int status = impl->parser.get().result_int();
    impl->raw = request.upgrade && (status == 101 || status == 200);
    return std::unique_ptr<HttpExchange>(new HttpExchange(std::move(impl)));
}

int HttpExchange::status() const {
    return static_cast<int>(impl_->parser.get().result_int());
}

std::string HttpExchange::header(std::string_view name) const {
    auto value = impl_->parser.get()[boost::beast::string_view(name.data(), name.size())];
    return std::string(value.data(), value.size());
}

int HttpExchange::fd() const {
    return impl_->fd.get();
}

Result<std::optional<std::string>> HttpExchange::read_now() {
    return impl_->read_now();
}

Result<std::string> HttpExchange::read(int64_t deadline) {
    for (;;) {
        DROVER_TRY(auto bytes, impl_->read_now());
        if (bytes) return std::move(*bytes);
        if (!wait_for(impl_->fd.get(), POLLIN, deadline)) return Impl::timed_out();
    }
}

Result<std::string> HttpExchange::read_all(int64_t deadline, size_t bytes_max) {
    std::string all;
    for (;;) {
        DROVER_TRY(std::string piece, read(deadline));
        if (piece.empty()) return all;
        all += piece;
        if (all.size() > bytes_max)
            return make_error(Code::ResourceExhausted, "docker daemon: an answer of more than {} bytes",
                              bytes_max);
    }
}

Status HttpExchange::write(std::string_view bytes, int64_t deadline) {
    return impl_->send(bytes, deadline);
}
void HttpExchange::finish_writing() {
    ::shutdown(impl_->fd.get(), SHUT_WR);
}
void HttpExchange::interrupt() {
    ::shutdown(impl_->fd.get(), SHUT_RDWR);
}

std::string url_escape(std::string_view text) {
    std::string out;
    for (char c : text) {
        if (std::isalnum(static_cast<unsigned char>(c)) || (c && std::strchr("-._~", c)))
            out += c;
        else
            out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return out;
}

}  // namespace drover::drivers
