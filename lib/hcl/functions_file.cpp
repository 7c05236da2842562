// SPDX-License-Identifier: Apache-2.0
// Functions over paths and files. Paths are worked on as text; files are read through the
// FunctionEnvironment, which may refuse: a job that a server parses must not read the server's files.
#include <fmt/format.h>
#include <re2/re2.h>

#include "base/strings.h"
#include "hcl/function_tables.h"
#include "hcl/limits.h"
#include "hcl/scanner.h"

namespace drover::hcl {

namespace {

using Environment = std::shared_ptr<const FunctionEnvironment>;

// Without "." and "..", double slashes and a slash at the end.
std::string clean(const std::string& path) {
    bool absolute = starts_with(path, "/");
    std::vector<std::string> parts;
    for (const std::string& part : split(path, '/')) {
        if (part.empty() || part == ".") continue;
        if (part != "..")
            parts.push_back(part);
        else if (!parts.empty() && parts.back() != "..")
            parts.pop_back();
        else if (!absolute)
            parts.push_back(part);
    }
    std::string joined = join(parts, "/");
    if (absolute) return "/" + joined;
    return joined.empty() ? "." : joined;
}

std::string expand_home(const std::string& path, const FunctionEnvironment& environment) {
    if (path == "~" || starts_with(path, "~/")) return environment.home_dir() + path.substr(1);
    return path;
}

std::string absolute(const std::string& path, const FunctionEnvironment& environment) {
    std::string expanded = expand_home(path, environment);
    return clean(starts_with(expanded, "/") ? expanded : environment.base_dir() + "/" + expanded);
}

std::string base_name(const std::string& path) {
    if (path.empty()) return ".";
    std::string cleaned = clean(path);
    return cleaned == "/" ? cleaned : cleaned.substr(cleaned.rfind('/') + 1);
}

std::string dir_name(const std::string& path) {
    size_t slash = path.rfind('/');
    return slash == std::string::npos ? "." : clean(path.substr(0, slash + 1));
}

constexpr const char* kRefused = "filesystem functions are disabled here";

tl::expected<std::string, CallError> read(const Value& path, const FunctionEnvironment& environment) {
    if (!environment.files_allowed()) return call_error(kRefused);
    Result<std::string> content = environment.read_file(absolute(path.as_string(), environment));
    if (!content) return argument_error(0, content.error().message());
    if (content->size() > kFunctionBytesMax)
        return argument_error(0, fmt::format("the file is larger than {} bytes", kFunctionBytesMax));
    return std::move(*content);
}

// A glob with *, **, ?, [a-z], {a,b} as a regular expression over paths with slashes; nullopt: malformed.
std::optional<std::string> glob_pattern(const std::string& glob) {
    std::string out;
    int braces = 0;
    for (size_t i = 0; i < glob.size(); ++i) {
        char c = glob[i];
        if (c == '*' && i + 1 < glob.size() && glob[i + 1] == '*') {
            bool slash = i + 2 < glob.size() && glob[i + 2] == '/';
            out += slash ? "(?:.*/)?" : ".*";
            i += slash ? 2 : 1;
        } else if (c == '*') {
            out += "[^/]*";
        } else if (c == '?') {
            out += "[^/]";
        } else if (c == '[') {
            size_t end = glob.find(']', i + 2);
            if (end == std::string::npos) return std::nullopt;
            std::string set = glob.substr(i + 1, end - i - 1);
            if (set[0] == '!') set[0] = '^';
            out += "[" + replace_all(set, "\\", "\\\\") + "]";
            i = end;
        } else if (c == '{') {
            ++braces;
            out += "(?:";
        } else if (c == '}' && braces > 0) {
            --braces;
            out += ")";
        } else if (c == ',' && braces > 0) {
            out += "|";
        } else if (c == '\\' && i + 1 < glob.size()) {
            out += re2::RE2::QuoteMeta(std::string(1, glob[++i]));
        } else {
            out += re2::RE2::QuoteMeta(std::string(1, c));
        }
    }
    return braces == 0 ? std::optional<std::string>(out) : std::nullopt;
}

CallResult file_set(const Arguments& a, const FunctionEnvironment& environment) {
    if (!environment.files_allowed()) return call_error(kRefused);
    std::optional<std::string> pattern = glob_pattern(clean(a[1].as_string()));
    re2::RE2::Options options;
    options.set_log_errors(false);
    re2::RE2 matcher(pattern.value_or("("), options);
    if (!pattern || !matcher.ok()) return argument_error(1, "the pattern is malformed");
    Result<std::vector<std::string>> names =
        environment.files_below(absolute(a[0].as_string(), environment), kFilesetEntriesMax);
    if (!names) return argument_error(0, names.error().message());
    Value::Sequence out;
    for (const std::string& name : *names) {
        if (re2::RE2::FullMatch(name, matcher)) out.push_back(Value(name));
    }
    return Value::set(Type::string(), std::move(out));
}

}  // namespace

void add_file_functions(Functions& table, Environment environment) {
    Type s = Type::string();
    table["basename"] = function({text("path")}, s, [](const Arguments& a) -> CallResult {
        return Value(base_name(a[0].as_string()));
    });
    table["dirname"] = function({text("path")}, s, [](const Arguments& a) -> CallResult {
        return Value(dir_name(a[0].as_string()));
    });
    table["abspath"] = function({text("path")}, s, [environment](const Arguments& a) -> CallResult {
        if (!environment->files_allowed()) return call_error(kRefused);
        return Value(absolute(a[0].as_string(), *environment));
    });
    table["pathexpand"] = function({text("path")}, s, [environment](const Arguments& a) -> CallResult {
        if (!environment->files_allowed()) return call_error(kRefused);
        return Value(expand_home(a[0].as_string(), *environment));
    });
    table["file"] = function({text("path")}, s, [environment](const Arguments& a) -> CallResult {
        auto content = read(a[0], *environment);
        if (!content) return tl::unexpected(content.error());
        if (!is_valid_utf8(*content)) {
            return argument_error(0,
                                  "contents of the file are not valid UTF-8; use filebase64 to obtain the "
                                  "Base64 encoded contents");
        }
        return Value(std::move(*content));
    });
    table["filebase64"] = function({text("path")}, s, [environment](const Arguments& a) -> CallResult {
        auto content = read(a[0], *environment);
        if (!content) return tl::unexpected(content.error());
        return Value(base64_encode(*content));
    });
    table["fileexists"] =
        function({text("path")}, Type::boolean(), [environment](const Arguments& a) -> CallResult {
            if (!environment->files_allowed()) return call_error(kRefused);
            return Value::boolean(environment->file_exists(absolute(a[0].as_string(), *environment)));
        });
    table["fileset"] = function({text("path"), text("pattern")}, Type::set(s),
                                [environment](const Arguments& a) { return file_set(a, *environment); });
}

}  // namespace drover::hcl
