// SPDX-License-Identifier: Apache-2.0
#include "server-lite/server.h"

#include <unistd.h>

#include "base/log.h"
#include "server-lite/core.h"
#include "server-lite/rpc/endpoints.h"
#include "server-lite/rpc/grpc_listener.h"

namespace drover::server {

struct Server::Impl {
    explicit Impl(ServerOptions options) : core(std::move(options)) {}
    Core core;
    std::unique_ptr<Endpoints> endpoints;
    std::unique_ptr<GrpcListener> listener;
    std::mutex stop_mutex;
    bool stopped = false;
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() {
    stop();
}

Result<std::unique_ptr<Server>> Server::start(ServerOptions options) {
    if (options.node_name.empty()) {
        char name[256] = {};
        ::gethostname(name, sizeof name - 1);
        options.node_name = name;
    }
    std::unique_ptr<Server> server(new Server(std::make_unique<Impl>(std::move(options))));
    auto& impl = *server->impl_;
    DROVER_CHECK(impl.core.start());
    impl.endpoints = std::make_unique<Endpoints>(impl.core);
    if (!impl.core.options.rpc_bind_address.empty()) {
        DROVER_TRY(impl.listener, GrpcListener::start(impl.core.options.rpc_bind_address,
                                                      impl.core.options.rpc_port, *impl.endpoints));
        impl.core.bound_address = impl.listener->address();
    }
    log::info("server", "server is ready",
              {{"region", impl.core.options.region},
               {"rpc", impl.core.bound_address.empty() ? "in-process" : impl.core.bound_address},
               {"applied_index", impl.core.log->applied_index()}});
    return server;
}

void Server::stop() {
    if (!impl_) return;
    std::lock_guard lock(impl_->stop_mutex);
    if (std::exchange(impl_->stopped, true)) return;
    if (impl_->endpoints) impl_->endpoints->stop();
    impl_->listener.reset();
    impl_->core.stop();
}

ports::ClusterPort& Server::port() {
    return *impl_->endpoints;
}

std::string Server::rpc_address() const {
    return impl_->core.bound_address;
}

}  // namespace drover::server
