// SPDX-License-Identifier: Apache-2.0
// Passing a /v1/client request on to the agent whose node has the allocation, by HTTP, once: a request that
// was passed on already is never passed on again.
#pragma once
#include "api/exchange.h"

namespace drover::api {

void forward_to_alloc(const ExchangePtr& exchange, const std::string& alloc_id);
void forward_to_node(const ExchangePtr& exchange, const std::string& node_id);

}  // namespace drover::api
