// SPDX-License-Identifier: Apache-2.0
// Limits of what may enter the model.
#pragma once

namespace drover::model {

// How deep free-form values (a task's config) may be nested, lists and objects counted alike. protobuf refuses to read
// messages of more than 100 levels; a level of objects takes three, and up to 13 stand around it (a plan with an
// allocation with a job with a service mesh). What could be stored and never read again must not be accepted.
inline constexpr int kValueDepthMax = 24;
static_assert(13 + 3 * kValueDepthMax < 100);

}  // namespace drover::model
