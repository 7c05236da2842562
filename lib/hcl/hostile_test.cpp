// SPDX-License-Identifier: Apache-2.0
// Goal: text made to hurt (deep nesting, long chains, values that double, endless strings) ends in an error,
// soon.
#include <gtest/gtest.h>

#include "hcl/functions.h"
#include "hcl/parser.h"

namespace drover::hcl {
namespace {

std::string repeat(std::string_view text, size_t times) {
    std::string out;
    for (size_t i = 0; i < times; ++i) out += text;
    return out;
}

// The first error of parsing and evaluating an expression, or "".
std::string first_error(const std::string& text) {
    static const Functions functions = job_functions(closed_environment());
    Diagnostics diagnostics;
    ExpressionPtr expression = parse_expression(text, "t", diagnostics);
    EvalContext context;
    context.functions = &functions;
    if (expression) expression->evaluate(context, diagnostics);
    return diagnostics.empty() ? "" : diagnostics[0].summary;
}

TEST(HclHostile, NestingIsBounded) {
    for (const char* open :
         {"(", "[", "{a=", "!", "-", "\"${", "f(", "a[", "1 ? ", "[for x in ", "<<A\n${"}) {
        EXPECT_EQ(first_error(repeat(open, 100000)), "Nesting too deep") << open;
    }
}

TEST(HclHostile, NestedDirectivesAreBounded) {
    EXPECT_EQ(first_error("\"" + repeat("%{if a}", 100000) + "\""), "Nesting too deep");
    EXPECT_EQ(first_error("\"" + repeat("%{for a in b}", 100000) + "\""), "Nesting too deep");
}

TEST(HclHostile, NestedBlocksAreBounded) {
    Diagnostics diagnostics;
    parse_native(repeat("a {\n", 100000), "t", diagnostics);
    EXPECT_EQ(diagnostics[0].summary, "Nesting too deep");
    Diagnostics json;
    parse_json(repeat("{\"a\":", 100000), "t", json);
    EXPECT_EQ(json[0].summary, "Nesting too deep");
    Diagnostics arrays;
    parse_json(repeat("[", 100000), "t", arrays);
    EXPECT_EQ(arrays[0].summary, "Nesting too deep");
}

TEST(HclHostile, LongChainsAreBounded) {
    EXPECT_EQ(first_error("1" + repeat("+1", 100000)), "Expression too complex");
    EXPECT_EQ(first_error("f()" + repeat(".a", 100000)), "Expression too complex");
    EXPECT_EQ(first_error("a" + repeat(".a", 100000)), "Expression too complex");
    EXPECT_EQ(first_error("a" + repeat("[x]", 100000)), "Expression too complex");
    EXPECT_EQ(first_error("1" + repeat("+1", 300)), "");
}

TEST(HclHostile, EvaluationIsPaidFor) {
    const std::string big = "range(1000)";
    EXPECT_EQ(first_error("[for a in " + big + " : [for b in " + big + " : [for c in " + big + " : c]]]"),
              "Expression too expensive");
    EXPECT_EQ(first_error("length([for a in range(1000) : join(\",\", [for b in range(1000) : "
                          "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"])])"),
              "Expression too expensive");
    EXPECT_EQ(
        first_error("try([for a in range(1000) : [for b in range(1000) : [for c in range(1000) : c]]], 1)"),
        "Expression too expensive");
}

TEST(HclHostile, DoublingValuesAreStopped) {
    EvalContext context;
    Diagnostics diagnostics;
    context.variables["a"] = Value::string("0123456789");
    ExpressionPtr twice = parse_expression("\"${a}${a}\"", "t", diagnostics);
    ExpressionPtr pair = parse_expression("[a, a]", "t", diagnostics);
    for (int i = 0; i < 100 && !diagnostics.has_errors(); ++i)
        context.variables["a"] = twice->evaluate(context, diagnostics);
    EXPECT_EQ(diagnostics[0].summary, "Expression too expensive");
    EvalContext other;
    Diagnostics said;
    other.variables["a"] = Value::string("x");
    for (int i = 0; i < 100 && !said.has_errors(); ++i) other.variables["a"] = pair->evaluate(other, said);
    EXPECT_EQ(said[0].summary, "Expression too expensive");
}

TEST(HclHostile, DeepValuesAreStopped) {
    EvalContext context;
    Diagnostics diagnostics;
    context.variables["a"] = Value::string("x");
    ExpressionPtr wrap = parse_expression("[a]", "t", diagnostics);
    for (int i = 0; i < 5000 && !diagnostics.has_errors(); ++i)
        context.variables["a"] = wrap->evaluate(context, diagnostics);
    EXPECT_EQ(diagnostics[0].summary, "Value nested too deeply");
}

TEST(HclHostile, FunctionsDoNotBlowUp) {
    EXPECT_NE(first_error("format(\"%999999999d\", 1)"), "");
    EXPECT_NE(first_error("replace(join(\"\", [for i in range(1000) : \"xxxxxxxxxx\"]), \"x\", join(\"\", "
                          "[for i in range(1000) : \"xxxxxxxxxx\"]))"),
              "");
    EXPECT_NE(first_error("setproduct(range(1000), range(1000), range(1000))"), "");
    EXPECT_NE(first_error("range(0, 1e300)"), "");
    EXPECT_NE(first_error("indent(1e9, \"a\\nb\")"), "");
    EXPECT_NE(first_error("pow(10, 1e9)"), "");
    EXPECT_NE(
        first_error("yamldecode(<<A\na: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                    "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                    "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
                    "g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g]\nA\n)"),
        "");
}

TEST(HclHostile, ManyErrorsEndEarly) {
    Diagnostics diagnostics;
    parse_native(repeat("a = \"${\n", 200000), "t", diagnostics);
    EXPECT_TRUE(diagnostics.has_errors());
    Diagnostics redefined;
    parse_native(repeat("a = 1\n", 100000), "t", redefined);
    EXPECT_EQ(redefined[0].summary, "Attribute redefined");
}

TEST(HclHostile, TooMuchTextIsRefused) {
    Diagnostics diagnostics;
    parse_native(std::string((16u << 20) + 1, '\n'), "t", diagnostics);
    EXPECT_EQ(diagnostics[0].summary, "Source too large");
}

TEST(HclHostile, BrokenUtf8IsNamed) {
    for (const char* text : {"a = \"\xff\"", "\xff", "a = \xff", "a \xff", "a \"\xff\" {\n}\n",
                             "a = <<E\n\xff\nE\n", "# \xff"}) {
        Diagnostics diagnostics;
        parse_native(text, "t", diagnostics);
        if (text[0] == '#') continue;
        ASSERT_TRUE(diagnostics.has_errors()) << text;
        EXPECT_EQ(diagnostics[0].summary, "Invalid character encoding") << text;
    }
}

}  // namespace
}  // namespace drover::hcl
