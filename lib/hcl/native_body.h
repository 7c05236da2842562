// SPDX-License-Identifier: Apache-2.0
// The Body of native syntax: what the parser found between two braces or in a file. Made by the parser.
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "hcl/body.h"

namespace drover::hcl {

class NativeBody : public Body {
 public:
    // In source order; at most one attribute of a name.
    std::vector<Attribute> attributes;
    std::map<std::string, size_t> attribute_index;  // name -> place in attributes
    std::vector<Block> blocks;
    Range end_range;  // the closing brace, or the end of the file

    BodyContent content(const BodySchema& schema, Diagnostics& diagnostics) const override;
    BodyContent partial_content(const BodySchema& schema, BodyPtr* remain,
                                Diagnostics& diagnostics) const override;
    std::map<std::string, Attribute> just_attributes(Diagnostics& diagnostics) const override;
    Everything everything(Diagnostics& diagnostics) const override;
    Range missing_item_range() const override { return end_range; }

 private:
    void report_unexpected(const BodySchema& schema, Diagnostics& diagnostics) const;

    std::set<std::string> taken_attributes_;  // already handed out by a partial_content()
    std::set<std::string> taken_blocks_;
};

}  // namespace drover::hcl
