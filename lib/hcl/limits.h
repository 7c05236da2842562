// SPDX-License-Identifier: Apache-2.0
// Every limit of the HCL room. Sources come from users and over HTTP, so parsing and evaluating must stay
// bounded.
#pragma once
#include <cstddef>
#include <cstdint>

namespace drover::hcl {

inline constexpr size_t kSourceBytesMax = 16u << 20;  // one file
inline constexpr uint32_t kNestingMax = 200;          // parser recursion: blocks, brackets, templates, JSON
inline constexpr uint32_t kTreeDepthMax =
    400;  // depth of one expression tree (a long chain of operators is deep)
inline constexpr size_t kDiagnosticsMax = 100;       // further ones of one parse are dropped
inline constexpr size_t kNumberDigitsMax = 180;      // significant decimal digits kept; more are rounded
inline constexpr size_t kNumberGuardDigits = 20;     // more of them after a division
inline constexpr int64_t kNumberExponentMax = 4096;  // decimal digits before or after the point
inline constexpr uint64_t kEvaluationCostMax = 32u << 20;  // per root EvalContext: bytes produced, and
inline constexpr uint64_t kStepCost = 64;                  // each expression evaluated
inline constexpr uint32_t kValueDepthMax = 400;            // lists in lists
inline constexpr size_t kRangeValuesMax = 1024;            // range()
inline constexpr size_t kDynamicBlocksMax = 10000;         // blocks made by one `dynamic`
inline constexpr size_t kFilesetEntriesMax = 10000;        // fileset()

static_assert(kNestingMax < kTreeDepthMax);

}  // namespace drover::hcl
