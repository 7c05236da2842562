// SPDX-License-Identifier: Apache-2.0
#include "api/request.h"

#include <zlib.h>

#include "api/limits.h"
#include "base/strings.h"

namespace drover::api {
namespace {

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

}  // namespace

std::optional<std::string> Request::param(std::string_view name) const {
    for (const auto& [key, value] : query)
        if (key == name) return value;
    return std::nullopt;
}

std::vector<std::string> Request::params(std::string_view name) const {
    std::vector<std::string> values;
    for (const auto& [key, value] : query)
        if (key == name) values.push_back(value);
    return values;
}

std::string Request::param_or(std::string_view name, std::string_view fallback) const {
    auto value = param(name);
    return value ? *value : std::string(fallback);
}

Result<bool> Request::flag(std::string_view name, bool fallback) const {
    auto value = param(name);
    if (!value) return fallback;
    if (value->empty()) return true;
    if (auto parsed = parse_bool(*value)) return *parsed;
    return make_error(Code::InvalidArgument, "Failed to parse value of \"{}\" (\"{}\") as a bool", name,
                      *value);
}

std::string Request::header(std::string_view lower_name) const {
    auto it = headers.find(std::string(lower_name));
    return it == headers.end() ? std::string() : it->second;
}

std::optional<std::string> unescape(std::string_view text, bool plus_is_space) {
    std::string out;
    out.reserve(text.size());
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%') {
            if (i + 2 >= text.size()) return std::nullopt;
            int high = hex_digit(text[i + 1]);
            int low = hex_digit(text[i + 2]);
            if (high < 0 || low < 0) return std::nullopt;
            out.push_back(static_cast<char>(high * 16 + low));
            i += 2;
        } else {
            out.push_back(text[i] == '+' && plus_is_space ? ' ' : text[i]);
        }
    }
    return out;
}

std::optional<bool> parse_bool(std::string_view text) {
    for (std::string_view word : {"1", "t", "T", "TRUE", "true", "True"})
        if (text == word) return true;
    for (std::string_view word : {"0", "f", "F", "FALSE", "false", "False"})
        if (text == word) return false;
    return std::nullopt;
}

Status parse_target(std::string_view target, Request& request) {
    if (target.empty() || target.front() != '/')
        return make_error(Code::InvalidArgument, "request target must start with \"/\"");
    auto hash = target.find('#');
    if (hash != std::string_view::npos) target = target.substr(0, hash);
    auto question = target.find('?');
    auto path = target.substr(0, question);
    if (path.size() > kPathBytesMax)
        return make_error(Code::InvalidArgument, "path has {} bytes, at most {} are allowed", path.size(),
                          kPathBytesMax);
    request.segments.clear();
    for (auto& segment : split(path.substr(1), '/')) {
        auto plain = unescape(segment, false);
        if (!plain || plain->find('\0') != std::string::npos)
            return make_error(Code::InvalidArgument, "invalid URL escape in path segment \"{}\"", segment);
        request.segments.push_back(std::move(segment));
    }
    request.query.clear();
    if (question == std::string_view::npos) return {};
    for (const auto& pair : split(target.substr(question + 1), '&')) {
        if (pair.empty()) continue;
        if (request.query.size() == kQueryParamsMax)
            return make_error(Code::InvalidArgument, "more than {} query parameters", kQueryParamsMax);
        auto equals = pair.find('=');
        auto name = unescape(std::string_view(pair).substr(0, equals), true);
        auto value =
            unescape(equals == std::string::npos ? "" : std::string_view(pair).substr(equals + 1), true);
        if (!name || !value)
            return make_error(Code::InvalidArgument, "invalid URL escape in query parameter \"{}\"", pair);
        request.query.emplace_back(std::move(*name), std::move(*value));
    }
    return {};
}

std::string indent_json(std::string_view compact, int spaces) {
    std::string out;
    out.reserve(compact.size() * 2);
    size_t depth = 0;
    auto newline = [&] {
        out.push_back('\n');
        out.append(depth * static_cast<size_t>(spaces), ' ');
    };
    for (size_t i = 0; i < compact.size(); ++i) {
        char c = compact[i];
        switch (c) {
            case '"':
                out.push_back(c);
                for (++i; i < compact.size(); ++i) {
                    out.push_back(compact[i]);
                    if (compact[i] == '"') break;
                    if (compact[i] == '\\' && i + 1 < compact.size()) out.push_back(compact[++i]);
                }
                break;
            case '{':
            case '[':
                out.push_back(c);
                if (i + 1 < compact.size() && (compact[i + 1] == '}' || compact[i + 1] == ']')) {
                    out.push_back(compact[++i]);
                } else {
                    ++depth;
                    newline();
                }
                break;
            case '}':
            case ']':
                if (depth > 0) --depth;
                newline();
                out.push_back(c);
                break;
            case ',':
                out.push_back(c);
                newline();
                break;
            case ':':
                out += ": ";
                break;
            default:
                out.push_back(c);
        }
    }
    return out;
}

std::optional<std::string> gzip(std::string_view body) {
    z_stream stream{};
    constexpr int kGzipWindow = 15 + 16;
    if (deflateInit2(&stream, 1, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) != Z_OK) return std::nullopt;
    std::string out(deflateBound(&stream, static_cast<uLong>(body.size())), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
    stream.avail_in = static_cast<uInt>(body.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    int result = deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    if (result != Z_STREAM_END || out.size() >= body.size()) return std::nullopt;
    return out;
}

}  // namespace drover::api
