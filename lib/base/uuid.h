// SPDX-License-Identifier: Apache-2.0
// UUIDs as text: 8-4-4-4-12 lower-case hex, the identity of allocations, evaluations, nodes and deployments.
#pragma once
#include <string>
#include <string_view>

namespace drover {

// Random (version 4), from getrandom(2). Not for pure rooms: there, ids come with the input.
std::string new_uuid();
bool is_uuid(std::string_view text);
// The first eight characters, as people see ids.
std::string short_id(std::string_view uuid);

}  // namespace drover
