// SPDX-License-Identifier: Apache-2.0
// JSON text -> messages. What comes here was written by strangers: every error names the field.
#include <charconv>
#include <limits>
#include <vector>

#include "base/clock.h"
#include "base/strings.h"
#include "model/json/json.h"
#include "model/json/plan.h"
#include "model/json/reader.h"
#include "model/limits.h"
#include "proto/model/options.pb.h"
#include "proto/model/value.pb.h"

namespace drover::model::json {

namespace {

using google::protobuf::MapKey;
using google::protobuf::MapValueRef;
using google::protobuf::Message;
using google::protobuf::Reflection;
using Kind = Reader::Kind;

constexpr size_t kTextBytesMax = 64u << 20;

class Decoder {
 public:
    explicit Decoder(std::string_view text) : reader_(text) {}

    Status message(Message& message, const Plan& plan);
    Status value(Value& value);
    Status end() { return reader_.end(); }

    template <class Each>
    Status list(Each&& each);

 private:
    // Where we are, for messages: names of fields and keys, numbers of items.
    struct Step {
        std::string_view name;  // empty: an item
        int64_t item = 0;
    };
    struct Scope {
        explicit Scope(std::vector<Step>& path, Step step) : path_(path) { path_.push_back(step); }
        ~Scope() { path_.pop_back(); }
        std::vector<Step>& path_;
    };

    Status field(Message& message, const FieldPlan& plan);
    Status inside(Message& items);  // a list or an object of a free-form value
    Status single(Message& message, const FieldPlan& plan);
    Status repeated(Message& message, const FieldPlan& plan);
    Status map(Message& message, const FieldPlan& plan);
    Status map_entry(const FieldPlan& plan, MapValueRef& value);

    Result<bool> boolean();
    Result<double> real();
    Result<std::string> string();
    Result<std::string> bytes();
    Result<std::string> text(const FieldPlan& plan) {
        return plan.shape == Shape::Bytes ? bytes() : string();
    }
    template <class Int>
    Result<Int> integer(const FieldPlan& plan);
    Result<int64_t> time();

    Error wrong(std::string_view expected) {
        if (reader_.peek() == Kind::Broken) return reader_.fail(expected);
        return wrong(expected, reader_.describe());
    }
    Error wrong(std::string_view expected, std::string_view found);
    std::string where() const;

