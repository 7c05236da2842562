// SPDX-License-Identifier: Apache-2.0
// Text in, Body or Expression out: the way into the HCL room. Pure; recovers from errors and reports several;
// never crashes on hostile text (limits.h). The filename is only used in ranges.
#pragma once
#include <string>
#include <string_view>

#include "hcl/body.h"
#include "hcl/diagnostic.h"
#include "hcl/expression.h"

namespace drover::hcl {

struct File {
    BodyPtr body;        // never null: what could be understood, also after errors
    std::string source;  // the text, for Diagnostic::terminal_text
    std::string filename;
};

// HCL's native syntax.
File parse_native(std::string_view text, const std::string& filename, Diagnostics& diagnostics);
// The JSON variant: one object (or a list of objects).
File parse_json(std::string_view text, const std::string& filename, Diagnostics& diagnostics);
// The older dialect (or its JSON) that agents' configurations are written in. It differs from native syntax
// so: names may be quoted or have dots, `name = { ... }` is a block, items of one line are separated by
// commas or by nothing, and strings are just text: "${x}" stays as it is.
File parse_hcl1(std::string_view text, const std::string& filename, Diagnostics& diagnostics);
// JSON when the first byte that is no white space is `{`, else native.
File parse(std::string_view text, const std::string& filename, Diagnostics& diagnostics);

// A lone expression (a -var value, a literal in a plugin's spec). This and the next two: null after an error.
ExpressionPtr parse_expression(std::string_view text, const std::string& filename, Diagnostics& diagnostics,
                               Pos start = {});
// Text with ${ } and %{ } and no quotes around it (a JSON string's content).
ExpressionPtr parse_template(std::string_view text, const std::string& filename, Diagnostics& diagnostics,
                             Pos start = {});
// One JSON value as an expression whose strings are templates; object keys too (a driver's config, stage 2).
ExpressionPtr parse_json_expression(std::string_view text, const std::string& filename,
                                    Diagnostics& diagnostics);

// Whether text is an identifier: letters, digits, `_`, `-`, not starting with a digit or a dash.
bool is_identifier(std::string_view text);

}  // namespace drover::hcl
