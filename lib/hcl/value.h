// SPDX-License-Identifier: Apache-2.0
// Type and Value: the data model of HCL expressions. Both are immutable handles, cheap to copy, safe to share
// between threads. A Value is known, null or unknown; a null or unknown Value still has a Type. Conversions
// between types are in convert.h.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "hcl/number.h"

namespace drover::hcl {

enum class Kind { Any, Bool, Number, String, List, Set, Map, Object, Tuple };

class Type {
 public:
    Type() = default;  // any
    static Type any() { return Type(); }
    static Type boolean() { return Type(Kind::Bool); }
    static Type number() { return Type(Kind::Number); }
    static Type string() { return Type(Kind::String); }
    static Type list(Type element);
    static Type set(Type element);
    static Type map(Type element);
    static Type object(std::map<std::string, Type> attributes);
    static Type tuple(std::vector<Type> elements);

    Kind kind() const { return kind_; }
    bool is_any() const { return kind_ == Kind::Any; }
    bool is_primitive() const {
        return kind_ == Kind::Bool || kind_ == Kind::Number || kind_ == Kind::String;
    }
    bool is_collection() const { return kind_ == Kind::List || kind_ == Kind::Set || kind_ == Kind::Map; }
    bool is_sequence() const { return kind_ == Kind::List || kind_ == Kind::Set || kind_ == Kind::Tuple; }
    bool is_mapping() const { return kind_ == Kind::Map || kind_ == Kind::Object; }
    bool contains_any() const;  // `any` somewhere inside

    const Type& element() const;                            // of list, set, map
    const std::map<std::string, Type>& attributes() const;  // of object
    const std::vector<Type>& elements() const;              // of tuple

    // As a type expression: `list(string)`, `object({a=number})`.
    std::string text() const;
    // As messages say it: "string", "list of string", "object", "tuple", "dynamic".
    std::string friendly_name() const;

    friend bool operator==(const Type& a, const Type& b);

 private:
    struct Parts;
    explicit Type(Kind kind) : kind_(kind) {}
    Kind kind_ = Kind::Any;
    std::shared_ptr<const Parts> parts_;
};

class Value {
 public:
    using Sequence = std::vector<Value>;
    using Mapping = std::map<std::string, Value>;

    Value() = default;                 // null of type any
    Value(Number number);              // NOLINT: implicit by design
    Value(std::string text);           // NOLINT
    static Value boolean(bool value);  // named: a pointer would turn into bool unseen
    static Value number(int64_t value) { return Value(Number(value)); }
    static Value string(std::string_view text) { return Value(std::string(text)); }
    static Value null(Type type = Type::any());
    static Value unknown(Type type = Type::any());
    static Value tuple(Sequence elements);
    static Value object(Mapping attributes);
    // The elements must all have type `element` (asserted); a set is sorted and loses duplicates.
    static Value list(Type element, Sequence elements);
    static Value set(Type element, Sequence elements);
    static Value map(Type element, Mapping elements);

    const Type& type() const { return type_; }
    Kind kind() const { return type_.kind(); }
    bool is_null() const { return state_ == State::Null; }
    bool is_known() const { return state_ != State::Unknown; }
    bool is_wholly_known() const;
    // Known and not null: the accessors below may be used.
    bool has_value() const { return state_ == State::Known; }

    // Each needs has_value() and the right kind (asserted).
    bool as_bool() const;
    const Number& as_number() const;
    const std::string& as_string() const;
    const Sequence& as_sequence() const;  // list, set, tuple
    const Mapping& as_mapping() const;    // map, object

    // Same type and same content; unknown is equal to unknown.
    friend bool operator==(const Value& a, const Value& b);
    // A total order over values of one type (sets are kept in it): numbers by size, strings by bytes.
    static int compare(const Value& a, const Value& b);

    // How much there is in all: nodes plus bytes of strings, what sharing hides included. What evaluation
    // pays for.
    uint64_t weight() const { return weight_; }
    uint32_t depth() const { return depth_; }  // of nested collections

    // As an HCL expression, for messages and tests: `{a = [1, "x"]}`; unknown is `(unknown)`.
    std::string text() const;

 private:
    enum class State { Null, Unknown, Known };
    using Data = std::variant<std::monostate, bool, Number, std::string, std::shared_ptr<const Sequence>,
                              std::shared_ptr<const Mapping>>;
    Value(Type type, State state, Data data = {});

    Type type_;
    State state_ = State::Null;
    uint32_t depth_ = 0;
    uint64_t weight_ = 1;
    Data data_;
};

// A string as an HCL quoted template: `"a\n$${b}"`.
std::string quote(std::string_view text);

}  // namespace drover::hcl
