// SPDX-License-Identifier: Apache-2.0
// Reading a native body against a schema, with the errors for what does not fit.
#include "hcl/native_body.h"

#include <algorithm>

#include <fmt/format.h>

#include "hcl/operations.h"

namespace drover::hcl {

std::vector<const Block*> BodyContent::blocks_of(const std::string& type) const {
    std::vector<const Block*> out;
    for (const Block& block : blocks) {
        if (block.type == type) out.push_back(&block);
    }
    return out;
}

namespace {

bool labels_fit(const Block& block, const BlockSchema& schema, Diagnostics& diagnostics) {
    size_t wanted = schema.label_names.size();
    if (block.labels.size() > wanted) {
        std::string detail = wanted == 0
                                 ? fmt::format("No labels are expected for {} blocks.", block.type)
                                 : fmt::format("Only {} labels ({}) are expected for {} blocks.", wanted,
                                               fmt::join(schema.label_names, ", "), block.type);
        diagnostics.error("Extraneous label for " + block.type, detail, block.label_ranges[wanted],
                          block.def_range);
        return false;
    }
    if (block.labels.size() < wanted) {
        diagnostics.error(
            fmt::format("Missing {} for {}", schema.label_names[block.labels.size()], block.type),
            fmt::format("All {} blocks must have {} labels ({}).", block.type, wanted,
                        fmt::join(schema.label_names, ", ")),
            block.def_range.at_end(), block.def_range);
        return false;
    }
    return true;
}

}  // namespace

BodyContent NativeBody::partial_content(const BodySchema& schema, BodyPtr* remain,
                                        Diagnostics& diagnostics) const {
    BodyContent out;
    out.missing_item_range = end_range;
    auto rest = remain ? std::make_shared<NativeBody>(*this) : nullptr;
    for (const AttributeSchema& wanted : schema.attributes) {
        if (rest) rest->taken_attributes_.insert(wanted.name);
        auto found = attribute_index.find(wanted.name);
        if (found != attribute_index.end() && !taken_attributes_.count(wanted.name)) {
            out.attributes.emplace(wanted.name, attributes[found->second]);
        } else if (wanted.required) {
            diagnostics.error(
                "Missing required argument",
                fmt::format("The argument {} is required, but no definition was found.", quote(wanted.name)),
                end_range);
        }
    }
    for (const BlockSchema& wanted : schema.blocks) {
        if (rest) rest->taken_blocks_.insert(wanted.type);
    }
    for (const Block& block : blocks) {
        auto wanted = std::find_if(schema.blocks.begin(), schema.blocks.end(),
                                   [&](const BlockSchema& s) { return s.type == block.type; });
        if (wanted == schema.blocks.end() || taken_blocks_.count(block.type)) continue;
        if (labels_fit(block, *wanted, diagnostics)) out.blocks.push_back(block);
    }
    if (remain) *remain = std::move(rest);
    return out;
}

void NativeBody::report_unexpected(const BodySchema& schema, Diagnostics& diagnostics) const {
    std::vector<std::string> attribute_names, block_types;
    for (const AttributeSchema& wanted : schema.attributes) attribute_names.push_back(wanted.name);
    for (const BlockSchema& wanted : schema.blocks) block_types.push_back(wanted.type);
    auto among = [](const std::vector<std::string>& names, const std::string& name) {
        return std::find(names.begin(), names.end(), name) != names.end();
    };
    for (const Attribute& attribute : attributes) {
        if (taken_attributes_.count(attribute.name) || among(attribute_names, attribute.name)) continue;
        std::string hint = suggestion(attribute.name, attribute_names);
        if (among(block_types, attribute.name)) {
            hint = fmt::format(" Did you mean to define a block of type {}?", quote(attribute.name));
        } else if (hint.empty()) {
            hint = suggestion(attribute.name, block_types);
        }
        diagnostics.error(
            "Unsupported argument",
            fmt::format("An argument named {} is not expected here.{}", quote(attribute.name), hint),
            attribute.name_range, attribute.range);
    }
    for (const Block& block : blocks) {
        if (taken_blocks_.count(block.type) || among(block_types, block.type)) continue;
        std::string hint = suggestion(block.type, block_types);
        if (among(attribute_names, block.type)) {
            hint = fmt::format(
                " Did you mean to define argument {}? If so, use the equals sign to assign it a value.",
                quote(block.type));
        } else if (hint.empty()) {
            hint = suggestion(block.type, attribute_names);
        }
        diagnostics.error("Unsupported block type",
                          fmt::format("Blocks of type {} are not expected here.{}", quote(block.type), hint),
                          block.type_range, block.def_range);
    }
}

BodyContent NativeBody::content(const BodySchema& schema, Diagnostics& diagnostics) const {
    BodyContent out = partial_content(schema, nullptr, diagnostics);
    report_unexpected(schema, diagnostics);
    return out;
}

std::map<std::string, Attribute> NativeBody::just_attributes(Diagnostics& diagnostics) const {
    std::map<std::string, Attribute> out;
    for (const Block& block : blocks) {
        if (taken_blocks_.count(block.type)) continue;
        diagnostics.error(fmt::format("Unexpected {} block", quote(block.type)),
                          "Blocks are not allowed here.", block.type_range, block.def_range);
    }
    for (const Attribute& attribute : attributes) {
        if (!taken_attributes_.count(attribute.name)) out.emplace(attribute.name, attribute);
    }
    return out;
}

Body::Everything NativeBody::everything(Diagnostics&) const {
    Everything out;
    for (const Attribute& attribute : attributes) {
        if (!taken_attributes_.count(attribute.name)) out.attributes.push_back(attribute);
    }
    for (const Block& block : blocks) {
        if (!taken_blocks_.count(block.type)) out.blocks.push_back(block);
    }
    return out;
}

}  // namespace drover::hcl
