// SPDX-License-Identifier: Apache-2.0
// How the function files hand their functions to functions.cpp, and what they share. Room-internal.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "hcl/functions.h"

namespace drover::hcl {

// A function's output may not be larger than this, whatever its arguments.
inline constexpr size_t kFunctionBytesMax = 32u << 20;

using Arguments = std::vector<Value>;

inline tl::unexpected<CallError> call_error(std::string message) {
    return tl::unexpected(CallError{std::move(message), std::nullopt});
}
inline tl::unexpected<CallError> argument_error(size_t argument, std::string message) {
    return tl::unexpected(CallError{std::move(message), argument});
}

inline Parameter text(std::string name) {
    return {std::move(name), Type::string(), Parameter::None};
}
inline Parameter number(std::string name) {
    return {std::move(name), Type::number(), Parameter::None};
}
inline Parameter anything(std::string name, unsigned flags = Parameter::None) {
    return {std::move(name), Type::any(), flags};
}
inline Parameter texts(std::string name) {
    return {std::move(name), Type::list(Type::string()), Parameter::None};
}

inline Function function(std::vector<Parameter> parameters, Type result,
                         std::function<CallResult(const Arguments&)> call) {
    Function out;
    out.parameters = std::move(parameters);
    out.result = std::move(result);
    out.call = std::move(call);
    return out;
}
inline Function variadic(std::vector<Parameter> parameters, Parameter rest, Type result,
                         std::function<CallResult(const Arguments&)> call) {
    Function out = function(std::move(parameters), std::move(result), std::move(call));
    out.variadic = std::move(rest);
    return out;
}

// One for each functions_*.cpp.
void add_number_functions(Functions& table);
void add_string_functions(Functions& table);
void add_collection_functions(Functions& table);
void add_set_functions(Functions& table);
void add_format_functions(Functions& table);
void add_time_functions(Functions& table);
void add_encoding_functions(Functions& table);
void add_address_functions(Functions& table);
void add_crypto_functions(Functions& table, std::shared_ptr<const FunctionEnvironment> environment);
void add_file_functions(Functions& table, std::shared_ptr<const FunctionEnvironment> environment);
void add_attempt_functions(Functions& table);  // try, can, convert

// Characters as a user sees them.
std::vector<std::string> characters(std::string_view text);
std::string to_upper_text(std::string_view text);
std::string to_lower_text(std::string_view text);

// yaml.cpp
Result<Value> yaml_decode(std::string_view text);
Result<std::string> yaml_encode(const Value& value);
// functions_encoding.cpp
std::string json_encode(const Value& value);

}  // namespace drover::hcl
