// SPDX-License-Identifier: Apache-2.0
// The detectors' shared helpers.
#include "fingerprint/detector.h"

#include <set>

#include "base/files.h"
#include "base/strings.h"

namespace drover::fingerprint {

std::string read_line(const Input& input, std::string_view path) {
    auto text = read_file(input.root + std::string(path), 1 << 20);
    return text ? std::string(trim(*text)) : "";
}

Result<std::vector<uint32_t>> parse_id_list(std::string_view text) {
    constexpr uint64_t kIdMax = 65535;
    std::set<uint32_t> ids;
    if (trim(text).empty()) return std::vector<uint32_t>();
    for (const auto& part : split(text, ',')) {
        const auto dash = part.find('-');
        const auto first = parse_uint(trim(part.substr(0, dash)));
        const auto last = dash == std::string::npos ? first : parse_uint(trim(part.substr(dash + 1)));
        if (!first || !last || *first > *last || *last > kIdMax) {
            return make_error(Code::InvalidArgument,
                              "\"{}\" is no range of ids (expected for example \"0-3,7\")", part);
        }
        for (uint64_t id = *first; id <= *last; ++id) ids.insert(static_cast<uint32_t>(id));
    }
    return std::vector<uint32_t>(ids.begin(), ids.end());
}

std::string format_id_list(const std::vector<uint32_t>& ids) {
    std::string out;
    for (size_t i = 0; i < ids.size();) {
        size_t end = i + 1;
        while (end < ids.size() && ids[end] == ids[end - 1] + 1) ++end;
        if (!out.empty()) out += ',';
        out += end - i == 1 ? fmt::format("{}", ids[i]) : fmt::format("{}-{}", ids[i], ids[end - 1]);
        i = end;
    }
    return out;
}

}  // namespace drover::fingerprint
