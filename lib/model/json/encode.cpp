// SPDX-License-Identifier: Apache-2.0
// Messages -> JSON text. The hot path of every list endpoint: keys are ready-made, text is appended, nothing
// is built in between.
#include <charconv>
#include <cmath>
#include <vector>

#include "base/clock.h"
#include "base/strings.h"
#include "model/json/json.h"
#include "model/json/plan.h"
#include "model/json/reader.h"
#include "proto/model/options.pb.h"
#include "proto/model/value.pb.h"

namespace drover::model::json {

namespace {

using google::protobuf::Message;
using google::protobuf::Reflection;

class Writer {
 public:
    Writer(std::string& out, const EncodeOptions& options, int depth)
        : out_(out), api_(options.view == View::Api), indent_(options.indent), depth_(depth) {}

    void message(const Message& message, const Plan& plan);
    void value(const Value& value);
    void values(const ListValue& list);
    void values(const MapValue& map);

 private:
    void field(const Message& message, const FieldPlan& plan, bool& first);
    void map_field(const Message& message, const FieldPlan& plan);
    void repeated_field(const Message& message, const FieldPlan& plan);
    void scalar(const Message& message, const FieldPlan& plan);
    void integer(const FieldPlan& plan, int64_t value);
    template <class Number>
    void number(Number value);
    void real(double value);
    void string(std::string_view text, Shape shape);

    void open(char bracket) {
        out_ += bracket;
        depth_++;
    }
    void close(char bracket) {
        depth_--;
        newline();
        out_ += bracket;
    }
    void newline() {
        if (indent_ == 0) return;
        out_ += '\n';
        out_.append(static_cast<size_t>(indent_ * depth_), ' ');
    }
    void separator(bool& first) {
        if (!first) out_ += ',';
        first = false;
        newline();
    }
    void key(const FieldPlan& plan, bool& first) {
        separator(first);
        out_ += plan.key;
        if (indent_ != 0) out_ += ' ';
    }
    void map_key(std::string_view name, bool& first) {
        separator(first);
        append_quoted(out_, name);
        out_ += indent_ != 0 ? ": " : ":";
    }
    bool omits(const FieldPlan& plan) const { return api_ ? plan.omit_api : plan.omit_server; }

