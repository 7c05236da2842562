// SPDX-License-Identifier: Apache-2.0
// Value: the free-form data of a plugin's or a task's config block, and what handles are made of: null, booleans,
// numbers, text, lists, maps. Travels as msgpack (plugin-sdk/wire/msgpack.h). Plain data, no I/O.
#pragma once
#include <concepts>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace drover::sdk {

class Value {
 public:
    using List = std::vector<Value>;
    using Map = std::map<std::string, Value, std::less<>>;

    Value() = default;  // null
    Value(std::nullptr_t) {}
    Value(std::same_as<bool> auto v) : data_(v) {}
    template <std::integral I>
        requires(!std::same_as<I, bool>)
    Value(I v) : data_(static_cast<int64_t>(v)) {}
    Value(double v) : data_(v) {}
    Value(const char* v) : data_(std::string(v)) {}
    Value(std::string_view v) : data_(std::string(v)) {}
    Value(std::string v) : data_(std::move(v)) {}
    Value(List v) : data_(std::move(v)) {}
    Value(Map v) : data_(std::move(v)) {}

    bool is_null() const { return std::holds_alternative<std::monostate>(data_); }
    // nullptr when it is of another kind.
    const bool* as_bool() const { return std::get_if<bool>(&data_); }
    const int64_t* as_int() const { return std::get_if<int64_t>(&data_); }
    const double* as_double() const { return std::get_if<double>(&data_); }
    // Text, and numbers that fit neither int64 nor double exactly: those travel as decimal text.
    const std::string* as_string() const { return std::get_if<std::string>(&data_); }
    const List* as_list() const { return std::get_if<List>(&data_); }
    const Map* as_map() const { return std::get_if<Map>(&data_); }
    List* as_list() { return std::get_if<List>(&data_); }
    Map* as_map() { return std::get_if<Map>(&data_); }

    // The member of a map; nullptr when this is no map or has no such key.
    const Value* find(std::string_view key) const {
        const Map* map = as_map();
        if (!map) return nullptr;
        auto it = map->find(key);
        return it == map->end() ? nullptr : &it->second;
    }

    // "null", "a boolean", "a number", "text", "a list", "a map": for error messages.
    std::string_view kind_name() const;

    friend bool operator==(const Value& a, const Value& b) { return a.data_ == b.data_; }

 private:
    std::variant<std::monostate, bool, int64_t, double, std::string, List, Map> data_;
};

}  // namespace drover::sdk
