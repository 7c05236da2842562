// SPDX-License-Identifier: Apache-2.0
// Filter expressions of list queries, as go-bexpr reads them: `Status == "running" and "web" in Tags`,
// `Meta.k is empty`, `not (Name matches "^a")`, `ID contains "x"`. Evaluated on the listed messages by their
// JSON names. Pure.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace google::protobuf {
class Message;
}

namespace drover::server {

class Filter {
 public:
    // InvalidArgument, with the place, for what is no expression. An empty text matches everything.
    static Result<Filter> parse(std::string_view text);
    // InvalidArgument when the message has no such field.
    Result<bool> matches(const google::protobuf::Message& message) const;

    struct Node;

 private:
    std::shared_ptr<const Node> root_;
};

}  // namespace drover::server
