// SPDX-License-Identifier: Apache-2.0
// How the CLI shows tables, key/value blocks, times, sizes and ids. Pure: the current time comes as an
// argument.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace drover::cli {

using Row = std::vector<std::string>;
using KeyValues = std::vector<std::pair<std::string, std::string>>;

enum class Empty { ShowNone, Keep };  // an empty cell as "<none>", or as nothing

// Columns as wide as their widest cell, two spaces between; the last one is not padded. No newline at the
// end. Cells are measured in characters, not bytes.
std::string table(const std::vector<Row>& rows, Empty empty = Empty::ShowNone);
// "Key      = value" lines, the keys padded; empty values are "<none>".
std::string key_values(const KeyValues& pairs);

// RFC 3339 in the host's zone, whole seconds; "N/A" for 0 and before.
std::string format_time(int64_t unix_ns);
// "26s ago", "1h5m ago", "3s from now"; empty for 0.
std::string relative_time(int64_t unix_ns, int64_t now_ns);
// "3.4 MiB", "64 MiB", "278 B".
std::string format_bytes(uint64_t bytes);
// Go's %v of a float: up to three significant decimals are enough for scores.
std::string format_float(double value);
// Go's %q.
std::string quoted(std::string_view text);

constexpr size_t kShortId = 8;
constexpr size_t kFullId = 36;
std::string limit_id(std::string_view id, size_t length);

}  // namespace drover::cli
