// SPDX-License-Identifier: Apache-2.0
#include "api/http_server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <thread>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "api/services.h"
#include "api/session.h"
#include "base/log.h"
#include "base/strings.h"

namespace drover::api {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;

struct BindAddress {
    asio::generic::stream_protocol::endpoint endpoint;
    std::string unix_path;
};

Result<BindAddress> parse_bind(const std::string& text) {
    if (starts_with(text, "unix://")) {
        std::string path = text.substr(7);
        if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path))
            return make_error(Code::InvalidArgument,
                              "HTTP address \"{}\": a socket path of 1 to {} bytes is expected", text,
                              sizeof(sockaddr_un::sun_path) - 1);
        return BindAddress{asio::local::stream_protocol::endpoint(path), path};
    }
    auto colon = text.rfind(':');
    auto port = colon == std::string::npos ? std::nullopt : parse_uint(text.substr(colon + 1));
    std::string host = text.substr(0, colon == std::string::npos ? 0 : colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    error_code error;
    auto ip = asio::ip::make_address(host, error);
    if (!port || *port > 65535 || error)
        return make_error(Code::InvalidArgument,
                          "HTTP address \"{}\": IP:port, [IPv6]:port or unix:///path is expected", text);
    return BindAddress{tcp::endpoint(ip, static_cast<uint16_t>(*port)), ""};
}

// A socket file left by a dead process would make bind fail; one that still answers is another's and stays.
void remove_stale_socket(const std::string& path) {
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) return;
    int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::copy(path.begin(), path.end(), address.sun_path);
    bool dead =
        ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 && errno == ECONNREFUSED;
    ::close(fd);
    if (dead) ::unlink(path.c_str());
}

std::string address_text(int fd, bool remote) {
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;
    auto* address = reinterpret_cast<sockaddr*>(&storage);
    if ((remote ? ::getpeername(fd, address, &length) : ::getsockname(fd, address, &length)) != 0) return "";
    if (storage.ss_family == AF_UNIX) return "@";
    tcp::endpoint endpoint;
    if (length > endpoint.capacity()) return "";
    std::memcpy(endpoint.data(), &storage, length);
    endpoint.resize(length);
    auto host = endpoint.address().to_string();
    return endpoint.address().is_v6() ? fmt::format("[{}]:{}", host, endpoint.port())
                                      : fmt::format("{}:{}", host, endpoint.port());
}

}  // namespace

class HttpServer::Impl : public std::enable_shared_from_this<Impl> {
 public:
    ~Impl() { stop(); }

    Status listen(const std::vector<std::string>& bind);
    void serve(HttpOptions options);
    void stop();

    std::vector<std::string> addresses_;
    uint16_t port_ = 0;

 private:
    struct Listener {
        Acceptor acceptor;
        asio::steady_timer retry;
        std::string unix_path;
    };

    Status listen_on(const std::string& text);
    void accept(Listener& listener);
    void on_socket(Socket socket);
    void forget(const SessionHandle* session, const std::string& client);

    // Destroyed last: sessions and timers belong to it.
    asio::io_context io_{kIoThreads};
    asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(io_);
    std::optional<Services> services_;  // from serve() on
    std::deque<Listener> listeners_;
    std::vector<std::thread> threads_;
    std::mutex mutex_;
    std::map<const SessionHandle*, std::weak_ptr<SessionHandle>> sessions_;
    std::map<std::string, int> per_client_;
    std::atomic<bool> stopping_{false};
};

Status HttpServer::Impl::listen(const std::vector<std::string>& bind) {
    for (const auto& text : bind) DROVER_CHECK(listen_on(text));
    if (addresses_.empty()) return make_error(Code::InvalidArgument, "no address to listen on for HTTP");
    return {};
}

Status HttpServer::Impl::listen_on(const std::string& text) {
    DROVER_TRY(auto bind, parse_bind(text));
    if (!bind.unix_path.empty()) remove_stale_socket(bind.unix_path);
    auto& listener = listeners_.emplace_back(Listener{Acceptor(io_), asio::steady_timer(io_), ""});
    auto& acceptor = listener.acceptor;
    auto failed = [&](const error_code& error) {
        auto code = error == asio::error::address_in_use ? Code::AlreadyExists : Code::Unavailable;
        return make_error(code, "listen on {} for HTTP: {}", text, error.message());
    };
    error_code error;
    if (acceptor.open(bind.endpoint.protocol(), error); error) return failed(error);
    ::fcntl(acceptor.native_handle(), F_SETFD, FD_CLOEXEC);
    if (bind.unix_path.empty()) acceptor.set_option(asio::socket_base::reuse_address(true), error);
    // The socket file must never be open to others, not even for a moment.
    auto old_mask = bind.unix_path.empty() ? mode_t{0} : ::umask(0177);
    acceptor.bind(bind.endpoint, error);
    if (!bind.unix_path.empty()) ::umask(old_mask);
    if (error) return failed(error);
    listener.unix_path = bind.unix_path;
    if (acceptor.listen(asio::socket_base::max_listen_connections, error); error) return failed(error);
    if (!bind.unix_path.empty()) {
        addresses_.push_back(text);
        return {};
    }
    addresses_.push_back(address_text(acceptor.native_handle(), false));
    auto bound = parse_uint(addresses_.back().substr(addresses_.back().rfind(':') + 1));
    if (port_ == 0 && bound) port_ = static_cast<uint16_t>(*bound);
    return {};
}

