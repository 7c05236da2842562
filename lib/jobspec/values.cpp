// SPDX-License-Identifier: Apache-2.0
// See values.h.
#include "jobspec/values.h"

#include "proto/model/value.pb.h"

namespace drover::jobspec {

namespace {

void number_to_model(const hcl::Number& number, model::Value& out) {
    if (auto whole = number.to_int64()) return out.set_int_value(*whole);
    auto back = hcl::Number::from_double(number.to_double());
    if (back && *back == number)
        out.set_double_value(number.to_double());
    else
        out.set_number_text(number.text());
}

}  // namespace

void to_model(const hcl::Value& value, model::Value& out) {
    if (!value.has_value()) return out.set_null_value(true);
    switch (value.kind()) {
        case hcl::Kind::Bool:
            return out.set_bool_value(value.as_bool());
        case hcl::Kind::Number:
            return number_to_model(value.as_number(), out);
        case hcl::Kind::String:
            return out.set_string_value(value.as_string());
        case hcl::Kind::List:
        case hcl::Kind::Set:
        case hcl::Kind::Tuple: {
            auto& list = *out.mutable_list_value();
            for (const auto& item : value.as_sequence()) to_model(item, *list.add_values());
            return;
        }
        case hcl::Kind::Map:
        case hcl::Kind::Object: {
            auto& object = *out.mutable_map_value();
            for (const auto& [name, item] : value.as_mapping())
                to_model(item, (*object.mutable_fields())[name]);
            return;
        }
        case hcl::Kind::Any:
            return out.set_null_value(true);
    }
}

}  // namespace drover::jobspec