    Reader reader_;
    std::vector<Step> path_;
    int value_depth_ = 0;  // of free-form values
};

std::string Decoder::where() const {
    std::string out;
    for (const auto& step : path_) {
        if (step.name.empty()) {
            out += fmt::format("[{}]", step.item);
            continue;
        }
        if (!out.empty()) out += '.';
        out += step.name;
    }
    return out;
}

Error Decoder::wrong(std::string_view expected, std::string_view found) {
    std::string place = where();
    return make_error(Code::InvalidArgument, "{}{}expected {}, found {}", place, place.empty() ? "" : ": ",
                      expected, found);
}

Result<bool> Decoder::boolean() {
    if (reader_.peek() != Kind::Bool) return wrong("a boolean");
    return reader_.boolean();
}

Result<std::string> Decoder::string() {
    if (reader_.peek() != Kind::String) return wrong("a string");
    return reader_.string();
}

Result<std::string> Decoder::bytes() {
    if (reader_.peek() != Kind::String) return wrong("a base64 string");
    std::string found = reader_.describe();
    DROVER_TRY(std::string encoded, reader_.string());
    auto decoded = base64_decode(encoded);
    if (!decoded) return wrong("a base64 string", found);
    return std::move(*decoded);
}

Result<double> Decoder::real() {
    if (reader_.peek() != Kind::Number) return wrong("a number");
    DROVER_TRY(std::string_view token, reader_.number());
    auto value = parse_double(token);
    if (!value) return wrong("a number", fmt::format("number {}", token));
    return *value;
}

Result<int64_t> Decoder::time() {
    constexpr std::string_view kExpected = "a time such as \"2026-01-02T15:04:05Z\"";
    if (reader_.peek() != Kind::String) return wrong(kExpected);
    std::string found = reader_.describe();
    DROVER_TRY(std::string token, reader_.string());
    if (token.empty() || token.starts_with("0001-01-01T00:00:00")) return 0;  // Go's zero time
    auto value = parse_rfc3339(token);
    if (!value) return wrong(kExpected, found);
    return *value;
}

template <class Int>
Result<Int> Decoder::integer(const FieldPlan& plan) {
    if (plan.kind == TIME) {
        DROVER_TRY(int64_t value, time());
        return static_cast<Int>(value);
    }
    bool text = plan.kind == DURATION_TEXT || plan.kind == DURATION_BOTH;
    if (text && reader_.peek() == Kind::String) {
        std::string found = reader_.describe();
        DROVER_TRY(std::string token, reader_.string());
        auto value = parse_duration(token);
        if (!value) return wrong("a duration such as \"1h30m\"", found);
        return static_cast<Int>(*value);
    }
    if (reader_.peek() != Kind::Number) return wrong("a number");
    DROVER_TRY(std::string_view token, reader_.number());
    Int value{};
    auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
    if (error == std::errc() && end == token.data() + token.size()) return value;
    if (token.find_first_of(".eE") != std::string_view::npos)
        return wrong("a whole number", fmt::format("number {}", token));
    return wrong(fmt::format("a number from {} to {}", std::numeric_limits<Int>::min(),
                             std::numeric_limits<Int>::max()),
                 fmt::format("number {}", token));
}

template <class Each>
Status Decoder::list(Each&& each) {
    if (reader_.peek() != Kind::List) return wrong("a list");
    DROVER_CHECK(reader_.begin('['));
    for (int64_t i = 0;; i++) {
        DROVER_TRY(bool more, reader_.more(']', i == 0));
        if (!more) return {};
        Scope scope(path_, {{}, i});
        DROVER_CHECK(each());
    }
}

Status Decoder::single(Message& message, const FieldPlan& plan) {
    const Reflection* reflection = plan.reflection;
    const auto* field = plan.field;
    switch (plan.shape) {
        case Shape::Bool: {
            DROVER_TRY(bool value, boolean());
            reflection->SetBool(&message, field, value);
            return {};
        }
        case Shape::Int32: {
            DROVER_TRY(int32_t value, integer<int32_t>(plan));
            reflection->SetInt32(&message, field, value);
            return {};
        }
        case Shape::Int64: {
            DROVER_TRY(int64_t value, integer<int64_t>(plan));
            reflection->SetInt64(&message, field, value);
            return {};
        }
        case Shape::UInt32: {
            DROVER_TRY(uint32_t value, integer<uint32_t>(plan));
            reflection->SetUInt32(&message, field, value);
            return {};
        }
        case Shape::UInt64: {
            DROVER_TRY(uint64_t value, integer<uint64_t>(plan));
            reflection->SetUInt64(&message, field, value);
            return {};
        }
        case Shape::Double: {
            DROVER_TRY(double value, real());
            reflection->SetDouble(&message, field, value);
            return {};
        }
        case Shape::String:
        case Shape::Bytes: {
            DROVER_TRY(std::string value, text(plan));
            reflection->SetString(&message, field, std::move(value));
            return {};
        }
        case Shape::Message:
            return this->message(*reflection->MutableMessage(&message, field), *plan.sub);
    }
    return {};
}

Status Decoder::repeated(Message& message, const FieldPlan& plan) {
    const Reflection* reflection = plan.reflection;
    const auto* field = plan.field;
    reflection->ClearField(&message, field);
    return list([&]() -> Status {
        switch (plan.shape) {
            case Shape::Bool: {
                DROVER_TRY(bool value, boolean());
                reflection->AddBool(&message, field, value);
                return {};
            }
            case Shape::Int32: {
                DROVER_TRY(int32_t value, integer<int32_t>(plan));
                reflection->AddInt32(&message, field, value);
                return {};
            }
            case Shape::Int64: {
                DROVER_TRY(int64_t value, integer<int64_t>(plan));
                reflection->AddInt64(&message, field, value);
                return {};
            }
            case Shape::UInt32: {
                DROVER_TRY(uint32_t value, integer<uint32_t>(plan));
                reflection->AddUInt32(&message, field, value);
                return {};
            }
            case Shape::UInt64: {
                DROVER_TRY(uint64_t value, integer<uint64_t>(plan));
                reflection->AddUInt64(&message, field, value);
                return {};
            }
            case Shape::Double: {
                DROVER_TRY(double value, real());
                reflection->AddDouble(&message, field, value);
                return {};
            }
            case Shape::String:
            case Shape::Bytes: {
                DROVER_TRY(std::string value, text(plan));
                reflection->AddString(&message, field, std::move(value));
                return {};
            }
            case Shape::Message:
                return this->message(*reflection->AddMessage(&message, field), *plan.sub);
        }
        return {};
    });
}

Status Decoder::map_entry(const FieldPlan& plan, MapValueRef& value) {
    switch (plan.shape) {
        case Shape::Bool: {
            DROVER_TRY(bool read, boolean());
            value.SetBoolValue(read);
            return {};
        }
        case Shape::Int32: {
            DROVER_TRY(int32_t read, integer<int32_t>(plan));
            value.SetInt32Value(read);
            return {};
        }
        case Shape::Int64: {
            DROVER_TRY(int64_t read, integer<int64_t>(plan));
            value.SetInt64Value(read);
            return {};
        }
        case Shape::UInt32: {
            DROVER_TRY(uint32_t read, integer<uint32_t>(plan));
            value.SetUInt32Value(read);
            return {};
        }
        case Shape::UInt64: {
            DROVER_TRY(uint64_t read, integer<uint64_t>(plan));
            value.SetUInt64Value(read);
            return {};
        }
        case Shape::Double: {
            DROVER_TRY(double read, real());
            value.SetDoubleValue(read);
            return {};
        }
        case Shape::String:
        case Shape::Bytes: {
            DROVER_TRY(std::string read, text(plan));
            value.SetStringValue(std::move(read));
            return {};
        }
        case Shape::Message:
            return message(*value.MutableMessageValue(), *plan.sub);
    }
    return {};
}

Status Decoder::map(Message& message, const FieldPlan& plan) {
    plan.reflection->ClearField(&message, plan.field);
    if (reader_.peek() != Kind::Object) return wrong("an object");
    DROVER_CHECK(reader_.begin('{'));
    for (bool first = true;; first = false) {
        DROVER_TRY(bool more, reader_.more('}', first));
        if (!more) return {};
        DROVER_TRY(std::string name, reader_.key());
        // An empty key would look like an item in the path.
        Scope scope(path_, {name.empty() ? std::string_view("\"\"") : std::string_view(name)});
        MapKey key;
        key.SetStringValue(name);
        MapValueRef value;
        MapAccess::insert(&message, plan.field, key, &value);
        bool keeps_null = plan.sub != nullptr && plan.sub->inlined == Plan::Inline::Value;
        if (reader_.peek() == Kind::Null && !keeps_null)
            DROVER_CHECK(reader_.null());
        else
            DROVER_CHECK(map_entry(plan, value));
    }
}

Status Decoder::field(Message& message, const FieldPlan& plan) {
    if (reader_.peek() == Kind::Null) return reader_.null();
    if (plan.map) return map(message, plan);
    if (plan.repeated) return repeated(message, plan);
    return single(message, plan);
}

Status Decoder::message(Message& message, const Plan& plan) {
    if (plan.inlined == Plan::Inline::Value) return value(static_cast<Value&>(message));
    if (plan.inlined == Plan::Inline::OnlyField) {
        const auto& only = plan.fields.front();
        return only.map ? map(message, only) : repeated(message, only);
    }
    if (reader_.peek() != Kind::Object) return wrong("an object");
    DROVER_CHECK(reader_.begin('{'));
    for (bool first = true;; first = false) {
        DROVER_TRY(bool more, reader_.more('}', first));
        if (!more) return {};
        DROVER_TRY(std::string name, reader_.key());
        const FieldPlan* found = plan.find(name);
        if (found == nullptr) {
            DROVER_CHECK(reader_.skip());
            continue;
        }
        Scope scope(path_, {found->name});
        DROVER_CHECK(field(message, *found));
    }
}

// Integers that fit stay integers; decimals become doubles when those print the same digits again.
void set_number(Value& value, std::string_view token) {
    bool whole = token.find_first_of(".eE") == std::string_view::npos;
    if (whole) {
        if (auto number = parse_int(token))
            value.set_int_value(*number);
        else
            value.set_number_text(std::string(token));
        return;
    }
    size_t digits = 0;
    for (char c : token.substr(0, token.find_first_of("eE"))) digits += c >= '0' && c <= '9' ? 1 : 0;
    auto number = parse_double(token);
    if (number && (digits <= 15 || fmt::format("{}", *number) == token))
        value.set_double_value(*number);
    else
        value.set_number_text(std::string(token));
}

Status Decoder::inside(Message& items) {
    if (++value_depth_ > kValueDepthMax)
        return make_error(Code::InvalidArgument, "{}: nested more than {} levels deep", where(),
                          kValueDepthMax);
    auto status = message(items, plan_of(items.GetDescriptor()));
    value_depth_--;
    return status;
}

Status Decoder::value(Value& value) {
    switch (reader_.peek()) {
        case Kind::Null:
            value.set_null_value(true);
            return reader_.null();
        case Kind::Bool: {
            DROVER_TRY(bool read, reader_.boolean());
            value.set_bool_value(read);
            return {};
        }
        case Kind::Number: {
            DROVER_TRY(std::string_view token, reader_.number());
            set_number(value, token);
            return {};
        }
        case Kind::String: {
            DROVER_TRY(std::string read, reader_.string());
            value.set_string_value(std::move(read));
            return {};
        }
        case Kind::List:
            return inside(*value.mutable_list_value());
        case Kind::Object:
            return inside(*value.mutable_map_value());
        case Kind::Broken:
            break;
    }
    return reader_.fail("a value");
}

Status check_size(std::string_view text) {
    if (text.size() <= kTextBytesMax) return {};
    return make_error(Code::ResourceExhausted, "JSON of {} bytes is over the limit of {}", text.size(),
                      kTextBytesMax);
}

}  // namespace

Status decode(std::string_view text, Message& message) {
    DROVER_CHECK(check_size(text));
    Decoder decoder(text);
    DROVER_CHECK(decoder.message(message, plan_of(message.GetDescriptor())));
    return decoder.end();
}

Result<Value> parse_value(std::string_view text) {
    DROVER_CHECK(check_size(text));
    Decoder decoder(text);
    Value value;
    DROVER_CHECK(decoder.value(value));
    DROVER_CHECK(decoder.end());
    return value;
}

namespace detail {

Status decode_list(std::string_view text, void* context, Message& (*add)(void*)) {
    DROVER_CHECK(check_size(text));
    Decoder decoder(text);
    DROVER_CHECK(decoder.list([&] {
        Message& message = add(context);
        return decoder.message(message, plan_of(message.GetDescriptor()));
    }));
    return decoder.end();
}

}  // namespace detail

}  // namespace drover::model::json
