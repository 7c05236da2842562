// SPDX-License-Identifier: Apache-2.0
// Types and values of HCL: construction, comparison and their texts.
#include "hcl/value.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/result.h"

namespace drover::hcl {

struct Type::Parts {
    Type element;
    std::map<std::string, Type> attributes;
    std::vector<Type> elements;
};

Type Type::list(Type element) {
    Type out(Kind::List);
    out.parts_ = std::make_shared<const Parts>(Parts{std::move(element), {}, {}});
    return out;
}

Type Type::set(Type element) {
    Type out(Kind::Set);
    out.parts_ = std::make_shared<const Parts>(Parts{std::move(element), {}, {}});
    return out;
}

Type Type::map(Type element) {
    Type out(Kind::Map);
    out.parts_ = std::make_shared<const Parts>(Parts{std::move(element), {}, {}});
    return out;
}

Type Type::object(std::map<std::string, Type> attributes) {
    Type out(Kind::Object);
    out.parts_ = std::make_shared<const Parts>(Parts{{}, std::move(attributes), {}});
    return out;
}

Type Type::tuple(std::vector<Type> elements) {
    Type out(Kind::Tuple);
    out.parts_ = std::make_shared<const Parts>(Parts{{}, {}, std::move(elements)});
    return out;
}

const Type& Type::element() const {
    DROVER_ASSERT(is_collection());
    return parts_->element;
}

const std::map<std::string, Type>& Type::attributes() const {
    DROVER_ASSERT(kind_ == Kind::Object);
    return parts_->attributes;
}

const std::vector<Type>& Type::elements() const {
    DROVER_ASSERT(kind_ == Kind::Tuple);
    return parts_->elements;
}

bool Type::contains_any() const {
    if (is_any()) return true;
    if (is_collection()) return element().contains_any();
    if (kind_ == Kind::Object) {
        return std::any_of(attributes().begin(), attributes().end(),
                           [](const auto& a) { return a.second.contains_any(); });
    }
    if (kind_ == Kind::Tuple) {
        return std::any_of(elements().begin(), elements().end(),
                           [](const Type& t) { return t.contains_any(); });
    }
    return false;
}

std::string Type::text() const {
    std::string out;
    switch (kind_) {
        case Kind::Any:
            return "any";
        case Kind::Bool:
            return "bool";
        case Kind::Number:
            return "number";
        case Kind::String:
            return "string";
        case Kind::List:
            return "list(" + element().text() + ")";
        case Kind::Set:
            return "set(" + element().text() + ")";
        case Kind::Map:
            return "map(" + element().text() + ")";
        case Kind::Object:
            for (const auto& [name, type] : attributes()) {
                out += fmt::format("{}{}={}", out.empty() ? "" : ",", name, type.text());
            }
            return "object({" + out + "})";
        case Kind::Tuple:
            for (const Type& type : elements()) out += (out.empty() ? "" : ",") + type.text();
            return "tuple([" + out + "])";
    }
    return "any";
}

std::string Type::friendly_name() const {
    switch (kind_) {
        case Kind::Any:
            return "any type";
        case Kind::List:
            return "list of " + element().friendly_name();
        case Kind::Set:
            return "set of " + element().friendly_name();
        case Kind::Map:
            return "map of " + element().friendly_name();
        case Kind::Object:
            return "object";
        case Kind::Tuple:
            return "tuple";
        default:
            return text();
    }
}

bool operator==(const Type& a, const Type& b) {
    if (a.kind_ != b.kind_) return false;
    if (a.parts_ == b.parts_) return true;
    if (a.is_collection()) return a.element() == b.element();
    if (a.kind_ == Kind::Object) return a.attributes() == b.attributes();
    return a.kind_ != Kind::Tuple || a.elements() == b.elements();
}

Value::Value(Type type, State state, Data data)
    : type_(std::move(type)), state_(state), data_(std::move(data)) {
    auto hold = [this](const Value& child) {
        depth_ = std::max(depth_, child.depth_ + 1);
        weight_ = weight_ > UINT64_MAX - child.weight_ ? UINT64_MAX : weight_ + child.weight_;
    };
    if (const auto* text = std::get_if<std::string>(&data_)) weight_ += text->size();
    if (const auto* sequence = std::get_if<std::shared_ptr<const Sequence>>(&data_)) {
        for (const Value& child : **sequence) hold(child);
    }
    if (const auto* mapping = std::get_if<std::shared_ptr<const Mapping>>(&data_)) {
        for (const auto& [name, child] : **mapping) {
            hold(child);
            weight_ += name.size();
        }
    }
}

Value::Value(Number number) : Value(Type::number(), State::Known, std::move(number)) {}
Value::Value(std::string text) : Value(Type::string(), State::Known, std::move(text)) {}
Value Value::boolean(bool value) {
    return Value(Type::boolean(), State::Known, value);
}
Value Value::null(Type type) {
    return Value(std::move(type), State::Null);
}
Value Value::unknown(Type type) {
    return Value(std::move(type), State::Unknown);
}

Value Value::tuple(Sequence elements) {
    std::vector<Type> types;
    types.reserve(elements.size());
    for (const Value& element : elements) types.push_back(element.type());
    return Value(Type::tuple(std::move(types)), State::Known,
                 std::make_shared<const Sequence>(std::move(elements)));
}

Value Value::object(Mapping attributes) {
    std::map<std::string, Type> types;
    for (const auto& [name, value] : attributes) types.emplace_hint(types.end(), name, value.type());
    return Value(Type::object(std::move(types)), State::Known,
                 std::make_shared<const Mapping>(std::move(attributes)));
}

Value Value::list(Type element, Sequence elements) {
    for (const Value& value : elements) DROVER_ASSERT(element.is_any() || value.type() == element);
    return Value(Type::list(std::move(element)), State::Known,
                 std::make_shared<const Sequence>(std::move(elements)));
}

Value Value::set(Type element, Sequence elements) {
    for (const Value& value : elements) DROVER_ASSERT(element.is_any() || value.type() == element);
    std::sort(elements.begin(), elements.end(),
              [](const Value& a, const Value& b) { return compare(a, b) < 0; });
    elements.erase(std::unique(elements.begin(), elements.end()), elements.end());
    return Value(Type::set(std::move(element)), State::Known,
                 std::make_shared<const Sequence>(std::move(elements)));
}

Value Value::map(Type element, Mapping elements) {
    for (const auto& [name, value] : elements) DROVER_ASSERT(element.is_any() || value.type() == element);
    return Value(Type::map(std::move(element)), State::Known,
                 std::make_shared<const Mapping>(std::move(elements)));
}

bool Value::is_wholly_known() const {
    if (state_ != State::Known) return state_ == State::Null;
    if (type_.is_sequence()) {
        const Sequence& elements = as_sequence();
        return std::all_of(elements.begin(), elements.end(),
                           [](const Value& v) { return v.is_wholly_known(); });
    }
    if (type_.is_mapping()) {
        const Mapping& elements = as_mapping();
        return std::all_of(elements.begin(), elements.end(),
                           [](const auto& v) { return v.second.is_wholly_known(); });
    }
    return true;
}

bool Value::as_bool() const {
    DROVER_ASSERT(has_value() && kind() == Kind::Bool);
    return std::get<bool>(data_);
}

const Number& Value::as_number() const {
    DROVER_ASSERT(has_value() && kind() == Kind::Number);
    return std::get<Number>(data_);
}

const std::string& Value::as_string() const {
    DROVER_ASSERT(has_value() && kind() == Kind::String);
    return std::get<std::string>(data_);
}

const Value::Sequence& Value::as_sequence() const {
    DROVER_ASSERT(has_value() && type_.is_sequence());
    return *std::get<std::shared_ptr<const Sequence>>(data_);
}

const Value::Mapping& Value::as_mapping() const {
    DROVER_ASSERT(has_value() && type_.is_mapping());
    return *std::get<std::shared_ptr<const Mapping>>(data_);
}

bool operator==(const Value& a, const Value& b) {
    if (a.state_ != b.state_ || a.type_ != b.type_) return false;
    if (a.state_ != Value::State::Known) return true;
    if (a.type_.is_sequence()) return a.as_sequence() == b.as_sequence();
    if (a.type_.is_mapping()) return a.as_mapping() == b.as_mapping();
    return a.data_ == b.data_;
}

int Value::compare(const Value& a, const Value& b) {
    if (a.state_ != b.state_) return a.state_ > b.state_ ? -1 : 1;  // known ones first, nulls last
    if (a.kind() != b.kind()) return a.kind() < b.kind() ? -1 : 1;
    if (!a.has_value()) return 0;
    switch (a.kind()) {
        case Kind::Any:
            return 0;
        case Kind::Bool:
            return static_cast<int>(a.as_bool()) - static_cast<int>(b.as_bool());
        case Kind::Number:
            return Number::compare(a.as_number(), b.as_number());
        case Kind::String:
            return a.as_string().compare(b.as_string());
        case Kind::List:
        case Kind::Set:
        case Kind::Tuple: {
            const Sequence &x = a.as_sequence(), &y = b.as_sequence();
            for (size_t i = 0; i < x.size() && i < y.size(); ++i) {
                if (int order = compare(x[i], y[i])) return order;
            }
            return x.size() < y.size() ? -1 : x.size() > y.size() ? 1 : 0;
        }
        case Kind::Map:
        case Kind::Object: {
            const Mapping &x = a.as_mapping(), &y = b.as_mapping();
            auto i = x.begin();
            auto j = y.begin();
            for (; i != x.end() && j != y.end(); ++i, ++j) {
                if (int order = i->first.compare(j->first)) return order;
                if (int order = compare(i->second, j->second)) return order;
            }
            return i == x.end() ? (j == y.end() ? 0 : -1) : 1;
        }
    }
    return 0;
}

std::string Value::text() const {
    if (state_ == State::Null) return "null";
    if (state_ == State::Unknown) return "(unknown)";
    std::string out;
    if (type_.is_sequence()) {
        for (const Value& element : as_sequence()) out += (out.empty() ? "" : ", ") + element.text();
        return "[" + out + "]";
    }
    if (type_.is_mapping()) {
        for (const auto& [name, value] : as_mapping()) {
            out += fmt::format("{}{} = {}", out.empty() ? "" : ", ", quote(name), value.text());
        }
        return "{" + out + "}";
    }
    switch (kind()) {
        case Kind::Bool:
            return as_bool() ? "true" : "false";
        case Kind::Number:
            return as_number().text();
        case Kind::String:
            return quote(as_string());
        default:
            return "null";
    }
}

std::string quote(std::string_view text) {
    std::string out = "\"";
    for (size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        switch (c) {
            case '"':
                out += "\\\"";
                break;
            case '\\':
                out += "\\\\";
                break;
            case '\n':
                out += "\\n";
                break;
            case '\r':
                out += "\\r";
                break;
            case '\t':
                out += "\\t";
                break;
            case '$':
            case '%':
                out += c;
                if (i + 1 < text.size() && text[i + 1] == '{') out += c;
                break;
            default:
                if (static_cast<unsigned char>(c) < 0x20)
                    out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
                else
                    out += c;
        }
    }
    return out + "\"";
}

}  // namespace drover::hcl
