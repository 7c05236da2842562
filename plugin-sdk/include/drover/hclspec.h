// SPDX-License-Identifier: Apache-2.0
// HclSpec: a configuration schema as data, in Nomad's kinds. A plugin hands one out for its own config block and one
// for a task's; the host decodes what the user wrote by it. Authors mostly get theirs from a Schema (config.h).
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace drover::sdk {

struct HclSpec {
    // What a kind makes of the body, and what of its absence:
    //   Object      map with every key of `attributes`; unknown keys in the body are errors
    //   Array       list of what `nested` make
    //   Attr        the attribute `name`, converted to `type`; absent: null
    //   BlockValue  one block `name`, decoded by nested[0]; absent: null
    //   BlockAttrs  one block (or object) with free keys and values of `type`: a map; absent: null
    //   BlockList   min_items..max_items (0: no limit) blocks: a list; absent: an empty list
    //   BlockSet    the same without duplicates, ordered by value
    //   BlockMap    blocks with `labels`, one map level for each; absent: an empty map
    //   Default     nested[0], or nested[1] where that is null
    //   Literal     the value of the HCL expression `literal`
    // `name` may be empty for direct children of an Object: their key is the name.
    enum class Kind {
        None, Object, Array, Attr, BlockValue, BlockAttrs, BlockList, BlockSet, BlockMap, Default, Literal
    };

    Kind kind = Kind::None;
    std::string name;
    std::string type;  // type expression: string number bool any list(T) set(T) map(T) object({a=T}) tuple([T])
    bool required = false;
    uint64_t min_items = 0;
    uint64_t max_items = 0;
    std::vector<std::string> labels;
    std::string literal;
    std::vector<HclSpec> nested;
    std::map<std::string, HclSpec> attributes;

    friend bool operator==(const HclSpec& a, const HclSpec& b) {
        return a.kind == b.kind && a.name == b.name && a.type == b.type && a.required == b.required &&
               a.min_items == b.min_items && a.max_items == b.max_items && a.labels == b.labels &&
               a.literal == b.literal && a.nested == b.nested && a.attributes == b.attributes;
    }

    static HclSpec object(std::map<std::string, HclSpec> attributes) {
        HclSpec spec;
        spec.kind = Kind::Object;
        spec.attributes = std::move(attributes);
        return spec;
    }
    static HclSpec attr(std::string name, std::string type, bool required = false) {
        HclSpec spec;
        spec.kind = Kind::Attr;
        spec.name = std::move(name);
        spec.type = std::move(type);
        spec.required = required;
        return spec;
    }
    static HclSpec block_attrs(std::string name, std::string type, bool required = false) {
        HclSpec spec = attr(std::move(name), std::move(type), required);
        spec.kind = Kind::BlockAttrs;
        return spec;
    }
    static HclSpec block(std::string name, HclSpec nested, bool required = false) {
        HclSpec spec;
        spec.kind = Kind::BlockValue;
        spec.name = std::move(name);
        spec.required = required;
        spec.nested.push_back(std::move(nested));
        return spec;
    }
    static HclSpec block_list(std::string name, HclSpec nested, uint64_t min_items = 0, uint64_t max_items = 0) {
        HclSpec spec = block(std::move(name), std::move(nested));
        spec.kind = Kind::BlockList;
        spec.min_items = min_items;
        spec.max_items = max_items;
        return spec;
    }
};

}  // namespace drover::sdk
