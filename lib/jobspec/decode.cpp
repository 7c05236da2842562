// SPDX-License-Identifier: Apache-2.0
// See decode.h. The messages of wrong types are those that users of HCL know from elsewhere.
#include "jobspec/decode.h"

#include <limits>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "base/clock.h"
#include "base/strings.h"
#include "hcl/convert.h"
#include "jobspec/values.h"
#include "model/limits.h"
#include "proto/model/options.pb.h"
#include "proto/model/value.pb.h"

namespace drover::jobspec {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr std::string_view kNoLabel = "no_label";
enum class Labels : bool { No = false, Yes = true };

const model::HclField& hcl_of(const FieldDescriptor* field) {
    return field->options().GetExtension(model::hcl);
}

std::string name_of(const FieldDescriptor* field) {
    const auto& name = hcl_of(field).name();
    return name.empty() ? field->name() : name;
}

const FieldDescriptor* label_field(const Descriptor* type) {
    for (int i = 0; i < type->field_count(); i++)
        if (hcl_of(type->field(i)).kind() == model::HCL_LABEL) return type->field(i);
    return nullptr;
}

// The message that a block of this field makes; null for maps of scalars.
const Descriptor* block_type(const FieldDescriptor* field) {
    if (field->is_map()) {
        const auto* value = field->message_type()->map_value();
        return value->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE ? value->message_type() : nullptr;
    }
    return field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE ? field->message_type() : nullptr;
}

hcl::BodySchema schema_of(const Descriptor* type, Labels labels) {
    hcl::BodySchema schema;
    for (int i = 0; i < type->field_count(); i++) {
        const auto* field = type->field(i);
        std::string name = name_of(field);
        switch (hcl_of(field).kind()) {
            case model::HCL_ATTRIBUTE:
                schema.attributes.push_back({name});
                break;
            case model::HCL_LABEL:
                if (labels == Labels::No) schema.attributes.push_back({name});
                break;
            case model::HCL_MAP:
                schema.attributes.push_back({name});
                schema.blocks.push_back({name, {}});
                break;
            case model::HCL_ANY:
                schema.blocks.push_back({name, {}});
                break;
            case model::HCL_BLOCK: {
                hcl::BlockSchema block{name, {}};
                bool labelled = hcl_of(field).value_type() != kNoLabel;
                const auto* label = label_field(block_type(field));
                if (field->is_map())
                    block.label_names.push_back("name");
                else if (labelled && label != nullptr)
                    block.label_names.push_back(name_of(label));
                schema.blocks.push_back(std::move(block));
                break;
            }
            default:
                break;
        }
    }
    return schema;
}

int depth_of(const model::MapValue& object);

// How many lists and objects are nested; recursion is bounded by the parser's own limit of nesting.
int depth_of(const model::Value& value) {
    if (value.has_map_value()) return depth_of(value.map_value());
    if (!value.has_list_value()) return 0;
    int depth = 0;
    for (const auto& item : value.list_value().values()) depth = std::max(depth, depth_of(item));
    return depth + 1;
}

int depth_of(const model::MapValue& object) {
    int depth = 0;
    for (const auto& [name, item] : object.fields()) depth = std::max(depth, depth_of(item));
    return depth + 1;
}

class BodyDecoder {
 public:
    BodyDecoder(const hcl::EvalContext& context, hcl::Diagnostics& diagnostics, const DecodeOptions& options)
        : context_(context), diagnostics_(diagnostics), options_(options) {}

    void body(const hcl::Body& body, Message& message, Labels labels);
    void block(const hcl::Block& block, Message& message, Labels labels);

 private:
    void attribute(const hcl::Attribute& attribute, const FieldDescriptor* field, Message& message);
    void list(const hcl::Value& value, const hcl::Expression& expression, const FieldDescriptor* field,
              Message& message);
    void blocks(const std::vector<const hcl::Block*>& blocks, const FieldDescriptor* field, Message& message);
    void map(const hcl::BodyContent& content, const FieldDescriptor* field, Message& message);
    void map_attribute(const hcl::Expression& expression, const FieldDescriptor* field, Message& message);
    void map_entry(const std::string& key, const hcl::Value& value, const hcl::Range& range,
                   const FieldDescriptor* field, Message& message);
    void any(const std::vector<const hcl::Block*>& blocks, const FieldDescriptor* field, Message& message);
    bool only_one(const std::vector<const hcl::Block*>& blocks);

