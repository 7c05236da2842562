// SPDX-License-Identifier: Apache-2.0
// Equality of messages, maps without regard to order. Only for lib/model's own files and tests.
#pragma once
#include "model/fwd.h"

namespace drover::model {

bool same_message(const google::protobuf::Message& a, const google::protobuf::Message& b);

}  // namespace drover::model
