// SPDX-License-Identifier: Apache-2.0
// The pieces of a template: white space trimmed (~ and <<-), then made into a tree, with the ends of
// directives checked.
#include <algorithm>

#include <fmt/format.h>

#include "hcl/native_parser.h"

namespace drover::hcl {

namespace {

constexpr std::string_view kSpace = " \t\n\v\f\r";

bool is_blank(std::string_view text) {
    return text.find_first_not_of(kSpace) == std::string_view::npos;
}

bool ends_line(const std::string& text) {
    return !text.empty() && text.back() == '\n';
}

}  // namespace

void NativeParser::trim_pieces(std::vector<Piece>& pieces) {
    for (size_t i = 0; i < pieces.size(); ++i) {
        if (pieces[i].kind == Piece::Kind::Text) continue;
        if (pieces[i].trim_before && i > 0 && pieces[i - 1].kind == Piece::Kind::Text) {
            std::string& text = pieces[i - 1].text;
            text.erase(text.find_last_not_of(kSpace) + 1);
        }
        if (pieces[i].trim_after && i + 1 < pieces.size() && pieces[i + 1].kind == Piece::Kind::Text) {
            std::string& text = pieces[i + 1].text;
            text.erase(0, std::min(text.find_first_not_of(kSpace), text.size()));
        }
    }
}

void NativeParser::remove_indentation(std::vector<Piece>& pieces) {
    size_t least = SIZE_MAX;
    bool line_start = true;
    std::vector<std::string*> first_texts;
    for (Piece& piece : pieces) {
        bool is_text = piece.kind == Piece::Kind::Text;
        if (std::exchange(line_start, false)) {
            size_t spaces = 0;
            if (is_text && is_blank(piece.text) && ends_line(piece.text)) {
                spaces = SIZE_MAX;  // a blank line says nothing about the indentation
            } else if (is_text) {
                spaces = std::min(piece.text.find_first_not_of(kSpace), piece.text.size());
                first_texts.push_back(&piece.text);
            }
            least = std::min(least, spaces);
        }
        if (is_text && ends_line(piece.text)) line_start = true;
    }
    for (std::string* text : first_texts) text->erase(0, std::min(least, text->size()));
}

ExpressionPtr NativeParser::build_template(std::vector<Piece>& pieces, const Range& whole) {
    if (pieces.size() == 1 && pieces[0].kind == Piece::Kind::Value) {
        return make<ast::TemplateWrap>(std::move(pieces[0].expression), whole);
    }
    std::vector<ExpressionPtr> parts;
    size_t at = 0;
    if (!build_parts(pieces, at, parts)) return nullptr;
    if (at < pieces.size()) {
        const char* found = pieces[at].kind == Piece::Kind::Else    ? "else"
                            : pieces[at].kind == Piece::Kind::EndIf ? "endif"
                                                                    : "endfor";
        return fail(fmt::format("Unexpected {} directive", found),
                    fmt::format("There is no {} directive that this {} could belong to.",
                                pieces[at].kind == Piece::Kind::EndFor ? "for" : "if", found),
                    pieces[at].range);
    }
    return make<ast::Template>(std::move(parts), whole);
}

bool NativeParser::build_parts(std::vector<Piece>& pieces, size_t& at, std::vector<ExpressionPtr>& parts) {
    while (at < pieces.size()) {
        Piece& piece = pieces[at];
        ExpressionPtr part;
        switch (piece.kind) {
            case Piece::Kind::Text:
                ++at;
                if (piece.text.empty()) continue;
                part = std::make_shared<const ast::Literal>(Value(std::move(piece.text)), piece.range);
                break;
            case Piece::Kind::Value:
                ++at;
                part = std::move(piece.expression);
                break;
            case Piece::Kind::If:
                part = build_if(pieces, at);
                break;
            case Piece::Kind::For:
                part = build_for(pieces, at);
                break;
            default:
                return true;  // the end of the directive around these parts
        }
        if (!part) return false;
        parts.push_back(std::move(part));
    }
    return true;
}

ExpressionPtr NativeParser::build_if(std::vector<Piece>& pieces, size_t& at) {
    Nested nested(*this);
    if (!nested.ok) return nullptr;
    Piece& opening = pieces[at++];
    std::vector<ExpressionPtr> yes, no;
    if (!build_parts(pieces, at, yes)) return nullptr;
    if (at < pieces.size() && pieces[at].kind == Piece::Kind::Else) {
        ++at;
        if (!build_parts(pieces, at, no)) return nullptr;
    }
    if (at >= pieces.size()) {
        return fail("Unterminated template if", "There is no endif directive for this if directive.",
                    opening.range);
    }
    if (pieces[at].kind != Piece::Kind::EndIf) {
        return fail(
            "Unexpected template directive",
            fmt::format("Expecting an endif directive for the if directive at {}.", opening.range.text()),
            pieces[at].range);
    }
    Range whole = Range::between(opening.range, pieces[at++].range);
    ExpressionPtr if_yes = make<ast::Template>(std::move(yes), whole);
    ExpressionPtr if_no = make<ast::Template>(std::move(no), whole);
    if (!if_yes || !if_no) return nullptr;
    return make<ast::Conditional>(std::move(opening.expression), std::move(if_yes), std::move(if_no), whole);
}

ExpressionPtr NativeParser::build_for(std::vector<Piece>& pieces, size_t& at) {
    Nested nested(*this);
    if (!nested.ok) return nullptr;
    Piece& opening = pieces[at++];
    std::vector<ExpressionPtr> body;
    if (!build_parts(pieces, at, body)) return nullptr;
    if (at >= pieces.size()) {
        return fail("Unterminated template for", "There is no endfor directive for this for directive.",
                    opening.range);
    }
    if (pieces[at].kind != Piece::Kind::EndFor) {
        return fail(
            "Unexpected template directive",
            fmt::format("Expecting an endfor directive for the for directive at {}.", opening.range.text()),
            pieces[at].range);
    }
    Range whole = Range::between(opening.range, pieces[at++].range);
    ExpressionPtr value = make<ast::Template>(std::move(body), whole);
    if (!value) return nullptr;
    auto loop = std::make_shared<ast::For>(whole, ast::depth_above(opening.expression, value));
    loop->key_name = std::move(opening.key_name);
    loop->value_name = std::move(opening.value_name);
    loop->collection = std::move(opening.expression);
    loop->value = std::move(value);
    ExpressionPtr checked_loop = checked(std::move(loop));
    return checked_loop ? make<ast::TemplateJoin>(std::move(checked_loop)) : nullptr;
}

}  // namespace drover::hcl
