// SPDX-License-Identifier: Apache-2.0
// The template part of support.h.
#pragma once
#include <deque>

#include "cli/support.h"
#include "model/json/json.h"

namespace drover::cli {

template <class T>
Result<std::vector<T>> get_list(api::Client& client, std::string_view path, const api::QueryParams& query) {
    DROVER_TRY(auto reply, client.get(path, query));
    std::deque<T> items;
    auto decoded = model::json::decode_list(
        reply.body, [&]() -> google::protobuf::Message& { return items.emplace_back(); });
    DROVER_CHECK(std::move(decoded).context("failed to decode the server's answer"));
    return std::vector<T>(std::make_move_iterator(items.begin()), std::make_move_iterator(items.end()));
}

}  // namespace drover::cli
