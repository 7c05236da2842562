// SPDX-License-Identifier: Apache-2.0
// The image of the container that holds an allocation's network: one tiny static program, carried inside the
// plugin.
#pragma once
#include <string>

namespace drover::drivers {

constexpr char kPauseRepository[] = "drover/pause";
constexpr char kPauseTag[] = "1";

std::string pause_image_tar();

}  // namespace drover::drivers
