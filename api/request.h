// SPDX-License-Identifier: Apache-2.0
// One HTTP request and one response as plain values, and the parsing of a request target. Nothing here knows
// Beast, a socket or the cluster; everything is bounded by limits.h. Used by the server, the routes and the
// fuzz target.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace drover::api {

struct Request {
    std::string method;                 // as sent; POST has become PUT
    std::string target;                 // as sent
    std::vector<std::string> segments;  // of the path, still escaped; no leading empty one
    std::vector<std::pair<std::string, std::string>> query;  // decoded, in order
    std::map<std::string, std::string> headers;  // names in lower case; repeated ones joined by ", "
    std::string body;
    std::string remote;  // the client's address, for logs

    // The first value of a parameter; nullopt when it was not given.
    std::optional<std::string> param(std::string_view name) const;
    std::vector<std::string> params(std::string_view name) const;
    std::string param_or(std::string_view name, std::string_view fallback) const;
    // Given without value, or as a true of Go's ParseBool; InvalidArgument for anything else.
    Result<bool> flag(std::string_view name, bool fallback = false) const;
    std::string header(std::string_view lower_name) const;  // empty when absent
};

struct Response {
    int status = 200;
    std::string content_type = "application/json";  // empty: none is sent
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;
};

// Splits and decodes an origin-form target. InvalidArgument for a bad escape, an over-long path, too many
// parameters.
Status parse_target(std::string_view target, Request& request);

// Decodes %XX (and '+' as a space when `plus_is_space`); nullopt for a bad escape.
std::optional<std::string> unescape(std::string_view text, bool plus_is_space);

// Go's strconv.ParseBool.
std::optional<bool> parse_bool(std::string_view text);

// Indents compact JSON text as Go's MarshalIndent does; leaves anything that is not JSON unchanged in
// content.
std::string indent_json(std::string_view compact, int spaces);

// gzip of `body`, or nullopt when it would not get smaller.
std::optional<std::string> gzip(std::string_view body);

}  // namespace drover::api
