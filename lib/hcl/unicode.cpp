// SPDX-License-Identifier: Apache-2.0
// UTF-8 and what a user sees as one character: enough of Unicode for columns, strlen() and substr().
// Declared in scanner.h. Not the whole of the segmentation rules: conjoining Hangul and flags are treated
// simply.
#include "hcl/scanner.h"

namespace drover::hcl {

CodePoint decode_utf8(std::string_view text, size_t at) {
    auto byte = [&](size_t i) -> uint32_t {
        return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0;
    };
    uint32_t first = byte(0);
    if (at >= text.size()) return {};
    if (first < 0x80) return {first, 1};
    size_t length = first >= 0xF0 && first < 0xF5 ? 4 : first >= 0xE0 ? 3 : first >= 0xC2 ? 2 : 0;
    if (length == 0 || first >= 0xF5) return {};
    uint32_t value = first & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0) != 0x80) return {};
        value = value << 6 | (byte(i) & 0x3F);
    }
    bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
    if (overlong || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) return {};
    return {value, length};
}

void append_utf8(std::string& out, uint32_t c) {
    if (c >= 0xD800 && c < 0xE000) c = 0xFFFD;
    if (c < 0x80) {
        out += static_cast<char>(c);
    } else if (c < 0x800) {
        out += static_cast<char>(0xC0 | c >> 6);
        out += static_cast<char>(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        out += static_cast<char>(0xE0 | c >> 12);
        out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
        out += static_cast<char>(0x80 | (c & 0x3F));
    } else {
        out += static_cast<char>(0xF0 | (c >> 18 & 0x07));
        out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
        out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
        out += static_cast<char>(0x80 | (c & 0x3F));
    }
}

bool is_valid_utf8(std::string_view text) {
    for (size_t i = 0; i < text.size();) {
        size_t length = decode_utf8(text, i).length;
        if (length == 0) return false;
        i += length;
    }
    return true;
}

bool joins_previous(uint32_t previous, uint32_t c) {
    struct Span {
        uint32_t first, last;
    };
    static constexpr Span kExtending[] = {
        {0x0300, 0x036F},  {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x05BF, 0x05BF},   {0x05C1, 0x05C2},
        {0x05C4, 0x05C5},  {0x0610, 0x061A}, {0x064B, 0x065F}, {0x0670, 0x0670},   {0x06D6, 0x06DC},
        {0x06DF, 0x06E4},  {0x0900, 0x0903}, {0x093A, 0x093C}, {0x093E, 0x094F},   {0x0981, 0x0983},
        {0x09BC, 0x09BC},  {0x09BE, 0x09CD}, {0x0E31, 0x0E31}, {0x0E34, 0x0E3A},   {0x0E47, 0x0E4E},
        {0x1AB0, 0x1AFF},  {0x1DC0, 0x1DFF}, {0x200D, 0x200D}, {0x20D0, 0x20FF},   {0x302A, 0x302F},
        {0x3099, 0x309A},  {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0x1F3FB, 0x1F3FF}, {0xE0020, 0xE007F},
        {0xE0100, 0xE01EF}};
    if (previous == 0 || previous == '\n') return false;
    if (previous == '\r' && c == '\n') return true;
    if (previous == 0x200D && c >= 0x2190) return true;  // a joined emoji
    for (const Span& span : kExtending) {
        if (c < span.first) return false;
        if (c <= span.last) return true;
    }
    return false;
}

}  // namespace drover::hcl
