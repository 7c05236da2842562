// SPDX-License-Identifier: Apache-2.0
// The version of drover, and the version of Nomad's API that it answers as: constraints such as
// `${attr.nomad.version} >= 1.7` and clients that look at it must keep working.
#pragma once
#include <string_view>

namespace drover {

constexpr std::string_view kVersion = "0.1.0";
constexpr std::string_view kNomadVersion = "2.0.6";

}  // namespace drover
