// SPDX-License-Identifier: Apache-2.0
// A Body whose names match a schema without regard to case: the schema is respelled as the body has it, the
// answer back.
#include <set>

#include <fmt/format.h>

#include "base/strings.h"
#include "hcl/body.h"

namespace drover::hcl {

namespace {

class FoldedBody : public Body {
 public:
    explicit FoldedBody(BodyPtr inner) : inner_(std::move(inner)) {}

    BodyContent content(const BodySchema& schema, Diagnostics& diagnostics) const override {
        return respell(inner_->content(spelled(schema), diagnostics), schema, diagnostics);
    }

    BodyContent partial_content(const BodySchema& schema, BodyPtr* remain,
                                Diagnostics& diagnostics) const override {
        BodyPtr rest;
        BodyContent found = inner_->partial_content(spelled(schema), remain ? &rest : nullptr, diagnostics);
        if (remain) *remain = fold_case(std::move(rest));
        return respell(std::move(found), schema, diagnostics);
    }

    std::map<std::string, Attribute> just_attributes(Diagnostics& diagnostics) const override {
        return inner_->just_attributes(diagnostics);
    }

    Everything everything(Diagnostics& diagnostics) const override { return inner_->everything(diagnostics); }

    Range missing_item_range() const override { return inner_->missing_item_range(); }

 private:
    // The schema with every spelling the body uses added; what is required is looked for afterwards.
    BodySchema spelled(BodySchema schema) const {
        std::map<std::string, const AttributeSchema*> attributes;
        std::map<std::string, const BlockSchema*> blocks;
        for (AttributeSchema& attribute : schema.attributes) attribute.required = false;
        for (const AttributeSchema& attribute : schema.attributes)
            attributes[to_lower(attribute.name)] = &attribute;
        for (const BlockSchema& block : schema.blocks) blocks[to_lower(block.type)] = &block;
        BodySchema more;
        std::set<std::string> seen;
        auto add = [&](const std::string& name) {
            if (!seen.insert(name).second) return;
            auto attribute = attributes.find(to_lower(name));
            auto block = blocks.find(to_lower(name));
            if (attribute != attributes.end() && attribute->second->name != name)
                more.attributes.push_back({name, false});
            if (block != blocks.end() && block->second->type != name) {
                more.blocks.push_back({name, block->second->label_names});
            }
        };
        Diagnostics ignored;
        Everything all = inner_->everything(ignored);
        for (const Attribute& attribute : all.attributes) add(attribute.name);
        for (const Block& block : all.blocks) add(block.type);
        schema.attributes.insert(schema.attributes.end(), more.attributes.begin(), more.attributes.end());
        schema.blocks.insert(schema.blocks.end(), more.blocks.begin(), more.blocks.end());
        return schema;
    }

    static BodyContent respell(BodyContent found, const BodySchema& schema, Diagnostics& diagnostics) {
        std::map<std::string, std::string> names;
        for (const AttributeSchema& attribute : schema.attributes)
            names[to_lower(attribute.name)] = attribute.name;
        for (const BlockSchema& block : schema.blocks) names[to_lower(block.type)] = block.type;
        std::map<std::string, Attribute> attributes;
        for (auto& [spelling, attribute] : found.attributes) {
            attribute.name = names.at(to_lower(spelling));
            auto [first, is_new] = attributes.try_emplace(attribute.name, attribute);
            if (is_new) continue;
            diagnostics.error(
                "Attribute redefined",
                fmt::format("The argument {} was already set at {}. Each argument may be set only once.",
                            quote(spelling), first->second.name_range.text()),
                attribute.name_range);
        }
        found.attributes = std::move(attributes);
        for (Block& block : found.blocks) {
            block.type = names.at(to_lower(block.type));
            block.body = fold_case(std::move(block.body));
        }
        for (const AttributeSchema& wanted : schema.attributes) {
            if (!wanted.required || found.attributes.count(wanted.name)) continue;
            diagnostics.error(
                "Missing required argument",
                fmt::format("The argument {} is required, but no definition was found.", quote(wanted.name)),
                found.missing_item_range);
        }
        return found;
    }

    BodyPtr inner_;
};

}  // namespace

BodyPtr fold_case(BodyPtr body) {
    return std::make_shared<const FoldedBody>(std::move(body));
}

}  // namespace drover::hcl
