// SPDX-License-Identifier: Apache-2.0
// Tokens, errors and recovery of the native parser.
#include "hcl/native_parser.h"

#include <fmt/format.h>

#include "hcl/limits.h"

namespace drover::hcl {

NativeParser::NativeParser(std::string_view text, const std::string& filename, Diagnostics& diagnostics,
                           Pos start, Dialect dialect)
    : scanner_(text, filename, start),
      diagnostics_(diagnostics),
      before_ahead_(start),
      previous_end_(start),
      hcl1_(dialect == Dialect::Hcl1) {}

const Token& NativeParser::peek() {
    if (!ahead_) {
        before_ahead_ = scanner_.pos();
        ahead_ = scanner_.next();
        while (ahead_->kind == Tok::Newline && !newlines_seen_.back()) ahead_ = scanner_.next();
    }
    return *ahead_;
}

Token NativeParser::read() {
    Token token = peek();
    ahead_.reset();
    previous_end_ = token.end;
    return token;
}

void NativeParser::unpeek() {
    if (!ahead_) return;
    scanner_.reset(before_ahead_);
    ahead_.reset();
}

NativeParser::Nested::Nested(NativeParser& p) : parser(p), ok(++p.nesting_ <= kNestingMax) {
    if (ok || parser.gave_up_) return;
    parser.error(
        "Nesting too deep",
        fmt::format("Blocks, brackets and templates may be nested at most {} levels deep.", kNestingMax),
        parser.range(parser.scanner_.pos(), parser.scanner_.pos()));
    parser.give_up();
}

void NativeParser::error(std::string summary, std::string detail, Range subject) {
    if (gave_up_) return;
    diagnostics_.error(std::move(summary), std::move(detail), std::move(subject));
    if (diagnostics_.error_count() >= kDiagnosticsMax) give_up();
}

std::nullptr_t NativeParser::fail(std::string summary, std::string detail, Range subject) {
    error(std::move(summary), std::move(detail), std::move(subject));
    return nullptr;
}

void NativeParser::give_up() {
    gave_up_ = true;
    ahead_.reset();
    scanner_.advance(scanner_.rest().size());
}

ExpressionPtr NativeParser::checked(ExpressionPtr node) {
    if (node->depth() <= kTreeDepthMax) return node;
    return fail("Expression too complex",
                fmt::format("Expressions may be at most {} operations deep.", kTreeDepthMax), node->range());
}

void NativeParser::recover_after_item(int open_before) {
    unpeek();
    int depth = open_ - open_before;
    open_ = open_before;
    while (true) {
        Pos before = scanner_.pos();
        Token token = scanner_.next();
        previous_end_ = token.end;
        switch (token.kind) {
            case Tok::End:
                return;
            case Tok::Newline:
                if (depth <= 0) return;
                break;
            case Tok::OpenBrace:
            case Tok::OpenBracket:
            case Tok::OpenParen:
                ++depth;
                break;
            case Tok::CloseBrace:
                if (depth <= 0) {  // it closes the block the item stands in
                    scanner_.reset(before);
                    return;
                }
                [[fallthrough]];
            case Tok::CloseBracket:
            case Tok::CloseParen:
                depth = std::max(depth - 1, 0);
                break;
            case Tok::Quote:
                skip_quoted();
                break;
            case Tok::Heredoc:
                skip_heredoc(token);
                break;
            default:
                break;
        }
    }
}

void NativeParser::skip_quoted() {
    // Looks this far for the closing quote; beyond, the string is taken to end with its line.
    constexpr size_t kLookAhead = 64u << 10;
    Pos start = scanner_.pos();
    std::string_view rest = scanner_.rest().substr(0, kLookAhead);
    std::vector<char> inside{'"'};
    size_t i = 0;
    while (i < rest.size() && !inside.empty()) {
        char c = rest[i];
        if (inside.back() == '"') {
            if (c == '\n' && inside.size() == 1) break;
            if (c == '\\')
                ++i;
            else if (c == '"')
                inside.pop_back();
            else if ((c == '$' || c == '%') && i + 1 < rest.size() && rest[i + 1] == '{') {
                bool escaped = i > 0 && rest[i - 1] == c;
                if (!escaped) inside.push_back('{');
                ++i;
            }
        } else if (c == '"') {
            inside.push_back('"');
        } else if (c == '{') {
            inside.push_back('{');
        } else if (c == '}') {
            inside.pop_back();
        }
        ++i;
    }
    if (inside.empty()) {
        scanner_.advance(i);
        return;
    }
    size_t line = scanner_.rest().find('\n');
    scanner_.reset(start);
    scanner_.advance(line == std::string_view::npos ? scanner_.rest().size() : line);
}

namespace {

std::string_view marker_of(std::string_view introducer) {
    introducer.remove_prefix(introducer.size() > 2 && introducer[2] == '-' ? 3 : 2);
    while (!introducer.empty() && (introducer.back() == '\n' || introducer.back() == '\r'))
        introducer.remove_suffix(1);
    return introducer;
}

}  // namespace

void NativeParser::skip_heredoc(const Token& introducer) {
    std::string_view marker = marker_of(introducer.text);
    while (!scanner_.at_end()) {
        bool last = at_heredoc_end(marker);
        size_t line = scanner_.rest().find('\n');
        if (line == std::string_view::npos) line = scanner_.rest().size();
        scanner_.advance(last ? line : line + 1);
        if (last) return;
    }
}

bool NativeParser::report_bad_token(const Token& token) {
    switch (token.kind) {
        case Tok::Apostrophe:
            error("Invalid character",
                  "Single quotes are not valid. Use double quotes (\") to enclose strings.", range(token));
            return true;
        case Tok::Backtick:
            error("Invalid character",
                  "The \"`\" character is not valid. To create a multi-line string, use the \"heredoc\" "
                  "syntax, like \"<<EOT\".",
                  range(token));
            return true;
        case Tok::Semicolon:
            error("Invalid character",
                  "The \";\" character is not valid. Use newlines to separate arguments and blocks, and "
                  "commas to separate "
                  "items in collection values.",
                  range(token));
            return true;
        case Tok::BadUtf8:
            error("Invalid character encoding",
                  "All input files must be UTF-8 encoded. Ensure that UTF-8 encoding is selected in your "
                  "editor.",
                  range(token));
            return true;
        case Tok::Invalid:
            error("Invalid character", "This character is not used within the language.", range(token));
            return true;
        case Tok::Ampersand:
        case Tok::Pipe:
        case Tok::Tilde:
        case Tok::Caret: {
            std::string hint;
            if (token.kind == Tok::Ampersand) hint = " Did you mean boolean AND (\"&&\")?";
            if (token.kind == Tok::Pipe) hint = " Did you mean boolean OR (\"||\")?";
            if (token.kind == Tok::Tilde) hint = " Did you mean boolean NOT (\"!\")?";
            error("Unsupported operator", "Bitwise operators are not supported." + hint, range(token));
            return true;
        }
        default:
            return false;
    }
}

}  // namespace drover::hcl
