// SPDX-License-Identifier: Apache-2.0
#include "api/tunnel.h"

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include "api/hangup.h"

namespace drover::api {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

// On the session's strand.
class Tunnel final : public Upgrade, public std::enable_shared_from_this<Tunnel> {
 public:
    Tunnel(ExchangePtr exchange, UniqueFd peer, std::string first)
        : exchange_(std::move(exchange)), peer_fd_(std::move(peer)), first_(std::move(first)) {}

    void start(Socket socket, std::string read_ahead, std::function<void()> ended) override {
        ended_ = std::move(ended);
        timer_.emplace(socket.get_executor());
        inward_.from.emplace(std::move(socket));
        keep_alive(inward_.from->native_handle());
        keep_alive(peer_fd_.get());
        outward_.from.emplace(timer_->get_executor());
        error_code error;
        // The family is of no interest to a socket that is connected.
        outward_.from->assign(asio::local::stream_protocol(), peer_fd_.release(), error);
        if (error) return close();
        inward_.to = &*outward_.from;
        outward_.to = &*inward_.from;
        first_ += read_ahead;
        inward_.writing = true;
        asio::async_write(*inward_.to, asio::buffer(first_),
                          [self = shared_from_this()](error_code failed, size_t) {
                              self->inward_.writing = false;
                              if (failed) return self->close();
                              self->pump(self->inward_);
                          });
        pump(outward_);
        watch();
    }

    void close() override {
        auto ended = std::exchange(ended_, nullptr);
        if (!ended) return;
        timer_->cancel();
        error_code ignored;
        for (auto* way : {&inward_, &outward_})
            if (way->from) way->from->close(ignored);
        ended();
    }

 private:
    struct Way {
        std::optional<Socket> from;
        Socket* to = nullptr;
        bool writing = false;
        std::array<char, 32 << 10> buffer;
    };

    void pump(Way& way) {
        if (!ended_) return;
        way.from->async_read_some(asio::buffer(way.buffer),
                                  [self = shared_from_this(), &way](error_code error, size_t got) {
                                      if (error || !self->ended_) return self->close();
                                      way.writing = true;
                                      asio::async_write(*way.to, asio::buffer(way.buffer.data(), got),
                                                        [self, &way](error_code failed, size_t) {
                                                            way.writing = false;
                                                            if (failed) return self->close();
                                                            self->pump(way);
                                                        });
                                  });
    }

    // A side whose bytes cannot be passed on is not read from, so its end must be looked for.
    void watch() {
        timer_->expires_after(kHangupInterval);
        timer_->async_wait([self = shared_from_this()](error_code error) {
            if (error || !self->ended_) return;
            // Only the client's end counts: what the node has sent last must still reach the client.
            if (self->inward_.writing && hung_up(self->inward_.from->native_handle())) return self->close();
            self->watch();
        });
    }

    const ExchangePtr exchange_;  // held: counts as under way
    UniqueFd peer_fd_;
    std::string first_;
    std::function<void()> ended_;
    std::optional<asio::steady_timer> timer_;
    Way inward_;   // client to node
    Way outward_;  // node to client
};

}  // namespace

std::shared_ptr<Upgrade> make_tunnel(ExchangePtr exchange, UniqueFd peer, std::string first) {
    return std::make_shared<Tunnel>(std::move(exchange), std::move(peer), std::move(first));
}

}  // namespace drover::api
