// SPDX-License-Identifier: Apache-2.0
// See json_diff.h.
#include "tests/support/json_diff.h"

#include <set>

#include <gtest/gtest.h>

#include "base/files.h"
#include "model/json/json.h"
#include "proto/model/value.pb.h"

namespace drover::testing {

namespace {

using model::Value;

std::string shown(const Value* value) {
    return value == nullptr ? "(nothing)" : model::json::encode_value(*value).substr(0, 200);
}

bool is_number(const Value& value) {
    return value.kind_case() == Value::kIntValue || value.kind_case() == Value::kDoubleValue;
}

double number_of(const Value& value) {
    return value.kind_case() == Value::kIntValue ? static_cast<double>(value.int_value())
                                                 : value.double_value();
}

void compare(const std::string& path, const Value* want, const Value* got, std::string& out) {
    if (want == nullptr || got == nullptr) {
        out += fmt::format("{}: want {}, got {}\n", path, shown(want), shown(got));
        return;
    }
    if (want->has_map_value() && got->has_map_value()) {
        const auto& a = want->map_value().fields();
        const auto& b = got->map_value().fields();
        std::set<std::string> names;
        for (const auto& [name, item] : a) names.insert(name);
        for (const auto& [name, item] : b) names.insert(name);
        for (const auto& name : names) {
            auto left = a.find(name);
            auto right = b.find(name);
            compare(path + "." + name, left == a.end() ? nullptr : &left->second,
                    right == b.end() ? nullptr : &right->second, out);
        }
        return;
    }
    if (want->has_list_value() && got->has_list_value()) {
        const auto& a = want->list_value().values();
        const auto& b = got->list_value().values();
        for (int i = 0; i < std::max(a.size(), b.size()); i++)
            compare(fmt::format("{}[{}]", path, i), i < a.size() ? &a[i] : nullptr,
                    i < b.size() ? &b[i] : nullptr, out);
        return;
    }
    bool same = is_number(*want) && is_number(*got) ? number_of(*want) == number_of(*got)
                                                    : want->SerializeAsString() == got->SerializeAsString();
    if (!same) out += fmt::format("{}: want {}, got {}\n", path, shown(want), shown(got));
}

// False: nothing worth keeping is left.
bool prune(Value& value) {
    switch (value.kind_case()) {
        case Value::kBoolValue:
            return value.bool_value();
        case Value::kIntValue:
            return value.int_value() != 0;
        case Value::kStringValue:
            return !value.string_value().empty();
        case Value::kListValue:
            for (auto& item : *value.mutable_list_value()->mutable_values()) prune(item);
            return !value.list_value().values().empty();
        case Value::kMapValue: {
            auto& fields = *value.mutable_map_value()->mutable_fields();
            for (auto it = fields.begin(); it != fields.end();) {
                // What users wrote themselves stays as it is, and false where the default is true.
                static const std::set<std::string> kFreeForm{"Config", "Env", "Meta", "Policy"};
                static const std::set<std::string> kTrueByDefault{"Enabled", "Replace"};
                bool keep = (kFreeForm.contains(it->first) && it->second.has_map_value()) ||
                            (kTrueByDefault.contains(it->first) && it->second.has_bool_value()) ||
                            prune(it->second);
                it = keep ? std::next(it) : fields.erase(it);
            }
            return !fields.empty();
        }
        case Value::kDoubleValue:
        case Value::kNumberText:
            return true;
        default:
            return false;
    }
}

}  // namespace

std::string json_differences(const std::string& want_text, const std::string& got_text) {
    auto want = model::json::parse_value(want_text);
    auto got = model::json::parse_value(got_text);
    if (!want) return want.error().message();
    if (!got) return got.error().message();
    std::string out;
    compare("", &*want, &*got, out);
    return out;
}

std::string json_brief(const std::string& text) {
    auto value = model::json::parse_value(text);
    if (!value) return value.error().message();
    prune(*value);
    return model::json::encode_value(*value, 2);
}

std::string golden_text(const std::string& path) {
    const char* root = std::getenv("DROVER_SOURCE_DIR");
    auto text = read_file(join_path(root ? root : ".", "tests/golden/" + path));
    EXPECT_TRUE(text) << text.error().message();
    return text ? *text : "";
}

}  // namespace drover::testing
