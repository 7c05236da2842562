// SPDX-License-Identifier: Apache-2.0
// The few string helpers several rooms need.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

std::vector<std::string> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string_view trim(std::string_view text);
std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);
bool starts_with(std::string_view text, std::string_view prefix);
bool ends_with(std::string_view text, std::string_view suffix);
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);
std::optional<int64_t> parse_int(std::string_view text);  // whole text, base 10
std::optional<uint64_t> parse_uint(std::string_view text);
std::optional<double> parse_double(std::string_view text);

std::string base64_encode(std::string_view bytes);                // standard alphabet, padded
std::optional<std::string> base64_decode(std::string_view text);  // standard alphabet, padding required

// Levenshtein distance, for "Did you mean ...?".
size_t edit_distance(std::string_view a, std::string_view b);
// The closest of `known` to `given`, when close enough to suggest.
std::optional<std::string> closest(std::string_view given, const std::vector<std::string>& known);

}  // namespace drover
