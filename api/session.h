// SPDX-License-Identifier: Apache-2.0
// Session: one connection of a client, from accept to close: reads requests with Beast (the only file beside
// the HTTP client that sees it is session.cpp), makes Exchanges, writes answers, keeps alive. All of its
// state lives on its strand.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/generic/stream_protocol.hpp>

namespace drover::api {

struct Services;
using Socket = boost::asio::generic::stream_protocol::socket;

// What the server keeps of a session: a way to end it from outside.
class SessionHandle {
 public:
    virtual ~SessionHandle() = default;
    virtual void start() = 0;
    virtual void close() = 0;  // any thread
};

// `remote` is the client's address for logs; `on_end` is called once, when the connection is closed.
std::shared_ptr<SessionHandle> make_session(Socket socket, std::string remote, Services& services,
                                            std::function<void()> on_end);

}  // namespace drover::api