    void unsuitable(std::string_view why, const hcl::Range& range) {
        diagnostics_.error("Unsuitable value type", fmt::format("Unsuitable value: {}", why), range);
    }
    // The value as `wanted`; nullopt after an error, or for null.
    std::optional<hcl::Value> as(const hcl::Value& value, const hcl::Type& wanted, const hcl::Range& range);
    std::optional<int64_t> integer(const hcl::Value& value, const FieldDescriptor* field,
                                   const hcl::Range& range);
    std::optional<int64_t> duration(const hcl::Value& value, const hcl::Range& range);
    void scalar(const hcl::Value& value, const hcl::Range& range, const FieldDescriptor* field,
                Message& message);

    const hcl::EvalContext& context_;
    hcl::Diagnostics& diagnostics_;
    const DecodeOptions& options_;
};

std::optional<hcl::Value> BodyDecoder::as(const hcl::Value& value, const hcl::Type& wanted,
                                          const hcl::Range& range) {
    if (!value.is_wholly_known()) {
        unsuitable("value must be known", range);
        return std::nullopt;
    }
    auto converted = hcl::convert(value, wanted);
    if (!converted) {
        unsuitable(converted.error().message(), range);
        return std::nullopt;
    }
    if (converted->is_null()) return std::nullopt;
    return std::move(*converted);
}

struct Limits {
    int64_t low;
    uint64_t high;
};

Limits limits_of(const FieldDescriptor* field) {
    switch (field->cpp_type()) {
        case FieldDescriptor::CPPTYPE_INT32:
            return {INT32_MIN, INT32_MAX};
        case FieldDescriptor::CPPTYPE_UINT32:
            return {0, UINT32_MAX};
        case FieldDescriptor::CPPTYPE_UINT64:
            return {0, INT64_MAX};  // more is of no use to anyone
        default:
            return {INT64_MIN, INT64_MAX};
    }
}

std::optional<int64_t> BodyDecoder::integer(const hcl::Value& value, const FieldDescriptor* field,
                                            const hcl::Range& range) {
    auto number = as(value, hcl::Type::number(), range);
    if (!number) return std::nullopt;
    if (!number->as_number().is_integer()) {
        unsuitable("value must be a whole number", range);
        return std::nullopt;
    }
    auto limits = limits_of(field);
    auto whole = number->as_number().to_int64();
    if (!whole || *whole < limits.low || (*whole > 0 && static_cast<uint64_t>(*whole) > limits.high)) {
        unsuitable(fmt::format("value must be between {} and {}", limits.low, limits.high), range);
        return std::nullopt;
    }
    return whole;
}

std::optional<int64_t> BodyDecoder::duration(const hcl::Value& value, const hcl::Range& range) {
    if (!value.is_known()) {
        unsuitable("value must be known", range);
        return std::nullopt;
    }
    if (value.is_null()) return std::nullopt;
    if (value.kind() == hcl::Kind::String) {
        auto parsed = parse_duration(value.as_string());
        if (parsed) return *parsed;
        diagnostics_.error(
            "Unsuitable value type",
            fmt::format(
                "Unsuitable duration value: expected a duration such as \"30s\" or \"1h30m\", found {}",
                hcl::quote(value.as_string())),
            range);
        return std::nullopt;
    }
    auto number = value.kind() == hcl::Kind::Number ? value.as_number().to_int64() : std::nullopt;
    if (!number)
        unsuitable("a duration is required: a string such as \"30s\", or a whole number of nanoseconds",
                   range);
    return number;
}

bool is_duration(const FieldDescriptor* field) {
    auto kind = field->options().GetExtension(model::as_json).kind();
    return kind == model::DURATION || kind == model::DURATION_TEXT || kind == model::DURATION_BOTH;
}

void BodyDecoder::scalar(const hcl::Value& value, const hcl::Range& range, const FieldDescriptor* field,
                         Message& message) {
    const Reflection* reflection = message.GetReflection();
    if (is_duration(field)) {
        if (auto ns = duration(value, range)) reflection->SetInt64(&message, field, *ns);
        return;
    }
    switch (field->cpp_type()) {
        case FieldDescriptor::CPPTYPE_BOOL:
            if (auto read = as(value, hcl::Type::boolean(), range))
                reflection->SetBool(&message, field, read->as_bool());
            return;
        case FieldDescriptor::CPPTYPE_STRING:
            if (auto read = as(value, hcl::Type::string(), range))
                reflection->SetString(&message, field, read->as_string());
            return;
        case FieldDescriptor::CPPTYPE_DOUBLE:
            if (auto read = as(value, hcl::Type::number(), range))
                reflection->SetDouble(&message, field, read->as_number().to_double());
            return;
        default:
            break;
    }
    auto number = integer(value, field, range);
    if (!number) return;
    switch (field->cpp_type()) {
        case FieldDescriptor::CPPTYPE_INT32:
            reflection->SetInt32(&message, field, static_cast<int32_t>(*number));
            return;
        case FieldDescriptor::CPPTYPE_UINT32:
            reflection->SetUInt32(&message, field, static_cast<uint32_t>(*number));
            return;
        case FieldDescriptor::CPPTYPE_UINT64:
            reflection->SetUInt64(&message, field, static_cast<uint64_t>(*number));
            return;
        case FieldDescriptor::CPPTYPE_INT64:
            reflection->SetInt64(&message, field, *number);
            return;
        default:
            abort_with("jobspec: an attribute of this type is not supported", __FILE__, __LINE__);
    }
}

void BodyDecoder::list(const hcl::Value& value, const hcl::Expression& expression,
                       const FieldDescriptor* field, Message& message) {
    const Reflection* reflection = message.GetReflection();
    bool text = field->cpp_type() == FieldDescriptor::CPPTYPE_STRING;
    auto items =
        as(value, hcl::Type::list(text ? hcl::Type::string() : hcl::Type::number()), expression.range());
    if (!items) return;
    for (const auto& item : items->as_sequence()) {
        if (item.is_null()) {
            unsuitable("an element of the list is null", expression.range());
            return;
        }
        if (text) {
            reflection->AddString(&message, field, item.as_string());
            continue;
        }
        auto number = integer(item, field, expression.range());
        if (!number) return;
        switch (field->cpp_type()) {
            case FieldDescriptor::CPPTYPE_UINT32:
                reflection->AddUInt32(&message, field, static_cast<uint32_t>(*number));
                break;
            case FieldDescriptor::CPPTYPE_INT64:
                reflection->AddInt64(&message, field, *number);
                break;
            default:
                abort_with("jobspec: a list of this type is not supported", __FILE__, __LINE__);
        }
    }
}

void BodyDecoder::attribute(const hcl::Attribute& attribute, const FieldDescriptor* field, Message& message) {
    auto value = attribute.expression->evaluate(context_, diagnostics_);
    if (field->is_repeated())
        list(value, *attribute.expression, field, message);
    else
        scalar(value, attribute.expression->range(), field, message);
}

bool BodyDecoder::only_one(const std::vector<const hcl::Block*>& blocks) {
    if (blocks.size() < 2) return true;
    const auto& type = blocks[0]->type;
    diagnostics_.error(fmt::format("Duplicate {} block", type),
                       fmt::format("Only one {} block is allowed. Another was defined at {}.", type,
                                   blocks[0]->def_range.text()),
                       blocks[1]->def_range);
    return false;
}

void BodyDecoder::blocks(const std::vector<const hcl::Block*>& blocks, const FieldDescriptor* field,
                         Message& message) {
    if (blocks.empty()) return;
    const Reflection* reflection = message.GetReflection();
    Labels labels = hcl_of(field).value_type() == kNoLabel ? Labels::No : Labels::Yes;
    if (field->is_map()) {
        const auto* entry = field->message_type();
        std::map<std::string, const hcl::Block*> seen;
        for (const auto* one : blocks) {
            if (one->labels.empty()) continue;  // reported by content()
            auto [before, fresh] = seen.emplace(one->labels[0], one);
            if (!fresh) {
                diagnostics_.error(fmt::format("Duplicate {} block", one->type),
                                   fmt::format("A {} block named {} was already defined at {}.", one->type,
                                               hcl::quote(one->labels[0]), before->second->def_range.text()),
                                   one->def_range);
                continue;
            }
            Message* added = reflection->AddMessage(&message, field);
            added->GetReflection()->SetString(added, entry->map_key(), one->labels[0]);
            block(*one, *added->GetReflection()->MutableMessage(added, entry->map_value()), labels);
        }
        return;
    }
    if (field->is_repeated()) {
        for (const auto* one : blocks) block(*one, *reflection->AddMessage(&message, field), labels);
        return;
    }
    if (!options_.merge_repeated_blocks && !only_one(blocks)) return;
    for (const auto* one : blocks) block(*one, *reflection->MutableMessage(&message, field), labels);
}

void BodyDecoder::map_entry(const std::string& key, const hcl::Value& value, const hcl::Range& range,
                            const FieldDescriptor* field, Message& message) {
    const auto* entry_type = field->message_type();
    const auto* value_field = entry_type->map_value();
    Message* entry = message.GetReflection()->AddMessage(&message, field);
    entry->GetReflection()->SetString(entry, entry_type->map_key(), key);
    if (value_field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE)
        return scalar(value, range, value_field, *entry);
    DROVER_ASSERT(value_field->message_type() == model::StringList::descriptor());
    auto items = as(value, hcl::Type::list(hcl::Type::string()), range);
    if (!items) return;
    auto& out = static_cast<model::StringList&>(*entry->GetReflection()->MutableMessage(entry, value_field));
    for (const auto& item : items->as_sequence())
        if (!item.is_null()) out.add_values(item.as_string());
}

void BodyDecoder::map_attribute(const hcl::Expression& expression, const FieldDescriptor* field,
                                Message& message) {
    auto value = expression.evaluate(context_, diagnostics_);
    if (!value.is_known()) return unsuitable("value must be known", expression.range());
    if (value.is_null()) return;
    if (!value.type().is_mapping()) return unsuitable("a map is required", expression.range());
    for (const auto& [key, item] : value.as_mapping())
        map_entry(key, item, expression.range(), field, message);
}

void BodyDecoder::map(const hcl::BodyContent& content, const FieldDescriptor* field, Message& message) {
    std::string name = name_of(field);
    const auto* attribute = content.attribute(name);
    auto found = content.blocks_of(name);
    if (attribute != nullptr && !found.empty()) {
        diagnostics_.error(
            fmt::format("Duplicate {} block", name),
            fmt::format("{} may be written as a block or as an attribute, not both. The attribute is at {}.",
                        name, attribute->range.text()),
            found[0]->def_range);
        return;
    }
    if (attribute != nullptr) return map_attribute(*attribute->expression, field, message);
    if (found.empty() || (!options_.merge_repeated_blocks && !only_one(found))) return;
    for (const auto* one : found) {
        for (const auto& [key, item] : one->body->just_attributes(diagnostics_))
            map_entry(key, item.expression->evaluate(context_, diagnostics_), item.expression->range(), field,
                      message);
    }
}

void BodyDecoder::any(const std::vector<const hcl::Block*>& blocks, const FieldDescriptor* field,
                      Message& message) {
    if (blocks.empty() || (!options_.merge_repeated_blocks && !only_one(blocks))) return;
    auto& out = static_cast<model::MapValue&>(*message.GetReflection()->MutableMessage(&message, field));
    for (const auto* one : blocks) free_form(*one->body, context_, out, diagnostics_);
    // What is null at the top counts as not written; further inside it is a value.
    for (auto it = out.mutable_fields()->begin(); it != out.mutable_fields()->end();)
        it = it->second.has_null_value() ? out.mutable_fields()->erase(it) : std::next(it);
    if (depth_of(out) > model::kValueDepthMax)
        diagnostics_.error(
            "Values nested too deep",
            fmt::format("Lists and objects in this block, each block counted as both, may be nested "
                        "{} levels deep.",
                        model::kValueDepthMax),
            blocks[0]->def_range);
}

void BodyDecoder::body(const hcl::Body& body, Message& message, Labels labels) {
    const auto* type = message.GetDescriptor();
    auto content = body.content(schema_of(type, labels), diagnostics_);
    for (int i = 0; i < type->field_count(); i++) {
        const auto* field = type->field(i);
        std::string name = name_of(field);
        switch (hcl_of(field).kind()) {
            case model::HCL_LABEL:
            case model::HCL_ATTRIBUTE:
                if (const auto* found = content.attribute(name)) attribute(*found, field, message);
                break;
            case model::HCL_MAP:
                map(content, field, message);
                break;
            case model::HCL_ANY:
                any(content.blocks_of(name), field, message);
                break;
            case model::HCL_BLOCK:
                blocks(content.blocks_of(name), field, message);
                break;
            default:
                break;
        }
    }
}

void BodyDecoder::block(const hcl::Block& block, Message& message, Labels labels) {
    const auto* label = label_field(message.GetDescriptor());
    if (label != nullptr && labels == Labels::Yes && !block.labels.empty())
        message.GetReflection()->SetString(&message, label, block.labels[0]);
    auto hook = options_.hooks.find(message.GetDescriptor()->full_name());
    if (hook != options_.hooks.end()) return hook->second(block, context_, message, diagnostics_);
    body(*block.body, message, labels);
}

// ---- free-form bodies ----

void set_list_of(model::MapValue& object, model::Value& out) {
    out.mutable_list_value()->add_values()->mutable_map_value()->Swap(&object);
}

void append_to(model::Value& slot, model::Value& item) {
    if (!slot.has_list_value()) slot.mutable_list_value();
    for (auto& each : *item.mutable_list_value()->mutable_values())
        slot.mutable_list_value()->add_values()->Swap(&each);
}

void free_form_block(const hcl::Block& block, size_t label, const hcl::EvalContext& context,
                     model::MapValue& out, hcl::Diagnostics& diagnostics) {
    const std::string& name = label == 0 ? block.type : block.labels[label - 1];
    model::MapValue inside;
    if (label < block.labels.size())
        free_form_block(block, label + 1, context, inside, diagnostics);
    else
        free_form(*block.body, context, inside, diagnostics);
    model::Value item;
    set_list_of(inside, item);
    append_to((*out.mutable_fields())[name], item);
}

}  // namespace

