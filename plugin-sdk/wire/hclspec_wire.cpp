// SPDX-License-Identifier: Apache-2.0
// HclSpec <-> its message: recursive, so the reading side bounds the depth.
#include "plugin-sdk/wire/driver_wire.h"

namespace drover::sdk::wire {
namespace {

constexpr int kSpecDepthMax = 64;
using Kind = HclSpec::Kind;

Status append(const hclspecpb::Spec& in, int depth, HclSpec* out);

template <class B>
void items_to_proto(const HclSpec& in, B* block) {
    block->set_name(in.name);
    block->set_min_items(in.min_items);
    block->set_max_items(in.max_items);
    if (!in.nested.empty()) to_proto(in.nested[0], block->mutable_nested());
}

template <class B>
Status items_from_proto(const B& block, int depth, HclSpec* out) {
    out->name = block.name();
    out->min_items = block.min_items();
    out->max_items = block.max_items();
    return block.has_nested() ? append(block.nested(), depth, out) : Status();
}

template <class A>
void attr_to_proto(const HclSpec& in, A* attr) {
    attr->set_name(in.name);
    attr->set_type(in.type);
    attr->set_required(in.required);
}

template <class A>
void attr_from_proto(const A& attr, HclSpec* out) {
    out->name = attr.name();
    out->type = attr.type();
    out->required = attr.required();
}

Result<HclSpec> read(const hclspecpb::Spec& in, int depth) {
    if (depth > kSpecDepthMax)
        return make_error(Code::InvalidArgument, "config schema: more than {} levels deep", kSpecDepthMax);
    HclSpec out;
    switch (in.block_case()) {
        case hclspecpb::Spec::kObject:
            out.kind = Kind::Object;
            for (const auto& [key, child] : in.object().attributes()) {
                DROVER_TRY(out.attributes[key], read(child, depth + 1));
            }
            break;
        case hclspecpb::Spec::kArray:
            out.kind = Kind::Array;
            for (const hclspecpb::Spec& child : in.array().values()) DROVER_CHECK(append(child, depth, &out));
            break;
        case hclspecpb::Spec::kAttr:
            out.kind = Kind::Attr;
            attr_from_proto(in.attr(), &out);
            break;
        case hclspecpb::Spec::kBlockAttrs:
            out.kind = Kind::BlockAttrs;
            attr_from_proto(in.block_attrs(), &out);
            break;
        case hclspecpb::Spec::kBlockValue:
            out.kind = Kind::BlockValue;
            out.name = in.block_value().name();
            out.required = in.block_value().required();
            if (in.block_value().has_nested()) DROVER_CHECK(append(in.block_value().nested(), depth, &out));
            break;
        case hclspecpb::Spec::kBlockList:
            out.kind = Kind::BlockList;
            DROVER_CHECK(items_from_proto(in.block_list(), depth, &out));
            break;
        case hclspecpb::Spec::kBlockSet:
            out.kind = Kind::BlockSet;
            DROVER_CHECK(items_from_proto(in.block_set(), depth, &out));
            break;
        case hclspecpb::Spec::kBlockMap:
            out.kind = Kind::BlockMap;
            out.name = in.block_map().name();
            out.labels.assign(in.block_map().labels().begin(), in.block_map().labels().end());
            if (in.block_map().has_nested()) DROVER_CHECK(append(in.block_map().nested(), depth, &out));
            break;
        case hclspecpb::Spec::kDefault:
            out.kind = Kind::Default;
            if (!in.default_().has_primary() || !in.default_().has_default_())
                return make_error(Code::InvalidArgument, "config schema: a default needs both a primary and a default");
            DROVER_CHECK(append(in.default_().primary(), depth, &out));
            DROVER_CHECK(append(in.default_().default_(), depth, &out));
            break;
        case hclspecpb::Spec::kLiteral:
            out.kind = Kind::Literal;
            out.literal = in.literal().value();
            break;
        case hclspecpb::Spec::BLOCK_NOT_SET: break;
    }
    return out;
}

Status append(const hclspecpb::Spec& in, int depth, HclSpec* out) {
    DROVER_TRY(HclSpec child, read(in, depth + 1));
    out->nested.push_back(std::move(child));
    return {};
}

}  // namespace

void to_proto(const HclSpec& in, hclspecpb::Spec* out) {
    switch (in.kind) {
        case Kind::None: break;
        case Kind::Object:
            out->mutable_object();
            for (const auto& [key, child] : in.attributes)
                to_proto(child, &(*out->mutable_object()->mutable_attributes())[key]);
            break;
        case Kind::Array:
            out->mutable_array();
            for (const HclSpec& child : in.nested) to_proto(child, out->mutable_array()->add_values());
            break;
        case Kind::Attr: attr_to_proto(in, out->mutable_attr()); break;
        case Kind::BlockAttrs: attr_to_proto(in, out->mutable_block_attrs()); break;
        case Kind::BlockValue:
            out->mutable_block_value()->set_name(in.name);
            out->mutable_block_value()->set_required(in.required);
            if (!in.nested.empty()) to_proto(in.nested[0], out->mutable_block_value()->mutable_nested());
            break;
        case Kind::BlockList: items_to_proto(in, out->mutable_block_list()); break;
        case Kind::BlockSet: items_to_proto(in, out->mutable_block_set()); break;
        case Kind::BlockMap:
            out->mutable_block_map()->set_name(in.name);
            for (const std::string& label : in.labels) out->mutable_block_map()->add_labels(label);
            if (!in.nested.empty()) to_proto(in.nested[0], out->mutable_block_map()->mutable_nested());
            break;
        case Kind::Default:
            out->mutable_default_();
            if (in.nested.size() > 0) to_proto(in.nested[0], out->mutable_default_()->mutable_primary());
            if (in.nested.size() > 1) to_proto(in.nested[1], out->mutable_default_()->mutable_default_());
            break;
        case Kind::Literal: out->mutable_literal()->set_value(in.literal); break;
    }
}

Result<HclSpec> from_proto(const hclspecpb::Spec& in) { return read(in, 0); }

}  // namespace drover::sdk::wire
