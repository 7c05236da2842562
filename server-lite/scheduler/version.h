// SPDX-License-Identifier: Apache-2.0
// Versions and constraints on them ("> 1.2, < 2.0", "~> 1.4"), as the operators `version` (lenient,
// go-version's rules) and `semver` (strict) of constraints understand them. Pure.
#pragma once
#include <string_view>

namespace drover::server {

enum class VersionRules { Lenient, Semver };

// False also when either side cannot be read.
bool version_matches(std::string_view version, std::string_view constraint, VersionRules rules);

}  // namespace drover::server