    std::string& out_;
    const bool api_;
    const int indent_;
    int depth_;
    std::string scratch_;
};

template <class Number>
void Writer::number(Number value) {
    char digits[24];
    auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    out_.append(digits, static_cast<size_t>(end - digits));
}

void Writer::real(double value) {
    if (!std::isfinite(value)) value = 0;  // JSON has no word for it
    char digits[40];
    auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    out_.append(digits, static_cast<size_t>(end - digits));
}

void Writer::string(std::string_view text, Shape shape) {
    if (shape == Shape::Bytes) {
        out_ += '"';
        out_ += base64_encode(text);
        out_ += '"';
        return;
    }
    append_quoted(out_, text);
}

void Writer::integer(const FieldPlan& plan, int64_t value) {
    switch (plan.kind) {
        case TIME:
            if (value == 0)
                out_ += "null";
            else
                append_quoted(out_, format_rfc3339(value));
            return;
        case DURATION_TEXT:
            append_quoted(out_, format_duration(value));
            return;
        default:
            number(value);
    }
}

void Writer::scalar(const Message& message, const FieldPlan& plan) {
    const Reflection* reflection = plan.reflection;
    switch (plan.shape) {
        case Shape::Bool:
            out_ += reflection->GetBool(message, plan.field) ? "true" : "false";
            return;
        case Shape::Int32:
            number(reflection->GetInt32(message, plan.field));
            return;
        case Shape::Int64:
            integer(plan, reflection->GetInt64(message, plan.field));
            return;
        case Shape::UInt32:
            number(reflection->GetUInt32(message, plan.field));
            return;
        case Shape::UInt64:
            number(reflection->GetUInt64(message, plan.field));
            return;
        case Shape::Double:
            real(reflection->GetDouble(message, plan.field));
            return;
        case Shape::String:
        case Shape::Bytes:
            string(reflection->GetStringReference(message, plan.field, &scratch_), plan.shape);
            return;
        case Shape::Message:
            return;
    }
}

// A scalar is empty when it is zero, whether or not it was set.
bool is_zero(const Message& message, const FieldPlan& plan) {
    const Reflection* reflection = plan.reflection;
    if (!plan.optional) return !reflection->HasField(message, plan.field);  // proto3: present means not zero
    std::string scratch;
    switch (plan.shape) {
        case Shape::Bool:
            return !reflection->GetBool(message, plan.field);
        case Shape::Int32:
            return reflection->GetInt32(message, plan.field) == 0;
        case Shape::Int64:
            return reflection->GetInt64(message, plan.field) == 0;
        case Shape::UInt32:
            return reflection->GetUInt32(message, plan.field) == 0;
        case Shape::UInt64:
            return reflection->GetUInt64(message, plan.field) == 0;
        case Shape::Double:
            return reflection->GetDouble(message, plan.field) == 0;
        default:
            return reflection->GetStringReference(message, plan.field, &scratch).empty();
    }
}

void Writer::repeated_field(const Message& message, const FieldPlan& plan) {
    const Reflection* reflection = plan.reflection;
    const auto* field = plan.field;
    open('[');
    bool first = true;
    int size = reflection->FieldSize(message, field);
    for (int i = 0; i < size; i++) {
        separator(first);
        switch (plan.shape) {
            case Shape::Bool:
                out_ += reflection->GetRepeatedBool(message, field, i) ? "true" : "false";
                break;
            case Shape::Int32:
                number(reflection->GetRepeatedInt32(message, field, i));
                break;
            case Shape::Int64:
                integer(plan, reflection->GetRepeatedInt64(message, field, i));
                break;
            case Shape::UInt32:
                number(reflection->GetRepeatedUInt32(message, field, i));
                break;
            case Shape::UInt64:
                number(reflection->GetRepeatedUInt64(message, field, i));
                break;
            case Shape::Double:
                real(reflection->GetRepeatedDouble(message, field, i));
                break;
            case Shape::String:
            case Shape::Bytes:
                string(reflection->GetRepeatedStringReference(message, field, i, &scratch_), plan.shape);
                break;
            case Shape::Message:
                this->message(reflection->GetRepeatedMessage(message, field, i), *plan.sub);
                break;
        }
    }
    close(']');
}

void Writer::map_field(const Message& message, const FieldPlan& plan) {
    // Sorted, so that the same message always gives the same text.
    std::vector<std::pair<std::string, google::protobuf::MapValueRef>> entries;
    auto end = MapAccess::end(message, plan.field);
    for (auto it = MapAccess::begin(message, plan.field); it != end; ++it)
        entries.emplace_back(it.GetKey().GetStringValue(), it.GetValueRef());
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    open('{');
    bool first = true;
    for (auto& [name, value] : entries) {
        map_key(name, first);
        switch (plan.shape) {
            case Shape::Bool:
                out_ += value.GetBoolValue() ? "true" : "false";
                break;
            case Shape::Int32:
                number(value.GetInt32Value());
                break;
            case Shape::Int64:
                integer(plan, value.GetInt64Value());
                break;
            case Shape::UInt32:
                number(value.GetUInt32Value());
                break;
            case Shape::UInt64:
                number(value.GetUInt64Value());
                break;
            case Shape::Double:
                real(value.GetDoubleValue());
                break;
            case Shape::String:
            case Shape::Bytes:
                string(value.GetStringValue(), plan.shape);
                break;
            case Shape::Message:
                this->message(value.GetMessageValue(), *plan.sub);
                break;
        }
    }
    close('}');
}

void Writer::field(const Message& message, const FieldPlan& plan, bool& first) {
    const Reflection* reflection = plan.reflection;
    if (plan.repeated || plan.map) {
        int size =
            plan.map ? MapAccess::size(message, plan.field) : reflection->FieldSize(message, plan.field);
        if (size == 0) {
            if (omits(plan)) return;
            key(plan, first);
            out_ += !plan.empty_list ? "null" : plan.map ? "{}" : "[]";
            return;
        }
        key(plan, first);
        plan.map ? map_field(message, plan) : repeated_field(message, plan);
        return;
    }
    if (plan.shape == Shape::Message) {
        bool set = reflection->HasField(message, plan.field);
        if (!set && omits(plan)) return;
        key(plan, first);
        if (set || plan.empty_list)
            this->message(reflection->GetMessage(message, plan.field), *plan.sub);
        else
            out_ += "null";
        return;
    }
    bool unset = plan.optional && !reflection->HasField(message, plan.field);
    if (omits(plan) && (unset || (!plan.nullable && is_zero(message, plan)))) return;
    key(plan, first);
    bool null = unset && (api_ || plan.nullable);
    if (plan.shape == Shape::Bytes && is_zero(message, plan)) null = true;
    if (null)
        out_ += "null";
    else
        scalar(message, plan);
}

void Writer::message(const Message& message, const Plan& plan) {
    if (plan.inlined == Plan::Inline::Value) return value(static_cast<const Value&>(message));
    if (plan.inlined == Plan::Inline::OnlyField) {
        const auto& only = plan.fields.front();
        int size =
            only.map ? MapAccess::size(message, only.field) : only.reflection->FieldSize(message, only.field);
        if (size == 0)
            out_ += only.map ? "{}" : "[]";
        else
            only.map ? map_field(message, only) : repeated_field(message, only);
        return;
    }
    if (plan.null_when_empty && message.ByteSizeLong() == 0) {
        out_ += "null";
        return;
    }
    open('{');
    bool first = true;
    for (const auto& each : plan.fields)
        if (api_ ? each.in_api : each.in_server) field(message, each, first);
    if (first)
        depth_--, out_ += '}';
    else
        close('}');
}

void Writer::value(const Value& value) {
    switch (value.kind_case()) {
        case Value::kBoolValue:
            out_ += value.bool_value() ? "true" : "false";
            return;
        case Value::kIntValue:
            number(value.int_value());
            return;
        case Value::kDoubleValue:
            real(value.double_value());
            return;
        case Value::kNumberText:
            out_ += value.number_text();
            return;
        case Value::kStringValue:
            append_quoted(out_, value.string_value());
            return;
        case Value::kListValue:
            return values(value.list_value());
        case Value::kMapValue:
            return values(value.map_value());
        default:
            out_ += "null";
    }
}

void Writer::values(const ListValue& list) {
    if (list.values().empty()) {
        out_ += "[]";
        return;
    }
    open('[');
    bool first = true;
    for (const auto& item : list.values()) {
        separator(first);
        value(item);
    }
    close(']');
}

void Writer::values(const MapValue& map) {
    if (map.fields().empty()) {
        out_ += "{}";
        return;
    }
    std::vector<std::pair<std::string_view, const Value*>> sorted;
    for (const auto& [name, item] : map.fields()) sorted.emplace_back(name, &item);
    std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    open('{');
    bool first = true;
    for (const auto& [name, item] : sorted) {
        map_key(name, first);
        value(*item);
    }
    close('}');
}

void append_escape(std::string& out, unsigned char c) {
    switch (c) {
        case '"':
            out += "\\\"";
            return;
        case '\\':
            out += "\\\\";
            return;
        case '\n':
            out += "\\n";
            return;
        case '\r':
            out += "\\r";
            return;
        case '\t':
            out += "\\t";
            return;
        default: {
            constexpr char kHex[] = "0123456789abcdef";
            out += "\\u00";
            out += kHex[c >> 4];
            out += kHex[c & 15];
        }
    }
}

}  // namespace

void append_quoted(std::string& out, std::string_view text) {
    out += '"';
    size_t start = 0;
    for (size_t i = 0; i < text.size();) {
        auto c = static_cast<unsigned char>(text[i]);
        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            i++;
            continue;
        }
        size_t length = c < 0x80 ? 0 : utf8_length(text, i);
        if (length > 0) {
            i += length;
            continue;
        }
        out.append(text.substr(start, i - start));
        if (c < 0x80)
            append_escape(out, c);
        else
            out += "\xEF\xBF\xBD";  // not UTF-8: U+FFFD
        start = ++i;
    }
    out.append(text.substr(start));
    out += '"';
}

void encode_to(std::string& out, const Message& message, const EncodeOptions& options, int depth) {
    Writer(out, options, depth).message(message, plan_of(message.GetDescriptor()));
}

std::string encode(const Message& message, const EncodeOptions& options) {
    std::string out;
    encode_to(out, message, options);
    return out;
}

std::string encode_value(const Value& value, int indent) {
    std::string out;
    Writer(out, {.indent = indent}, 0).value(value);
    return out;
}

std::string encode_value(const MapValue& value, int indent) {
    std::string out;
    Writer(out, {.indent = indent}, 0).values(value);
    return out;
}

namespace detail {

void list_begin(std::string& out, const EncodeOptions&, bool) {
    out += '[';
}

void list_item(std::string& out, const Message& message, const EncodeOptions& options, bool first) {
    if (!first) out += ',';
    if (options.indent != 0) {
        out += '\n';
        out.append(static_cast<size_t>(options.indent), ' ');
    }
    encode_to(out, message, options, 1);
}

void list_end(std::string& out, const EncodeOptions& options, bool empty) {
    if (options.indent != 0 && !empty) out += '\n';
    out += ']';
}

}  // namespace detail

}  // namespace drover::model::json
