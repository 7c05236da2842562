// SPDX-License-Identifier: Apache-2.0
#include "drover/types.h"

#include <fmt/format.h>

#include "drover/units.h"
#include "drover/value.h"

namespace drover::sdk {

std::string Attribute::text() const {
    struct Text {
        std::string operator()(std::monostate) const { return ""; }
        std::string operator()(bool v) const { return v ? "true" : "false"; }
        std::string operator()(int64_t v) const { return fmt::format("{}", v); }
        // Shortest decimal form without an exponent or a trailing ".0": 1.0 is "1".
        std::string operator()(double v) const {
            std::string text = fmt::format("{}", v);
            if (text.find_first_of("ein") != std::string::npos) return fmt::format("{:.0f}", v);
            if (text.ends_with(".0")) text.resize(text.size() - 2);
            return text;
        }
        std::string operator()(const std::string& v) const { return v; }
    };
    return std::visit(Text{}, value) + unit;
}

bool unit::known(std::string_view text) {
    if (text.ends_with("/s")) {
        text.remove_suffix(2);
    } else {
        for (const char* other : {kMHz, kGHz, kMilliwatt, kWatt, kKilowatt, kMegawatt, kGigawatt})
            if (text == other) return true;
    }
    for (const char* bytes : {kKiB, kMiB, kGiB, kTiB, kPiB, kEiB, kKB, "KB", kMB, kGB, kTB, kPB, kEB})
        if (text == bytes) return true;
    return false;
}

std::string_view Value::kind_name() const {
    static constexpr std::string_view kNames[] = {"null", "a boolean", "a number", "a number",
                                                  "text", "a list",    "a map"};
    return kNames[data_.index()];
}

}  // namespace drover::sdk
