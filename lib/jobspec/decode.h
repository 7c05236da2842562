// SPDX-License-Identifier: Apache-2.0
// The reflection decoder: an HCL body -> a schema message, driven by the (hcl) options of its fields. Used
// for job files and for the agent's configuration; knows neither. Unknown keys and wrong types are errors at
// their range.
//
//   HCL_ATTRIBUTE  name = expression. Scalars, lists of scalars; TIME and DURATION kinds take "30s" or a
//   number of ns. HCL_BLOCK      name { }. A message (at most one), a repeated message, or a map<string,
//   message> by its label. HCL_LABEL      the label of the enclosing block (string). HCL_MAP map<string,
//   scalar>: name { k = v } or name = { k = v }; numbers and bools become strings. HCL_ANY        MapValue: a
//   free-form block, see free_form().
//
// value_type of an HCL_BLOCK may be "no_label": here the block has no label, and what is its label elsewhere
// is an attribute (the type of a group's scaling block).
#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "hcl/body.h"
#include "hcl/diagnostic.h"
#include "hcl/eval.h"
#include "model/fwd.h"

namespace drover::jobspec {

// Decodes a block of one message type in its own way, instead of by reflection. Returns nothing: errors are
// diagnostics.
using BlockHook = std::function<void(const hcl::Block& block, const hcl::EvalContext& context,
                                     google::protobuf::Message& message, hcl::Diagnostics& diagnostics)>;

struct DecodeOptions {
    std::map<std::string, BlockHook, std::less<>>
        hooks;  // by the message's full name, "drover.model.Constraint"
    // A block that may stand once may also be repeated, the later over the earlier (agent configuration).
    // Else that is an error.
    bool merge_repeated_blocks = false;
};

// Fills `message` from a body. What could be decoded is set, also after errors.
void decode_body(const hcl::Body& body, const hcl::EvalContext& context, google::protobuf::Message& message,
                 hcl::Diagnostics& diagnostics, const DecodeOptions& options = {});

// As decode_body for a block: its labels are set too, and hooks apply.
void decode_block(const hcl::Block& block, const hcl::EvalContext& context,
                  google::protobuf::Message& message, hcl::Diagnostics& diagnostics,
                  const DecodeOptions& options = {});

// A free-form body as values: attributes as they are, except that an object that is the whole of an attribute, and
// blocks (their labels as one more level each), become lists with one object per block; whole numbers become integers.
void free_form(const hcl::Body& body, const hcl::EvalContext& context, model::MapValue& out,
               hcl::Diagnostics& diagnostics);

}  // namespace drover::jobspec
