// SPDX-License-Identifier: Apache-2.0
// Schema<T>: a struct described once, member by member; from that come the HclSpec a host decodes by, the decoding of
// what the host sends (msgpack), and the encoding of driver_state. Defaults are the members' initialisers.
//
//   struct Config { std::string command; std::vector<std::string> args; std::chrono::nanoseconds grace{5s}; };
//   static const auto schema = Schema<Config>().required("command", &Config::command)
//                                              .optional("args", &Config::args).optional("grace", &Config::grace);
//   DROVER_TRY(Config config, schema.decode(task.msgpack_driver_config));
//
// Members may be: std::string, bool, integers, double, std::chrono::nanoseconds (text such as "10s"), Value (anything),
// std::optional of these (to tell absent from given), std::vector, StringMap-like maps (a block with free keys), and
// structs with a Schema of their own (blocks). Errors name the place: `args[2]: expected text, found a number`.
#pragma once
#include <chrono>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/result.h"
#include "drover/hclspec.h"
#include "drover/value.h"

namespace drover::sdk {

template <class T>
class Schema;

namespace config_detail {

Status decode(const Value& value, const std::string& path, std::string& out);
Status decode(const Value& value, const std::string& path, bool& out);
Status decode(const Value& value, const std::string& path, int64_t& out);
Status decode(const Value& value, const std::string& path, double& out);
Status decode(const Value& value, const std::string& path, std::chrono::nanoseconds& out);
inline Status decode(const Value& value, const std::string&, Value& out) {
    out = value;
    return {};
}
Error wrong_kind(const std::string& path, std::string_view expected, const Value& found);
Error out_of_range(const std::string& path, int64_t found, int64_t lowest, uint64_t highest);
Result<Value> decode_msgpack(std::string_view bytes);
std::string encode_msgpack(const Value& value);
std::string join_path(const std::string& path, const std::string& name);

template <std::integral I>
    requires(!std::same_as<I, bool> && !std::same_as<I, int64_t>)
Status decode(const Value& value, const std::string& path, I& out) {
    int64_t number = 0;
    DROVER_CHECK(decode(value, path, number));
    if (!std::in_range<I>(number)) {
        return out_of_range(path, number, static_cast<int64_t>(std::numeric_limits<I>::min()),
                            static_cast<uint64_t>(std::numeric_limits<I>::max()));
    }
    out = static_cast<I>(number);
    return {};
}

template <class T>
Status decode(const Value& value, const std::string& path, std::optional<T>& out) {
    T inner{};
    DROVER_CHECK(decode(value, path, inner));
    out = std::move(inner);
    return {};
}

template <class T>
Status decode(const Value& value, const std::string& path, std::vector<T>& out) {
    const Value::List* list = value.as_list();
    if (!list) return wrong_kind(path, "a list", value);
    std::vector<T> items;
    items.reserve(list->size());
    for (size_t i = 0; i < list->size(); ++i) {
        T item{};
        DROVER_CHECK(decode((*list)[i], path + "[" + std::to_string(i) + "]", item));
        items.push_back(std::move(item));
    }
    out = std::move(items);
    return {};
}

template <class T>
Status decode(const Value& value, const std::string& path, std::map<std::string, T>& out) {
    const Value::Map* map = value.as_map();
    if (!map) return wrong_kind(path, "a map", value);
    std::map<std::string, T> items;
    for (const auto& [key, item] : *map) DROVER_CHECK(decode(item, join_path(path, key), items[key]));
    out = std::move(items);
    return {};
}

inline Value encode(const std::string& v) { return v; }
inline Value encode(bool v) { return v; }
inline Value encode(double v) { return v; }
inline Value encode(const Value& v) { return v; }
Value encode(std::chrono::nanoseconds v);
template <std::integral I>
    requires(!std::same_as<I, bool>)
Value encode(I v) {
    return v;
}
template <class T>
Value encode(const std::optional<T>& v) {
    return v ? encode(*v) : Value();
}
template <class T>
Value encode(const std::vector<T>& v) {
    Value::List list;
    for (const T& item : v) list.push_back(encode(item));
    return list;
}
template <class T>
Value encode(const std::map<std::string, T>& v) {
    Value::Map map;
    for (const auto& [key, item] : v) map.emplace(key, encode(item));
    return map;
}

// The type expression of an attribute, from its member's type.
template <class M>
struct TypeText;
template <>
struct TypeText<std::string> {
    static std::string text() { return "string"; }
};
template <>
struct TypeText<std::chrono::nanoseconds> : TypeText<std::string> {};
template <>
struct TypeText<bool> {
    static std::string text() { return "bool"; }
};
template <>
struct TypeText<Value> {
    static std::string text() { return "any"; }
};
template <class M>
    requires((std::integral<M> || std::floating_point<M>) && !std::same_as<M, bool>)
struct TypeText<M> {
    static std::string text() { return "number"; }
};
template <class M>
struct TypeText<std::optional<M>> : TypeText<M> {};
template <class M>
struct TypeText<std::vector<M>> {
    static std::string text() { return "list(" + TypeText<M>::text() + ")"; }
};
template <class M>
struct TypeText<std::map<std::string, M>> {
    static std::string text() { return "map(" + TypeText<M>::text() + ")"; }
};

template <class M>
struct IsMap : std::false_type {};
template <class M>
struct IsMap<std::map<std::string, M>> : std::true_type {
    using Item = M;
};
template <class M>
struct IsMap<std::optional<std::map<std::string, M>>> : IsMap<std::map<std::string, M>> {};

}  // namespace config_detail

template <class T>
class Schema {
 public:
    template <class M>
    Schema& required(std::string name, M T::*member) {
        return add(std::move(name), member, true);
    }
    template <class M>
    Schema& optional(std::string name, M T::*member) {
        return add(std::move(name), member, false);
    }

