// SPDX-License-Identifier: Apache-2.0
// Functions over strings. Lengths and positions count characters as users see them, not bytes.
#include <clocale>
#include <cwctype>

#include <fmt/format.h>
#include <re2/re2.h>

#include "base/strings.h"
#include "hcl/function_tables.h"
#include "hcl/scanner.h"

namespace drover::hcl {

std::vector<std::string> characters(std::string_view text) {
    std::vector<std::string> out;
    uint32_t previous = 0;
    for (size_t i = 0; i < text.size();) {
        CodePoint point = decode_utf8(text, i);
        if (point.length == 0) point = {0xFFFD, 1};
        if (out.empty() || !joins_previous(previous, point.value)) out.emplace_back();
        out.back() += text.substr(i, point.length);
        previous = point.value;
        i += point.length;
    }
    return out;
}

namespace {

// Case does not depend on where the program runs: always the plain Unicode mapping.
locale_t unicode_locale() {
    static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    return locale;
}

std::string map_case(std::string_view text, bool upper) {
    std::string out;
    for (size_t i = 0; i < text.size();) {
        CodePoint point = decode_utf8(text, i);
        if (point.length == 0) point = {0xFFFD, 1};
        auto c = static_cast<wint_t>(point.value);
        if (unicode_locale()) c = upper ? towupper_l(c, unicode_locale()) : towlower_l(c, unicode_locale());
        append_utf8(out, static_cast<uint32_t>(c));
        i += point.length;
    }
    return out;
}

CallResult title(const Arguments& a) {
    std::string out;
    bool word_start = true;
    std::string_view text = a[0].as_string();
    for (size_t i = 0; i < text.size();) {
        CodePoint point = decode_utf8(text, i);
        if (point.length == 0) point = {0xFFFD, 1};
        std::string_view one = text.substr(i, point.length);
        out += word_start ? map_case(one, true) : std::string(one);
        bool letter = point.value >= 0x80 || std::isalnum(static_cast<int>(point.value)) ||
                      point.value == '_' || point.value == '\'';
        word_start = !letter;
        i += point.length;
    }
    return Value(std::move(out));
}

CallResult substring(const Arguments& a) {
    std::vector<std::string> all = characters(a[0].as_string());
    std::optional<int64_t> offset = a[1].as_number().to_int64(), length = a[2].as_number().to_int64();
    if (!offset) return argument_error(1, "must be a whole number");
    if (!length) return argument_error(2, "must be a whole number");
    auto count = static_cast<int64_t>(all.size());
    int64_t start = *offset < 0 ? std::max<int64_t>(count + *offset, 0) : std::min(*offset, count);
    int64_t end = *length < 0 ? count : *length > count - start ? count : start + *length;
    std::string out;
    for (int64_t i = start; i < end; ++i) out += all[static_cast<size_t>(i)];
    return Value(std::move(out));
}

CallResult reverse_text(const Arguments& a) {
    std::vector<std::string> all = characters(a[0].as_string());
    std::string out;
    for (auto it = all.rbegin(); it != all.rend(); ++it) out += *it;
    return Value(std::move(out));
}

// Strips characters of `cutset` (or white space) from both ends.
std::string trim_any(const std::string& text, const std::vector<std::string>& cutset) {
    std::vector<std::string> all = characters(text);
    auto cut = [&](const std::string& c) {
        return std::find(cutset.begin(), cutset.end(), c) != cutset.end();
    };
    size_t from = 0, to = all.size();
    while (from < to && cut(all[from])) ++from;
    while (to > from && cut(all[to - 1])) --to;
    std::string out;
    for (size_t i = from; i < to; ++i) out += all[i];
    return out;
}

CallResult chomp(const Arguments& a) {
    std::string out = a[0].as_string();
    out.erase(out.find_last_not_of("\r\n") + 1);
    return Value(std::move(out));
}

CallResult indent(const Arguments& a) {
    std::optional<int64_t> spaces = a[0].as_number().to_int64();
    if (!spaces || *spaces < 0 || *spaces > 10000)
        return argument_error(0, "must be a whole number from 0 to 10000");
    const std::string& text = a[1].as_string();
    auto lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
    if (text.size() + lines * static_cast<size_t>(*spaces) > kFunctionBytesMax)
        return call_error("the result is too large");
    return Value(replace_all(text, "\n", "\n" + std::string(static_cast<size_t>(*spaces), ' ')));
}

CallResult join_texts(const Arguments& a) {
    std::vector<const std::string*> parts;
    size_t bytes = 0;
    for (size_t i = 1; i < a.size(); ++i) {
        for (const Value& element : a[i].as_sequence()) {
            if (element.is_null()) {
                return argument_error(
                    i, fmt::format("element {} is null; cannot concatenate null values", parts.size()));
            }
            parts.push_back(&element.as_string());
            bytes += element.as_string().size() + a[0].as_string().size();
        }
    }
    if (a.size() < 2) return call_error("at least one list is required");
    if (bytes > kFunctionBytesMax) return call_error("the result is too large");
    std::string out;
    for (size_t i = 0; i < parts.size(); ++i) {
        if (i > 0) out += a[0].as_string();
        out += *parts[i];
    }
    return Value(std::move(out));
}

CallResult split_text(const Arguments& a) {
    const std::string &separator = a[0].as_string(), &text = a[1].as_string();
    Value::Sequence out;
    if (separator.empty()) {
        for (size_t i = 0; i < text.size();) {
            size_t length = std::max<size_t>(decode_utf8(text, i).length, 1);
            out.push_back(Value(text.substr(i, length)));
            i += length;
        }
        return Value::list(Type::string(), std::move(out));
    }
    size_t start = 0;
    for (size_t at; (at = text.find(separator, start)) != std::string::npos; start = at + separator.size()) {
        out.push_back(Value(text.substr(start, at - start)));
    }
    out.push_back(Value(text.substr(start)));
    return Value::list(Type::string(), std::move(out));
}

CallResult replace_text(const Arguments& a) {
    const std::string &text = a[0].as_string(), &from = a[1].as_string(), &to = a[2].as_string();
    std::string out;
    auto too_large = [&] { return out.size() > kFunctionBytesMax; };
    size_t start = 0;
    if (from.empty()) {  // between all characters, and at both ends
        for (size_t i = 0; i <= text.size() && !too_large();) {
            size_t length = i < text.size() ? std::max<size_t>(decode_utf8(text, i).length, 1) : 1;
            out += to;
            out += text.substr(i, length);
            i += length;
        }
        start = text.size();
    } else {
        for (size_t at; (at = text.find(from, start)) != std::string::npos && !too_large();
             start = at + from.size()) {
            out += text.substr(start, at - start);
            out += to;
        }
    }
    if (too_large()) return call_error("the result is too large");
    return Value(out + text.substr(start));
}

// A replacement with $1, $name and ${name}, as Go's regexp writes them; `$$` is a dollar sign.
void expand_groups(const std::string& replacement, const re2::RE2& pattern,
                   const std::vector<re2::StringPiece>& groups, std::string& out) {
    const std::map<std::string, int>& names = pattern.NamedCapturingGroups();
    for (size_t i = 0; i < replacement.size(); ++i) {
        if (replacement[i] != '$' || i + 1 >= replacement.size()) {
            out += replacement[i];
            continue;
        }
        if (replacement[i + 1] == '$') {
            out += '$';
            ++i;
            continue;
        }
        bool braces = replacement[i + 1] == '{';
        size_t from = i + (braces ? 2 : 1), to = from;
        while (to < replacement.size() &&
               (std::isalnum(static_cast<unsigned char>(replacement[to])) || replacement[to] == '_'))
            ++to;
        std::string name = replacement.substr(from, to - from);
        if (name.empty() || (braces && (to >= replacement.size() || replacement[to] != '}'))) {
            out += '$';
            continue;
        }
        std::optional<int64_t> number = parse_int(name);
        auto named = names.find(name);
        if (!number && named != names.end()) number = named->second;
        if (number && *number >= 0 && static_cast<size_t>(*number) < groups.size()) {
            const re2::StringPiece& group = groups[static_cast<size_t>(*number)];
            out.append(group.data() ? group.data() : "", group.size());
        }
        i = braces ? to : to - 1;
    }
}

CallResult replace_pattern(const Arguments& a) {
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(8 << 20);
    re2::RE2 pattern(a[1].as_string(), options);
    if (!pattern.ok()) return argument_error(1, "invalid regular expression: " + pattern.error());
    const std::string& text = a[0].as_string();
    re2::StringPiece whole(text);
    std::vector<re2::StringPiece> groups(static_cast<size_t>(pattern.NumberOfCapturingGroups()) + 1);
    std::string out;
    size_t copied = 0, at = 0;
    while (at <= text.size() && pattern.Match(whole, at, text.size(), re2::RE2::UNANCHORED, groups.data(),
                                              static_cast<int>(groups.size()))) {
        auto start = static_cast<size_t>(groups[0].data() - text.data());
        out += text.substr(copied, start - copied);
        expand_groups(a[2].as_string(), pattern, groups, out);
        copied = start + groups[0].size();
        if (out.size() > kFunctionBytesMax) return call_error("the result is too large");
        at = copied;
        if (groups[0].empty()) {  // go on behind the next character
            size_t length = at < text.size() ? std::max<size_t>(decode_utf8(text, at).length, 1) : 1;
            out += text.substr(std::min(at, text.size()), length);
            copied = at = at + length;
        }
    }
    return Value(out + (copied < text.size() ? text.substr(copied) : ""));
}

CallResult sorted(const Arguments& a) {
    Value::Sequence out = a[0].as_sequence();
    for (const Value& value : out) {
        if (value.is_null())
            return argument_error(0, "given list element is null; a null string cannot be sorted");
    }
    std::sort(out.begin(), out.end(),
              [](const Value& x, const Value& y) { return x.as_string() < y.as_string(); });
    return Value::list(Type::string(), std::move(out));
}

}  // namespace

std::string to_upper_text(std::string_view text) {
    return map_case(text, true);
}
std::string to_lower_text(std::string_view text) {
    return map_case(text, false);
}

void add_string_functions(Functions& table) {
    Type s = Type::string();
    static const std::vector<std::string> kSpaces = {" ",  "\t",   "\n",       "\v",       "\f",
                                                     "\r", "\r\n", "\xC2\x85", "\xC2\xA0", "\xE2\x80\xA8"};
    table["upper"] = function({text("str")}, s, [](const Arguments& a) -> CallResult {
        return Value(to_upper_text(a[0].as_string()));
    });
    table["lower"] = function({text("str")}, s, [](const Arguments& a) -> CallResult {
        return Value(to_lower_text(a[0].as_string()));
    });
    table["title"] = function({text("str")}, s, title);
    table["strlen"] = function({text("str")}, Type::number(), [](const Arguments& a) -> CallResult {
        return Value::number(static_cast<int64_t>(characters(a[0].as_string()).size()));
    });
    table["substr"] = function({text("str"), number("offset"), number("length")}, s, substring);
    table["strrev"] = function({text("str")}, s, reverse_text);
    table["trim"] = function({text("str"), text("cutset")}, s, [](const Arguments& a) -> CallResult {
        return Value(trim_any(a[0].as_string(), characters(a[1].as_string())));
    });
    table["trimspace"] = function({text("str")}, s, [](const Arguments& a) -> CallResult {
        return Value(trim_any(a[0].as_string(), kSpaces));
    });
    table["trimprefix"] = function({text("str"), text("prefix")}, s, [](const Arguments& a) -> CallResult {
        bool has = starts_with(a[0].as_string(), a[1].as_string());
        return Value(has ? a[0].as_string().substr(a[1].as_string().size()) : a[0].as_string());
    });
    table["trimsuffix"] = function({text("str"), text("suffix")}, s, [](const Arguments& a) -> CallResult {
        const std::string &all = a[0].as_string(), &suffix = a[1].as_string();
        return Value(ends_with(all, suffix) ? all.substr(0, all.size() - suffix.size()) : all);
    });
    table["chomp"] = function({text("str")}, s, chomp);
    table["indent"] = function({number("spaces"), text("str")}, s, indent);
    table["join"] = variadic({text("separator")}, texts("lists"), s, join_texts);
    table["split"] = function({text("separator"), text("str")}, Type::list(s), split_text);
    table["replace"] = function({text("str"), text("substr"), text("replace")}, s, replace_text);
    table["regex_replace"] = function({text("str"), text("pattern"), text("replace")}, s, replace_pattern);
    table["sort"] = function({texts("list")}, Type::list(s), sorted);
}

}  // namespace drover::hcl
