// SPDX-License-Identifier: Apache-2.0
// The table of plugin-protocol.md E.4, and what HCL adds to it.
#include "hcl/convert.h"

#include <gtest/gtest.h>

namespace drover::hcl {
namespace {

std::string converted(const Value& value, const Type& type) {
    Result<Value> out = convert(value, type);
    return out ? out->text() + " : " + out->type().text() : "error: " + out.error().message();
}

TEST(Convert, Scalars) {
    EXPECT_EQ(converted(Value(*Number::parse("1.50")), Type::string()), "\"1.5\" : string");
    EXPECT_EQ(converted(Value::boolean(true), Type::string()), "\"true\" : string");
    EXPECT_EQ(converted(Value::string("12"), Type::number()), "12 : number");
    EXPECT_EQ(converted(Value::string("x"), Type::number()), "error: a number is required");
    EXPECT_EQ(converted(Value::string("1"), Type::boolean()), "true : bool");
    EXPECT_EQ(converted(Value::string("0"), Type::boolean()), "false : bool");
    EXPECT_EQ(converted(Value::string("True"), Type::boolean()),
              "error: a bool is required; to convert from string, use lowercase \"true\"");
    EXPECT_EQ(converted(Value::number(1), Type::boolean()), "error: bool required");
    EXPECT_EQ(converted(Value::null(), Type::string()), "null : string");
}

TEST(Convert, CollectionsTakeNoScalars) {
    EXPECT_EQ(converted(Value::string("a"), Type::list(Type::string())), "error: list of string required");
    EXPECT_EQ(converted(Value::tuple({}), Type::map(Type::string())), "error: map of string required");
}

TEST(Convert, ElementsEachConvert) {
    Value mixed = Value::tuple({Value::string("s"), Value::number(1), Value::null()});
    EXPECT_EQ(converted(mixed, Type::list(Type::string())), R"(["s", "1", null] : list(string))");
    EXPECT_EQ(converted(mixed, Type::list(Type::any())), R"(["s", "1", null] : list(string))");
    EXPECT_EQ(converted(mixed, Type::list(Type::number())), "error: element 0: a number is required");
    EXPECT_EQ(converted(Value::tuple({Value::number(1), Value::boolean(true)}), Type::list(Type::any())),
              "error: all list elements must have the same type");
    EXPECT_EQ(converted(Value::tuple({}), Type::list(Type::string())), "[] : list(string)");
}

TEST(Convert, ObjectsNeedTheirAttributesAndDropOthers) {
    Type wanted = Type::object({{"a", Type::number()}, {"b", Type::string()}});
    Value given =
        Value::object({{"a", Value::string("1")}, {"b", Value::number(2)}, {"c", Value::number(3)}});
    EXPECT_EQ(converted(given, wanted), R"({"a" = 1, "b" = "2"} : object({a=number,b=string}))");
    EXPECT_EQ(converted(Value::object({{"a", Value::number(1)}}), wanted),
              "error: attribute \"b\" is required");
    EXPECT_EQ(converted(Value::object({}), wanted), "error: attributes \"a\" and \"b\" are required");
    EXPECT_EQ(converted(Value::object({{"a", Value::string("x")}, {"b", Value::null()}}), wanted),
              "error: attribute \"a\": a number is required");
    EXPECT_EQ(converted(given, Type::map(Type::string())),
              R"({"a" = "1", "b" = "2", "c" = "3"} : map(string))");
}

TEST(Convert, Unify) {
    EXPECT_EQ(unify({Type::number(), Type::string()}).text(), "string");
    EXPECT_EQ(unify({Type::number(), Type::boolean()}).text(), "any");
    EXPECT_EQ(unify({Type::any(), Type::number()}).text(), "number");
    EXPECT_EQ(unify({Type::tuple({Type::number()}), Type::tuple({Type::string(), Type::string()})}).text(),
              "list(string)");
    EXPECT_EQ(unify({Type::object({{"a", Type::number()}}), Type::object({{"b", Type::string()}})}).text(),
              "map(string)");
    EXPECT_EQ(unify({Type::object({{"a", Type::number()}}), Type::object({{"a", Type::string()}})}).text(),
              "object({a=string})");
    EXPECT_EQ(unify({Type::list(Type::string()), Type::number()}).text(), "any");
}

}  // namespace
}  // namespace drover::hcl
