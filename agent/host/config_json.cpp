// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "agent/host/config_json.h"

#include <cmath>

#include "agent/host/limits.h"
#include "base/strings.h"
#include "proto/model/model.pb.h"

namespace drover::agent {
namespace {

void write_text(std::string_view text, std::string* out) {
    *out += '"';
    for (char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\')
            (*out += '\\') += c;
        else if (byte < 0x20)
            *out += fmt::format("\\u{:04x}", byte);
        else
            *out += c;
    }
    *out += '"';
}

Status write_map(const model::MapValue& map, size_t depth, std::string* out);

Status write_value(const model::Value& value, size_t depth, std::string* out) {
    if (depth > kTaskConfigDepthMax)
        return make_error(Code::InvalidArgument, "nested deeper than {}", kTaskConfigDepthMax);
    switch (value.kind_case()) {
        case model::Value::kBoolValue:
            *out += value.bool_value() ? "true" : "false";
            return {};
        case model::Value::kIntValue:
            *out += std::to_string(value.int_value());
            return {};
        case model::Value::kDoubleValue:
            if (!std::isfinite(value.double_value()))
                return make_error(Code::InvalidArgument, "a number that is not finite");
            *out += fmt::format("{}", value.double_value());
            return {};
        case model::Value::kNumberText:
            if (value.number_text().find_first_not_of("0123456789+-.eE") != std::string::npos) {
                return make_error(Code::InvalidArgument, "\"{}\" is no number", value.number_text());
            }
            *out += value.number_text();
            return {};
        case model::Value::kStringValue:
            write_text(value.string_value(), out);
            return {};
        case model::Value::kListValue: {
            *out += '[';
            bool first = true;
            for (const auto& element : value.list_value().values()) {
                if (!std::exchange(first, false)) *out += ',';
                DROVER_CHECK(write_value(element, depth + 1, out));
            }
            *out += ']';
            return {};
        }
        case model::Value::kMapValue:
            return write_map(value.map_value(), depth + 1, out);
        case model::Value::kNullValue:
        case model::Value::KIND_NOT_SET:
            *out += "null";
            return {};
    }
    return {};
}

Status write_map(const model::MapValue& map, size_t depth, std::string* out) {
    std::map<std::string_view, const model::Value*> sorted;
    for (const auto& [key, value] : map.fields()) sorted.emplace(key, &value);
    *out += '{';
    bool first = true;
    for (const auto& [key, value] : sorted) {
        if (!std::exchange(first, false)) *out += ',';
        write_text(key, out);
        *out += ':';
        DROVER_CHECK(write_value(*value, depth + 1, out));
    }
    *out += '}';
    return {};
}

struct Tree {
    std::optional<std::string> value;
    std::map<std::string, Tree> below;

    hcl::Value finish() const {
        if (value) return hcl::Value::string(*value);
        hcl::Value::Mapping out;
        for (const auto& [name, child] : below) out.emplace(name, child.finish());
        return hcl::Value::object(std::move(out));
    }
};

bool is_env_name(std::string_view name) {
    for (std::string_view prefix : {"node.", "attr.", "meta.", "secret."}) {
        if (starts_with(name, prefix)) return false;
    }
    return true;
}

}  // namespace

Result<std::string> config_to_json(const model::MapValue& config) {
    std::string out;
    DROVER_CHECK(write_map(config, 0, &out));
    return out;
}

std::map<std::string, hcl::Value> config_variables(const std::map<std::string, std::string>& flat) {
    Tree root;
    hcl::Value::Mapping env;
    for (const auto& [name, text] : flat) {
        if (is_env_name(name)) env.emplace(name, hcl::Value::string(text));
        Tree* at = &root;
        size_t depth = 0;
        for (const auto& part : split(name, '.')) {
            if (++depth > kTaskConfigDepthMax) break;
            at = &at->below[part];
        }
        if (depth <= kTaskConfigDepthMax) at->value = text;
    }
    std::map<std::string, hcl::Value> out;
    for (const auto& [name, child] : root.below) out.emplace(name, child.finish());
    out.insert_or_assign("env", hcl::Value::map(hcl::Type::string(), std::move(env)));
    return out;
}

}  // namespace drover::agent
