// SPDX-License-Identifier: Apache-2.0
// Goal: the language as a user sees it, text in, text out: tests/golden/hcl/*.txt.
// Commands: `eval` (an expression), `job` (the same with unknown names kept), `template`, `body [json]` (a
// file, everything in it evaluated), `schema` (a body read with a small fixed schema), `dynamic`, `type`,
// `terminal` (diagnostics as on a terminal), `variables`.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "hcl/convert.h"
#include "hcl/functions.h"
#include "hcl/parser.h"
#include "tests/support/golden.h"

namespace drover::hcl {
namespace {

const Functions& functions() {
    static const Functions table =
        job_functions(closed_environment([](size_t count) { return std::string(count, '\x5a'); }));
    return table;
}

EvalContext test_context() {
    EvalContext context;
    context.functions = &functions();
    Diagnostics ignored;
    context.variables["var"] =
        parse_expression(R"({name = "web", count = 3, none = null, list = ["a", "b", "c"],
        map = {x = 1, y = 2}, objects = [{id = 1, tags = ["p", "q"]}, {id = 2, tags = []}], nested = [[1, 2], [3]]})",
                         "var", ignored)
            ->evaluate(EvalContext(), ignored);
    context.variables["typed"] = Value::object(
        {{"list", *convert(Value::tuple({Value::number(1), Value::number(2)}), Type::list(Type::number()))},
         {"map", Value::map(Type::string(), {{"k", Value::string("v")}})},
         {"set", Value::set(Type::string(), {Value::string("b"), Value::string("a"), Value::string("b")})},
         {"unknown", Value::unknown(Type::string())}});
    return context;
}

std::string shown(const Value& value) {
    return fmt::format("{} : {}", value.text(), value.type().text());
}

std::string with_diagnostics(const std::string& result, const Diagnostics& diagnostics) {
    std::string out = diagnostics.text();
    if (diagnostics.has_errors()) return out;
    return out.empty() ? result : result + "\n" + out;
}

std::string trimmed(std::string text) {
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
}

std::string evaluate_text(const testing::GoldenCase& golden, EvalContext& context) {
    Diagnostics diagnostics;
    bool is_template = golden.command == "template";
    ExpressionPtr expression = is_template ? parse_template(golden.input, "t", diagnostics)
                                           : parse_expression(trimmed(golden.input), "t", diagnostics);
    if (!expression || diagnostics.has_errors()) return diagnostics.text();
    Value value = expression->evaluate(context, diagnostics);
    return with_diagnostics(shown(value), diagnostics);
}

void dump(const Body& body, const EvalContext& context, const std::string& indent, std::string& out,
          Diagnostics& diagnostics) {
    Body::Everything all = body.everything(diagnostics);
    for (const Attribute& attribute : all.attributes) {
        out += fmt::format("{}{} = {}\n", indent, attribute.name,
                           attribute.expression->evaluate(context, diagnostics).text());
    }
    for (const Block& block : all.blocks) {
        out += indent + block.type;
        for (const std::string& label : block.labels) out += " " + quote(label);
        out += " {\n";
        dump(*block.body, context, indent + "  ", out, diagnostics);
        out += indent + "}\n";
    }
}

File parse_case(const testing::GoldenCase& golden, Diagnostics& diagnostics) {
    std::string form = golden.arguments.empty() ? "" : golden.arguments[0];
    if (form == "json") return parse_json(golden.input, "t.json", diagnostics);
    if (form != "hcl1") return parse_native(golden.input, "t", diagnostics);
    File file = parse_hcl1(golden.input, "t", diagnostics);
    file.body = fold_case(file.body);
    return file;
}

std::string run_body(const testing::GoldenCase& golden) {
    Diagnostics diagnostics;
    File file = parse_case(golden, diagnostics);
    EvalContext context = test_context();
    context.unknown_root = keep_literally;
    BodyPtr body = golden.command == "dynamic" ? expand_dynamic(file.body, context) : file.body;
    std::string out;
    dump(*body, context, "", out, diagnostics);
    return out + diagnostics.text();
}

// job "name" { count, tags; group "name" { size (required) }; env {} or env = }
std::string run_schema(const testing::GoldenCase& golden) {
    Diagnostics diagnostics;
    File file = parse_case(golden, diagnostics);
    EvalContext context = test_context();
    std::string out;
    BodyPtr body = expand_dynamic(file.body, context);
    for (const Block& job : body->content({{}, {{"job", {"name"}}}}, diagnostics).blocks) {
        out += fmt::format("job {}\n", job.labels[0]);
        BodyContent content = job.body->content(
            {{{"count"}, {"tags"}, {"env"}}, {{"group", {"name"}}, {"env", {}}}}, diagnostics);
        for (const auto& [name, attribute] : content.attributes) {
            Type type = name == "count"  ? Type::number()
                        : name == "tags" ? Type::list(Type::string())
                                         : Type::map(Type::string());
            out += fmt::format("  {} = {}\n", name,
                               shown(evaluate_as(*attribute.expression, context, type, name, diagnostics)));
        }
        for (const Block& block : content.blocks) {
            if (block.type == "env") {
                for (const auto& [name, attribute] : block.body->just_attributes(diagnostics)) {
                    out += fmt::format("  env {} = {}\n", name,
                                       attribute.expression->evaluate(context, diagnostics).text());
                }
                continue;
            }
            BodyContent group = block.body->content({{{"size", true}}, {}}, diagnostics);
            const Attribute* size = group.attribute("size");
            out += fmt::format("  group {} size {}\n", block.labels[0],
                               size ? size->expression->evaluate(context, diagnostics).text() : "-");
        }
    }
    return out + diagnostics.text();
}

std::string run_case(const testing::GoldenCase& golden) {
    EvalContext context = test_context();
    Diagnostics diagnostics;
    if (golden.command == "job") context.unknown_root = keep_literally;
    if (golden.command == "eval" || golden.command == "job" || golden.command == "template")
        return evaluate_text(golden, context);
    if (golden.command == "body" || golden.command == "dynamic") return run_body(golden);
    if (golden.command == "schema") return run_schema(golden);
    if (golden.command == "terminal") {
        File file = parse_native(golden.input, "job.hcl", diagnostics);
        std::string out;
        for (const Diagnostic& diagnostic : diagnostics) out += diagnostic.terminal_text(file.source);
        return out;
    }
    ExpressionPtr expression = parse_expression(trimmed(golden.input), "t", diagnostics);
    if (!expression) return diagnostics.text();
    if (golden.command == "type") {
        Type type = type_from_expression(*expression, diagnostics);
        return with_diagnostics(type.text(), diagnostics);
    }
    if (golden.command == "variables") {
        std::string out;
        for (const Traversal& traversal : expression->variables()) out += traversal.text + "\n";
        return out;
    }
    return "no such command: " + golden.command;
}

TEST(HclGolden, TextInTextOut) {
    testing::run_golden_files("tests/golden/hcl", run_case);
}

}  // namespace
}  // namespace drover::hcl

int main(int argc, char** argv) {
    drover::testing::golden_init(&argc, argv);
    ::testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
