// SPDX-License-Identifier: Apache-2.0
// YamlText: the characters of a YAML document and its scalars (quoted, literal, folded, plain). YamlReader in
// yaml_decode.cpp, the only user, builds the collections on it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "hcl/limits.h"
#include "hcl/value.h"

namespace drover::hcl {

// Thrown by YamlText and YamlReader, caught in yaml_decode(): so recursive a parser reads better without a
// check behind every call.
struct YamlError {
    std::string message;
};

class YamlText {
 protected:
    explicit YamlText(std::string_view text) : text_(text) {}

    // --- characters
    bool done() const { return at_ >= text_.size(); }
    char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
    bool blank_at(size_t ahead) const;
    int column() const;
    bool at_marker(std::string_view marker) const;
    bool at_end_marker() const { return done() || at_marker("...") || at_marker("---"); }
    [[noreturn]] void fail(const std::string& message) const;
    void skip_spaces();
    bool at_comment() const;
    // Spaces and a comment up to the end of the line; true when nothing else stood there.
    bool skip_rest_of_line();
    void skip_blank();
    Value plain_value(const std::string& text);
    // The line break of a quoted scalar: one becomes a space, more become one less.
    void fold(std::string& out);
    std::string single_quoted();
    std::string double_quoted();
    void escape(std::string& out);
    // | and >, with their indentation and chomping marks.
    Value block_scalar(int parent);
    static bool is_indented(const std::string& line);
    std::vector<std::string> block_lines(int parent, int indent);

    struct Deeper {
        explicit Deeper(YamlText& r) : reader(r) {
            if (++reader.depth_ > kNestingMax) reader.fail("nested too deeply");
        }
        ~Deeper() { --reader.depth_; }
        Deeper(const Deeper&) = delete;
        YamlText& reader;
    };

    std::string_view text_;
    size_t at_ = 0;
    uint32_t depth_ = 0;
};

}  // namespace drover::hcl
