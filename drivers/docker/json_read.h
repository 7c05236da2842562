// SPDX-License-Identifier: Apache-2.0
// Reading what somebody else wrote as JSON: a key that is absent or of another kind is an empty value, never
// an error.
#pragma once
#include <map>
#include <string>

#include <nlohmann/json.hpp>

namespace drover::drivers {

inline const nlohmann::json* find(const nlohmann::json& in, const char* key) {
    if (!in.is_object()) return nullptr;
    auto found = in.find(key);
    return found == in.end() ? nullptr : &*found;
}
inline const nlohmann::json* find(const nlohmann::json& in, const char* key, const char* inner) {
    const nlohmann::json* outer = find(in, key);
    return outer ? find(*outer, inner) : nullptr;
}
template <class... Keys>
std::string text_at(const nlohmann::json& in, Keys... keys) {
    const nlohmann::json* value = find(in, keys...);
    return value && value->is_string() ? value->template get<std::string>() : std::string();
}
inline int64_t int_at(const nlohmann::json& in, const char* key) {
    const nlohmann::json* value = find(in, key);
    return value && value->is_number() ? value->get<int64_t>() : 0;
}
inline bool bool_at(const nlohmann::json& in, const char* key) {
    const nlohmann::json* value = find(in, key);
    return value && value->is_boolean() && value->get<bool>();
}
inline std::map<std::string, std::string> map_at(const nlohmann::json& in, const char* key) {
    std::map<std::string, std::string> out;
    const nlohmann::json* value = find(in, key);
    if (!value || !value->is_object()) return out;
    for (const auto& [name, item] : value->items())
        if (item.is_string()) out.emplace(name, item.get<std::string>());
    return out;
}

}  // namespace drover::drivers