    // A block that may come at most once (M) or any number of times (std::vector<M>).
    template <class M>
    Schema& block(std::string name, std::optional<M> T::*member, const Schema<M>& nested, bool required = false) {
        HclSpec spec = HclSpec::block(name, nested.spec(), required);
        return push(std::move(name), required, std::move(spec),
                    [member, nested](const Value& value, const std::string& path, T& out) -> Status {
                        DROVER_TRY(M inner, nested.decode_value(value, path));
                        out.*member = std::move(inner);
                        return {};
                    },
                    [member, nested](const T& in) {
                        return in.*member ? nested.encode_value(*(in.*member)) : Value();
                    });
    }
    template <class M>
    Schema& blocks(std::string name, std::vector<M> T::*member, const Schema<M>& nested, uint64_t min_items = 0,
                   uint64_t max_items = 0) {
        HclSpec spec = HclSpec::block_list(name, nested.spec(), min_items, max_items);
        return push(std::move(name), false, std::move(spec),
                    [member, nested](const Value& value, const std::string& path, T& out) -> Status {
                        const Value::List* list = value.as_list();
                        if (!list) return config_detail::wrong_kind(path, "a list", value);
                        std::vector<M> items;
                        for (size_t i = 0; i < list->size(); ++i) {
                            DROVER_TRY(M item,
                                       nested.decode_value((*list)[i], path + "[" + std::to_string(i) + "]"));
                            items.push_back(std::move(item));
                        }
                        out.*member = std::move(items);
                        return {};
                    },
                    [member, nested](const T& in) {
                        Value::List list;
                        for (const M& item : in.*member) list.push_back(nested.encode_value(item));
                        return Value(std::move(list));
                    });
    }

    HclSpec spec() const {
        std::map<std::string, HclSpec> attributes;
        for (const Field& field : fields_) attributes.emplace(field.name, field.spec);
        return HclSpec::object(std::move(attributes));
    }

    // InvalidArgument naming the place, what was found and what was expected. Keys that are not described are left
    // alone: the host has refused those of users, and a newer version's are none of ours. No bytes: an empty map.
    Result<T> decode(std::string_view msgpack) const {
        Value value = Value::Map{};
        if (!msgpack.empty()) {
            DROVER_TRY(value, config_detail::decode_msgpack(msgpack));
        }
        return decode_value(value, "");
    }
    Result<T> decode_value(const Value& value, const std::string& path) const {
        const Value::Map* map = value.as_map();
        if (!map) return config_detail::wrong_kind(path, "a map", value);
        T out{};
        for (const Field& field : fields_) {
            std::string place = config_detail::join_path(path, field.name);
            auto found = map->find(field.name);
            if (found == map->end() || found->second.is_null()) {
                if (!field.required) continue;
                return make_error(Code::InvalidArgument, "{}: is required, but was not given", place);
            }
            DROVER_CHECK(field.decode(found->second, place, out));
        }
        return out;
    }

    std::string encode(const T& in) const { return config_detail::encode_msgpack(encode_value(in)); }
    Value encode_value(const T& in) const {
        Value::Map map;
        for (const Field& field : fields_) map.emplace(field.name, field.encode(in));
        return map;
    }

 private:
    using Decode = std::function<Status(const Value&, const std::string& path, T&)>;
    using Encode = std::function<Value(const T&)>;
    struct Field {
        std::string name;
        bool required;
        HclSpec spec;
        Decode decode;
        Encode encode;
    };

    template <class M>
    Schema& add(std::string name, M T::*member, bool required) {
        HclSpec spec;
        // Maps are blocks with free keys: job files write them as blocks and as attributes, and both work then.
        if constexpr (config_detail::IsMap<M>::value) {
            spec = HclSpec::block_attrs(name, config_detail::TypeText<typename config_detail::IsMap<M>::Item>::text(),
                                        required);
        } else {
            spec = HclSpec::attr(name, config_detail::TypeText<M>::text(), required);
        }
        return push(std::move(name), required, std::move(spec),
                    [member](const Value& value, const std::string& path, T& out) -> Status {
                        return config_detail::decode(value, path, out.*member);
                    },
                    [member](const T& in) { return config_detail::encode(in.*member); });
    }
    Schema& push(std::string name, bool required, HclSpec spec, Decode decode, Encode encode) {
        fields_.push_back({std::move(name), required, std::move(spec), std::move(decode), std::move(encode)});
        return *this;
    }

    std::vector<Field> fields_;
};

}  // namespace drover::sdk
