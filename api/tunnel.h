// SPDX-License-Identifier: Apache-2.0
// An upgraded connection passed through to another agent: bytes both ways, unread. When one side ends, both
// do.
#pragma once
#include <memory>
#include <string>

#include "api/exchange.h"
#include "base/fd.h"

namespace drover::api {

// `first` is sent to the peer before anything else: the request. The peer's answer goes to the client as it
// is.
std::shared_ptr<Upgrade> make_tunnel(ExchangePtr exchange, UniqueFd peer, std::string first);

}  // namespace drover::api