void decode_body(const hcl::Body& body, const hcl::EvalContext& context, Message& message,
                 hcl::Diagnostics& diagnostics, const DecodeOptions& options) {
    BodyDecoder(context, diagnostics, options).body(body, message, Labels::Yes);
}

void decode_block(const hcl::Block& block, const hcl::EvalContext& context, Message& message,
                  hcl::Diagnostics& diagnostics, const DecodeOptions& options) {
    BodyDecoder(context, diagnostics, options).block(block, message, Labels::Yes);
}

void free_form(const hcl::Body& body, const hcl::EvalContext& context, model::MapValue& out,
               hcl::Diagnostics& diagnostics) {
    auto all = body.everything(diagnostics);
    for (const auto& attribute : all.attributes) {
        auto value = attribute.expression->evaluate(context, diagnostics);
        if (!value.is_wholly_known()) {
            diagnostics.error("Unsuitable value type", "Unsuitable value: value must be known",
                              attribute.expression->range());
            continue;
        }
        auto& slot = (*out.mutable_fields())[attribute.name];
        const bool object = value.has_value() && value.type().is_mapping();
        to_model(value, object ? *slot.mutable_list_value()->add_values() : slot);
    }
    for (const auto& block : all.blocks) free_form_block(block, 0, context, out, diagnostics);
}

}  // namespace drover::jobspec