void HttpServer::Impl::serve(HttpOptions options) {
    DROVER_ASSERT(options.cluster != nullptr && !services_);
    services_.emplace(std::move(options));
    for (auto& listener : listeners_) accept(listener);
    for (int i = 0; i < kIoThreads; ++i)
        threads_.emplace_back([this] {
            try {
                io_.run();
            } catch (const std::exception& error) {
                abort_with(error.what(), __FILE__, __LINE__);
            }
        });
}

void HttpServer::Impl::accept(Listener& listener) {
    auto socket = std::make_shared<Socket>(asio::make_strand(io_));
    listener.acceptor.async_accept(*socket, [this, &listener, socket](error_code error) {
        if (stopping_) return;
        if (!error) {
            on_socket(std::move(*socket));
            return accept(listener);
        }
        // Out of descriptors or the like: others may close theirs soon.
        log::warn("http", "failed to accept a connection", {{"error", error.message()}});
        listener.retry.expires_after(std::chrono::milliseconds(100));
        listener.retry.async_wait([this, &listener](error_code timer_error) {
            if (!timer_error && !stopping_) accept(listener);
        });
    });
}

void HttpServer::Impl::on_socket(Socket socket) {
    ::fcntl(socket.native_handle(), F_SETFD, FD_CLOEXEC);
    auto remote = address_text(socket.native_handle(), true);
    auto client = remote.substr(0, remote.rfind(':'));
    const auto& limits = services_->options.limits;
    if (remote != "@") {
        int on = 1;
        ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    std::unique_lock lock(mutex_);
    auto& count = per_client_[client];
    bool too_many = (remote != "@" && count >= limits.connections_per_client_max) ||
                    static_cast<int>(sessions_.size()) >= limits.connections_max;
    if (too_many) {
        lock.unlock();
        static constexpr std::string_view kBusy =
            "HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nConnection: "
            "close\r\nContent-Length: 82\r\n\r\n"
            "Your IP is issuing too many concurrent connections, please rate limit your calls\n\n";
        [[maybe_unused]] auto sent =
            ::send(socket.native_handle(), kBusy.data(), kBusy.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        return;
    }
    ++count;
    ++services_->connections;
    auto handle = std::make_shared<const SessionHandle*>(nullptr);
    auto session = make_session(std::move(socket), remote, *services_,
                                [this, client, handle] { forget(*handle, client); });
    *handle = session.get();
    sessions_[session.get()] = session;
    lock.unlock();
    session->start();
}

void HttpServer::Impl::forget(const SessionHandle* session, const std::string& client) {
    std::lock_guard lock(mutex_);
    sessions_.erase(session);
    --services_->connections;
    if (--per_client_[client] <= 0) per_client_.erase(client);
}

void HttpServer::Impl::stop() {
    if (stopping_.exchange(true)) return;
    for (auto& listener : listeners_) {
        asio::post(io_, [&listener] {
            error_code ignored;
            listener.acceptor.close(ignored);
            listener.retry.cancel();
        });
        if (!listener.unix_path.empty()) ::unlink(listener.unix_path.c_str());
    }
    std::vector<std::shared_ptr<SessionHandle>> open;
    {
        std::lock_guard lock(mutex_);
        for (auto& [key, weak] : sessions_)
            if (auto session = weak.lock()) open.push_back(std::move(session));
    }
    for (auto& session : open) session->close();
    open.clear();
    if (services_) {
        // Every call into the ports has been cancelled by its session; each must come back before they may go
        // away.
        std::unique_lock lock(services_->mutex);
        constexpr std::chrono::seconds kGrace{30};
        if (!services_->changed.wait_for(lock, kGrace, [this] { return services_->exchanges == 0; }))
            log::error("http", "requests did not end when cancelled", {{"count", services_->exchanges}});
        lock.unlock();
        services_->streams.stop();
        services_->blocking.stop();
    }
    work_.reset();
    io_.stop();
    for (auto& thread : threads_) thread.join();
    threads_.clear();
    // What is still queued holds sessions, and those refer to this object.
    io_.restart();
    io_.poll();
}

Result<std::unique_ptr<HttpServer>> HttpServer::listen(const std::vector<std::string>& bind) {
    auto impl = std::make_shared<Impl>();
    DROVER_CHECK(impl->listen(bind));
    return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

void HttpServer::serve(HttpOptions options) {
    impl_->serve(std::move(options));
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(HttpOptions options) {
    DROVER_TRY(auto server, listen(options.bind));
    server->serve(std::move(options));
    return server;
}

HttpServer::HttpServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() {
    stop();
}
const std::vector<std::string>& HttpServer::addresses() const {
    return impl_->addresses_;
}
uint16_t HttpServer::port() const {
    return impl_->port_;
}
void HttpServer::stop() {
    impl_->stop();
}

}  // namespace drover::api
