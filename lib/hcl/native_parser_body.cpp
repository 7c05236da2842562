// SPDX-License-Identifier: Apache-2.0
// Bodies, attributes and blocks of the native syntax.
#include <fmt/format.h>

#include "hcl/native_parser.h"

namespace drover::hcl {

namespace {
constexpr const char* kItemRequired = "Argument or block definition required";
constexpr const char* kInvalidBlock = "Invalid block definition";
constexpr const char* kInvalidSingle = "Invalid single-argument block definition";
}  // namespace

std::shared_ptr<NativeBody> NativeParser::parse_file() {
    return parse_body(Tok::End, range(scanner_.pos(), scanner_.pos()));
}

// The scanner stands behind the opening brace; the closing one is read too.
std::shared_ptr<NativeBody> NativeParser::parse_body(Tok end, const Range& opened_at) {
    auto body = std::make_shared<NativeBody>();
    NewlineMode mode(*this, true);
    while (true) {
        Token token = peek();
        if (token.kind == end) {
            read();
            body->end_range = range(token);
            return body;
        }
        if (token.kind == Tok::End) {
            error("Unclosed configuration block",
                  "There is no closing brace for this block before the end of the file. This may be caused "
                  "by incorrect brace "
                  "nesting elsewhere in this file.",
                  opened_at);
            give_up();  // the blocks around this one are as unclosed
            body->end_range = range(token);
            return body;
        }
        if (token.kind == Tok::Newline || (hcl1_ && token.kind == Tok::Comma)) {
            read();
        } else if (token.kind == Tok::Identifier || (hcl1_ && token.kind == Tok::Quote)) {
            parse_item(*body);
        } else {
            int open_before = open_;
            if (!report_bad_token(token)) {
                if (token.kind == Tok::Quote)
                    error("Invalid argument name", "Argument names must not be quoted.", range(token));
                else
                    error(kItemRequired, "An argument or block definition is required here.", range(token));
            }
            if (token.kind != Tok::Quote) read();
            recover_after_item(open_before);
        }
    }
}

// A name; in Hcl1 it may be quoted, or several with dots.
std::optional<NativeParser::Name> NativeParser::parse_item_name() {
    Token first = read();
    if (first.kind == Tok::Quote) {
        std::optional<std::string> text = parse_plain_string("argument name");
        if (!text) return std::nullopt;
        return Name{std::move(*text), range(first.start, previous_end_)};
    }
    while (hcl1_ && peek().kind == Tok::Dot) {
        read();
        if (peek().kind != Tok::Identifier && peek().kind != Tok::Number) {
            error("Invalid argument name", "A name is expected behind the dot.", range(peek()));
            return std::nullopt;
        }
        read();
    }
    return Name{std::string(scanner_.text_between(first.start, previous_end_)),
                range(first.start, previous_end_)};
}

void NativeParser::parse_item(NativeBody& body) {
    int open_before = open_;
    std::optional<Name> name = parse_item_name();
    bool ok = false;
    if (name) {
        switch (peek().kind) {
            case Tok::Assign:
                ok = parse_attribute(body, *name, false);
                break;
            case Tok::Quote:
            case Tok::OpenBrace:
            case Tok::Identifier:
                ok = parse_block(body, *name);
                break;
            default:
                if (report_bad_token(peek())) break;
                error(kItemRequired,
                      "An argument or block definition is required here. To set an argument, use the equals "
                      "sign \"=\" to "
                      "introduce the argument value.",
                      name->range);
        }
    }
    if (!ok) recover_after_item(open_before);
}

bool NativeParser::parse_attribute(NativeBody& body, const Name& name, bool single_line) {
    read();  // =
    if (hcl1_ && peek().kind == Tok::OpenBrace) {
        Block block;
        block.type = name.text;
        block.type_range = block.def_range = name.range;
        return parse_block_content(body, std::move(block));
    }
    ExpressionPtr expression = parse_expression();
    if (!expression) return false;
    Attribute attribute;
    attribute.name = name.text;
    attribute.name_range = name.range;
    attribute.range = range(name.range.start, previous_end_);
    attribute.expression = std::move(expression);
    auto [same, is_new] = body.attribute_index.try_emplace(attribute.name, body.attributes.size());
    if (is_new) {
        body.attributes.push_back(std::move(attribute));
    } else {
        error("Attribute redefined",
              fmt::format("The argument {} was already set at {}. Each argument may be set only once.",
                          quote(attribute.name), body.attributes[same->second].name_range.text()),
              attribute.name_range);
    }
    return end_attribute(single_line);
}

bool NativeParser::end_attribute(bool single_line) {
    Token end = peek();
    if (!single_line) {
        if (end.kind == Tok::End) return true;
        if (end.kind == Tok::Newline || (hcl1_ && end.kind == Tok::Comma)) {
            read();
            return true;
        }
        bool next_follows =
            end.kind == Tok::CloseBrace || end.kind == Tok::Identifier || end.kind == Tok::Quote;
        if (hcl1_ && next_follows) return true;
        if (!report_bad_token(end)) {
            error("Missing newline after argument", "An argument definition must end with a newline.",
                  range(end));
        }
        return false;
    }
    if (end.kind == Tok::CloseBrace) return true;
    if (end.kind == Tok::Comma) {
        error(kInvalidSingle,
              "Single-line block syntax can include only one argument definition. To define multiple "
              "arguments, use the "
              "multi-line block syntax with one argument definition per line.",
              range(end));
    } else if (end.kind == Tok::Newline) {
        error(kInvalidSingle,
              "An argument definition on the same line as its containing block creates a single-line block "
              "definition, which "
              "must also be closed on the same line. Place the block's closing brace immediately after the "
              "argument definition.",
              range(end));
    } else if (!report_bad_token(end)) {
        error(kInvalidSingle,
              "A single-line block definition must end with a closing brace immediately after its single "
              "argument "
              "definition.",
              range(end));
    }
    return false;
}

bool NativeParser::parse_label(Block& block, const Token& token) {
    if (token.kind == Tok::Identifier) {
        read();
        block.labels.emplace_back(token.text);
        block.label_ranges.push_back(range(token));
        return true;
    }
    read();
    std::optional<std::string> text = parse_plain_string("block label");
    if (!text) return false;
    block.labels.push_back(std::move(*text));
    block.label_ranges.push_back(range(token.start, previous_end_));
    return true;
}

bool NativeParser::parse_block(NativeBody& body, const Name& type) {
    Block block;
    block.type = type.text;
    block.type_range = type.range;
    while (peek().kind != Tok::OpenBrace) {
        Token token = peek();
        if (token.kind == Tok::Quote || token.kind == Tok::Identifier) {
            if (!parse_label(block, token)) return false;
            continue;
        }
        if (token.kind == Tok::Assign) {
            error(kInvalidBlock,
                  "The equals sign \"=\" indicates an argument definition, and must not be used when "
                  "defining a block.",
                  range(token));
        } else if (token.kind == Tok::Newline) {
            error(kInvalidBlock,
                  "A block definition must have block content delimited by \"{\" and \"}\", starting on the "
                  "same line as the "
                  "block header.",
                  range(token));
        } else if (!report_bad_token(token)) {
            error(kInvalidBlock,
                  "Either a quoted string block label or an opening brace (\"{\") is expected here.",
                  range(token));
        }
        return false;
    }
    block.def_range = range(type.range.start, previous_end_);
    return parse_block_content(body, std::move(block));
}

// { ... } of a block whose head was read.
bool NativeParser::parse_block_content(NativeBody& body, Block block) {
    Nested nested(*this);
    if (!nested.ok) return false;
    Token open = read();
    Tok first = peek().kind;
    bool many_lines = hcl1_ || first == Tok::Newline || first == Tok::End || first == Tok::CloseBrace;
    int open_before = open_++;
    std::shared_ptr<NativeBody> content =
        many_lines ? parse_body(Tok::CloseBrace, range(open)) : parse_single_line_body();
    if (!content) return false;
    open_ = open_before;
    block.body = std::move(content);
    body.blocks.push_back(std::move(block));
    return end_block();
}

bool NativeParser::end_block() {
    Token end = peek();
    if (end.kind == Tok::Newline) read();
    if (end.kind == Tok::Newline || end.kind == Tok::End) return true;
    bool next_follows = end.kind == Tok::Comma || end.kind == Tok::CloseBrace ||
                        end.kind == Tok::Identifier || end.kind == Tok::Quote;
    if (hcl1_ && next_follows) return true;
    if (!report_bad_token(end)) {
        error("Missing newline after block definition", "A block definition must end with a newline.",
              range(end));
    }
    return false;
}

// name = expression }   with the closing brace; null after an error.
std::shared_ptr<NativeBody> NativeParser::parse_single_line_body() {
    auto body = std::make_shared<NativeBody>();
    Token name = peek();
    if (name.kind != Tok::Identifier) {
        if (!report_bad_token(name))
            error(kItemRequired, "An argument or block definition is required here.", range(name));
        return nullptr;
    }
    read();
    Tok next = peek().kind;
    if (next == Tok::Assign) {
        if (!parse_attribute(*body, {std::string(name.text), range(name)}, true)) return nullptr;
    } else if (next == Tok::Quote || next == Tok::OpenBrace || next == Tok::Identifier) {
        return fail(
            "Argument definition required",
            fmt::format(
                "A single-line block definition can contain only a single argument. If you meant to define "
                "argument {}, use an equals sign to assign it a value. To define a nested block, place it on "
                "a "
                "line of its own within its parent block.",
                quote(name.text)),
            range(name));
    } else {
        return fail(kItemRequired,
                    "An argument or block definition is required here. To set an argument, use the equals "
                    "sign \"=\" to introduce "
                    "the argument value.",
                    range(name));
    }
    body->end_range = range(read());
    return body;
}

}  // namespace drover::hcl
