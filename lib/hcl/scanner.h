// SPDX-License-Identifier: Apache-2.0
// Scanner: tokens of the native syntax, made one at a time because the parser decides whether text or a
// template follows. Also the one place that counts lines and columns. Used by the parser only.
#pragma once
#include <string>
#include <string_view>

#include "hcl/diagnostic.h"

namespace drover::hcl {

enum class Tok {
    End,
    Newline,
    Identifier,
    Number,
    Quote,
    Heredoc,
    OpenBrace,
    CloseBrace,
    OpenBracket,
    CloseBracket,
    OpenParen,
    CloseParen,
    Assign,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    And,
    Or,
    Bang,
    Question,
    Colon,
    DoubleColon,
    Comma,
    Dot,
    Ellipsis,
    FatArrow,
    Ampersand,
    Pipe,
    Tilde,
    Caret,  // bitwise operators HCL does not have
    Apostrophe,
    Backtick,
    Semicolon,
    BadUtf8,
    Invalid,
};

struct Token {
    Tok kind = Tok::End;
    std::string_view text;
    Pos start;
    Pos end;
};

class Scanner {
 public:
    Scanner(std::string_view text, std::string filename, Pos start);

    // The next token from where the scanner stands; white space and comments are skipped. A `//` or `#`
    // comment ends with its newline, which is a Newline token. For Quote and Heredoc only the introducer is
    // taken (`"`, `<<-EOT\n`).
    Token next();

    // Raw access, for templates.
    bool at_end() const { return offset_ >= text_.size(); }
    char peek(size_t ahead = 0) const {
        return offset_ + ahead < text_.size() ? text_[offset_ + ahead] : '\0';
    }
    bool looking_at(std::string_view what) const { return text_.substr(offset_, what.size()) == what; }
    void advance(size_t bytes);
    // Back to an earlier place: `pos` must come from this scanner.
    void reset(const Pos& pos);
    std::string_view rest() const { return text_.substr(offset_); }
    std::string_view text_between(const Pos& from, const Pos& to) const;
    const Pos& pos() const { return pos_; }
    const std::string& filename() const { return filename_; }
    Range range(const Pos& from, const Pos& to) const { return {filename_, from, to}; }
    Range range(const Token& token) const { return range(token.start, token.end); }

 private:
    bool skip_blank();  // true when a comment's newline was met
    Token take(Tok kind, size_t bytes);
    size_t identifier_length(size_t at) const;
    size_t number_length() const;

    std::string_view text_;
    std::string filename_;
    size_t base_ = 0;  // the byte number of text_[0]
    size_t offset_ = 0;
    Pos pos_;
    uint32_t previous_ = 0;  // code point, for counting columns
};

// The code point at text[at] and its length; length 0 when the bytes are not UTF-8.
struct CodePoint {
    uint32_t value = 0;
    size_t length = 0;
};
CodePoint decode_utf8(std::string_view text, size_t at);
void append_utf8(std::string& out, uint32_t code_point);
bool is_valid_utf8(std::string_view text);
// Whether `next` belongs to the same user-perceived character as `previous` (combining marks, joiners, ...).
bool joins_previous(uint32_t previous, uint32_t next);

}  // namespace drover::hcl
