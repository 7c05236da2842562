// SPDX-License-Identifier: Apache-2.0
#include "server-lite/scheduler/version.h"

#include "base/strings.h"

namespace drover::server {
namespace {

struct Version {
    std::vector<uint64_t> segments;
    std::vector<std::string> prerelease;  // dot-separated parts
    size_t given = 0;                     // segments that were written
};

bool is_word(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '~';
    });
}

std::optional<Version> parse(std::string_view text, VersionRules rules) {
    text = trim(text);
    if (rules == VersionRules::Lenient && !text.empty() && (text[0] == 'v' || text[0] == 'V'))
        text.remove_prefix(1);
    if (auto plus = text.find('+'); plus != text.npos) {
        if (!is_word(text.substr(plus + 1))) return std::nullopt;
        text = text.substr(0, plus);
    }
    Version version;
    std::string_view core = text, pre;
    if (auto end = text.find_first_not_of("0123456789."); end != text.npos) {
        core = text.substr(0, end);
        pre = text.substr(end);
        if (pre[0] == '-')
            pre.remove_prefix(1);
        else if (rules == VersionRules::Semver)
            return std::nullopt;
        if (!is_word(pre)) return std::nullopt;
    }
    for (const auto& part : split(core, '.')) {
        auto number = parse_uint(part);
        if (!number) return std::nullopt;
        version.segments.push_back(*number);
    }
    version.given = version.segments.size();
    if (version.given == 0 || (rules == VersionRules::Semver && version.given != 3)) return std::nullopt;
    while (version.segments.size() < 3) version.segments.push_back(0);
    if (!pre.empty()) version.prerelease = split(pre, '.');
    return version;
}

int compare_part(const std::string& a, const std::string& b) {
    auto x = parse_uint(a), y = parse_uint(b);
    if (x && y) return *x < *y ? -1 : *x > *y;
    if (x) return -1;  // numbers are lower than words
    if (y) return 1;
    const int order = a.compare(b);
    return order < 0 ? -1 : order > 0;
}

int compare(const Version& a, const Version& b) {
    const size_t n = std::max(a.segments.size(), b.segments.size());
    for (size_t i = 0; i < n; ++i) {
        const uint64_t x = i < a.segments.size() ? a.segments[i] : 0,
                       y = i < b.segments.size() ? b.segments[i] : 0;
        if (x != y) return x < y ? -1 : 1;
    }
    if (a.prerelease.empty() != b.prerelease.empty()) return a.prerelease.empty() ? 1 : -1;
    for (size_t i = 0; i < std::max(a.prerelease.size(), b.prerelease.size()); ++i) {
        if (i >= a.prerelease.size()) return -1;
        if (i >= b.prerelease.size()) return 1;
        if (int order = compare_part(a.prerelease[i], b.prerelease[i])) return order;
    }
    return 0;
}

// Lenient: a pre-release is only matched by a constraint that names one, of the same release.
bool prerelease_allowed(const Version& v, const Version& c) {
    if (v.prerelease.empty()) return true;
    if (c.prerelease.empty()) return false;
    return v.segments == c.segments;
}

// ~> 1.2.3: at least that, and all segments but the last written one equal.
bool pessimistic(const Version& v, const Version& c) {
    if (compare(v, c) < 0) return false;
    const size_t fixed = c.given > 0 ? c.given - 1 : 0;
    for (size_t i = 0; i < fixed; ++i)
        if (i >= v.segments.size() || v.segments[i] != c.segments[i]) return false;
    return v.given >= c.given || fixed < v.segments.size();
}

bool one_matches(const Version& v, std::string_view constraint, VersionRules rules) {
    constraint = trim(constraint);
    std::string_view op = "=";
    for (std::string_view known : {">=", "<=", "!=", "~>", "=", ">", "<"})
        if (constraint.starts_with(known)) {
            op = known;
            constraint.remove_prefix(known.size());
            break;
        }
    auto wanted = parse(constraint, rules);
    if (!wanted) {
        // Semver constraints may leave segments out ("> 1.2").
        if (rules == VersionRules::Semver) wanted = parse(constraint, VersionRules::Lenient);
        if (!wanted) return false;
    }
    const int order = compare(v, *wanted);
    if (op == "=") return order == 0;
    if (op == "!=") return order != 0;
    if (rules == VersionRules::Lenient && !prerelease_allowed(v, *wanted)) return false;
    if (op == ">=") return order >= 0;
    if (op == "<=") return order <= 0;
    if (op == ">") return order > 0;
    if (op == "<") return order < 0;
    return pessimistic(v, *wanted);
}

}  // namespace

bool version_matches(std::string_view version, std::string_view constraint, VersionRules rules) {
    auto parsed = parse(version, rules);
    if (!parsed || trim(constraint).empty()) return false;
    for (const auto& part : split(constraint, ','))
        if (!one_matches(*parsed, part, rules)) return false;
    return true;
}

}  // namespace drover::server
