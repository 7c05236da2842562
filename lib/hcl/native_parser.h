// SPDX-License-Identifier: Apache-2.0
// NativeParser: recursive descent over the scanner. One object parses one text; parser.cpp is its only
// caller. A method that returns an ExpressionPtr returns null after adding an error; the item it stands in is
// then given up and parsing goes on behind it (recover_after_item), so that one run reports the errors of
// several items.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hcl/ast.h"
#include "hcl/native_body.h"
#include "hcl/scanner.h"

namespace drover::hcl {

// Hcl1 is what agents' configurations are written in, see parse_hcl1() in parser.h.
enum class Dialect { Hcl2, Hcl1 };

class NativeParser {
 public:
    NativeParser(std::string_view text, const std::string& filename, Diagnostics& diagnostics, Pos start = {},
                 Dialect dialect = Dialect::Hcl2);

    std::shared_ptr<NativeBody> parse_file();
    ExpressionPtr parse_whole_expression();  // then nothing may follow
    ExpressionPtr parse_whole_template();

 private:
    // --- tokens
    const Token& peek();
    Token read();
    void unpeek();  // forget the token looked at: raw text or another newline mode follows
    // While one lives, Newline tokens are seen or skipped.
    struct NewlineMode {
        NewlineMode(NativeParser& p, bool seen) : parser(p) {
            parser.unpeek();
            parser.newlines_seen_.push_back(seen);
        }
        ~NewlineMode() {
            parser.unpeek();
            parser.newlines_seen_.pop_back();
        }
        NewlineMode(const NewlineMode&) = delete;
        NativeParser& parser;
    };
    // Counts nesting; when too deep, everything that follows is given up.
    struct Nested {
        explicit Nested(NativeParser& p);
        ~Nested() { --parser.nesting_; }
        Nested(const Nested&) = delete;
        NativeParser& parser;
        bool ok;
    };

    // --- errors
    void error(std::string summary, std::string detail, Range subject);
    std::nullptr_t fail(std::string summary, std::string detail, Range subject);
    std::nullptr_t fail_here(std::string summary, std::string detail) {
        return fail(std::move(summary), std::move(detail), range(peek()));
    }
    void give_up();
    void recover_after_item(int open_before);
    void skip_quoted();  // the scanner stands behind the opening quote
    void skip_heredoc(const Token& introducer);
    bool report_bad_token(const Token& token);  // characters that are wrong everywhere

    // --- bodies (native_parser_body.cpp)
    struct Name {
        std::string text;
        Range range;
    };
    std::shared_ptr<NativeBody> parse_body(Tok end, const Range& opened_at);
    void parse_item(NativeBody& body);
    std::optional<Name> parse_item_name();
    bool parse_attribute(NativeBody& body, const Name& name, bool single_line);
    bool end_attribute(bool single_line);
    bool parse_block(NativeBody& body, const Name& type);
    bool parse_block_content(NativeBody& body, Block block);
    bool end_block();
    bool parse_label(Block& block, const Token& token);
    std::shared_ptr<NativeBody> parse_single_line_body();

    // --- expressions (native_parser_expression.cpp)
    ExpressionPtr parse_expression();
    ExpressionPtr parse_binary(size_t level);
    ExpressionPtr parse_with_steps();
    ExpressionPtr parse_steps(ExpressionPtr from);
    ExpressionPtr parse_dot(ExpressionPtr from);
    ExpressionPtr parse_bracket(ExpressionPtr from);
    ExpressionPtr parse_attribute_splat(ExpressionPtr from, const Token& dot);
    ExpressionPtr parse_legacy_index(ExpressionPtr from, const Token& dot);
    ExpressionPtr parse_term();
    ExpressionPtr parse_number();
    ExpressionPtr parse_name();
    ExpressionPtr parse_call(const Token& name);
    ExpressionPtr parse_parentheses();
    ExpressionPtr parse_unary();
    ExpressionPtr parse_tuple();
    ExpressionPtr parse_object();
    bool parse_object_item(ast::ObjectCons::Items& items);
    ExpressionPtr parse_for(const Token& open, Tok close);
    bool parse_for_intro(ast::For& loop);
    bool expect_close(const Token& open, Tok close, const char* summary, const char* detail);

    // --- templates (native_parser_template.cpp)
    enum class TemplateForm { Quoted, Heredoc, Bare };
    struct Piece {
        enum class Kind { Text, Value, If, Else, EndIf, For, EndFor };
        Kind kind = Kind::Text;
        std::string text;
        ExpressionPtr expression;  // Value, the condition of If, the collection of For
        std::string key_name, value_name;
        bool trim_before = false, trim_after = false;
        Range range;
    };
    ExpressionPtr parse_quoted();
    ExpressionPtr parse_heredoc();
    std::optional<std::string> parse_plain_string(
        const char* what);  // a quoted string without templates (labels)
    bool parse_pieces(TemplateForm form, std::string_view marker, std::vector<Piece>& pieces);
    bool parse_escape(std::string& text);
    bool copy_interpolation(std::string& text);  // "${ ... }" as it stands (Hcl1)
    bool parse_sequence(std::vector<Piece>& pieces);
    bool parse_directive(Piece& piece);
    bool at_heredoc_end(std::string_view marker) const;
    static void trim_pieces(std::vector<Piece>& pieces);
    static void remove_indentation(std::vector<Piece>& pieces);
    ExpressionPtr build_template(std::vector<Piece>& pieces, const Range& whole);
    // Parts up to a directive that ends them, at which `at` then stands.
    bool build_parts(std::vector<Piece>& pieces, size_t& at, std::vector<ExpressionPtr>& parts);
    ExpressionPtr build_if(std::vector<Piece>& pieces, size_t& at);
    ExpressionPtr build_for(std::vector<Piece>& pieces, size_t& at);

    Range range(const Token& token) const { return scanner_.range(token); }
    Range range(const Pos& from, const Pos& to) const { return scanner_.range(from, to); }
    // Refuses trees that are too deep to walk.
    template <class Node, class... Args>
    ExpressionPtr make(Args&&... args) {
        auto node = std::make_shared<const Node>(std::forward<Args>(args)...);
        return checked(std::move(node));
    }
    ExpressionPtr checked(ExpressionPtr node);

    Scanner scanner_;
    Diagnostics& diagnostics_;
    std::optional<Token> ahead_;
    Pos before_ahead_;
    Pos previous_end_;
    std::vector<bool> newlines_seen_{true};
    uint32_t nesting_ = 0;
    int open_ = 0;  // brackets and braces of expressions that are open here
    bool gave_up_ = false;
    bool hcl1_ = false;
};

}  // namespace drover::hcl
