// SPDX-License-Identifier: Apache-2.0
// The part of Go's text/template that people use with -t: fields, range, if/else, with, variables of no kind,
// and the functions len, index, print, printf (%s %d %v %q), println, json, eq, ne, not, and, or. Pure.
#pragma once
#include <string>
#include <string_view>

#include "base/result.h"

namespace drover::model {
class Value;
}

namespace drover::cli {

Result<std::string> render_template(std::string_view text, const model::Value& data);

}  // namespace drover::cli
