// SPDX-License-Identifier: Apache-2.0
// hclspec kinds, conversions and MessagePack bytes, as Nomad's host produces them (reference vectors), with
// schemas as real drivers have them, written as text protos.
#include "agent/host/config_schema.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <regex>

#include <nlohmann/json.hpp>

#include "agent/host/limits.h"
#include "hcl/value.h"
#include "proto/model/model.pb.h"
#include "proto/plugin/hclspec.pb.h"

namespace drover::agent {
namespace {

namespace spec = hashicorp::nomad::plugins::shared::hclspec;

Result<ConfigSchema> compile(const std::string& text) {
    spec::Spec parsed;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &parsed)) << text;
    return ConfigSchema::compile(parsed);
}

void fill(const nlohmann::json& from, model::Value* to) {
    if (from.is_null())
        to->set_null_value(true);
    else if (from.is_boolean())
        to->set_bool_value(from.get<bool>());
    else if (from.is_number_integer())
        to->set_int_value(from.get<int64_t>());
    else if (from.is_number())
        to->set_double_value(from.get<double>());
    else if (from.is_string())
        to->set_string_value(from.get<std::string>());
    else if (from.is_array()) {
        to->mutable_list_value();
        for (const auto& element : from) fill(element, to->mutable_list_value()->add_values());
    } else {
        to->mutable_map_value();
        for (const auto& [key, element] : from.items())
            fill(element, &(*to->mutable_map_value()->mutable_fields())[key]);
    }
}

model::MapValue config(const std::string& json) {
    model::Value value;
    fill(nlohmann::json::parse(json), &value);
    return value.map_value();
}

const std::map<std::string, std::string> kVariables = {{"NOMAD_PORT_http", "8080"},
                                                       {"NOMAD_TASK_NAME", "web"},
                                                       {"node.class", "gpu"},
                                                       {"meta.rack", "r1"},
                                                       {"node.attr.kernel.name", "linux"}};

// The decoded value as HCL text, or the error's.
std::string decoded(const std::string& schema, const std::string& json) {
    auto compiled = compile(schema);
    if (!compiled) return compiled.error().message();
    auto value = compiled->decode(config(json), &kVariables);
    // Keys without their quotes: the schemas here are in quotes enough.
    return value ? std::regex_replace(value->text(), std::regex("\"(\\w+)\" ="), "$1 =")
                 : value.error().message();
}

std::string hex(const std::string& bytes) {
    std::string out;
    for (unsigned char c : bytes) out += fmt::format("{:02x}", c);
    return out;
}

// One attribute "a" of a type.
std::string attr(const std::string& type) {
    return "object { attributes { key: \"a\" value { Attr { type: \"" + type + "\" } } } }";
}
std::string packed(const std::string& type, const std::string& json) {
    auto compiled = compile(attr(type));
    if (!compiled) return compiled.error().message();
    auto bytes = compiled->to_msgpack(config("{\"a\": " + json + "}"), &kVariables);
    return bytes ? hex(*bytes).substr(6) : bytes.error().message();  // after the map's header and key
}

TEST(Msgpack, ReferenceVectors) {
    auto two = compile(
        "object { attributes { key: \"a\" value { Attr { type: \"string\" } } }"
        " attributes { key: \"b\" value { Attr { type: \"string\" } } } }");
    ASSERT_TRUE(two) << two.error().message();
    EXPECT_EQ(hex(*two->to_msgpack(config("{\"b\": \"1\"}"), nullptr)), "82a161c0a162a131");
    EXPECT_EQ(hex(*two->to_msgpack(config("{}"), nullptr)), "82a161c0a162c0");
    const std::pair<const char*, const char*> numbers[] = {
        {"0", "00"},
        {"42", "2a"},
        {"127", "7f"},
        {"128", "cc80"},
        {"300", "cd012c"},
        {"70000", "ce00011170"},
        {"5000000000", "cf000000012a05f200"},
        {"-1", "ff"},
        {"-32", "e0"},
        {"-42", "d0d6"},
        {"-200", "d1ff38"},
        {"-70000", "d2fffeee90"},
        {"-5000000000", "d3fffffffed5fa0e00"},
        {"0.5", "cb3fe0000000000000"},
        {"0.1", "a3302e31"},
        {"1e30", "bf31303030303030303030303030303030303030303030303030303030303030"},
        {"\"18446744073709551615\"", "b43138343436373434303733373039353531363135"},
    };
    for (const auto& [json, bytes] : numbers) EXPECT_EQ(packed("number", json), bytes) << json;
    EXPECT_EQ(packed("bool", "true"), "c3");
    EXPECT_EQ(packed("bool", "\"0\""), "c2");
    EXPECT_EQ(packed("string", "null"), "c0");
    EXPECT_EQ(packed("list(string)", "[\"x\", null, 1]"), "93a178c0a131");
    EXPECT_EQ(packed("map(number)", "{\"z\": 1, \"b\": 2}"), "82a16202a17a01");
    EXPECT_EQ(packed("any", "[1, \"x\", {\"k\": true}]"), "9301a17881a16bc3");
    EXPECT_EQ(packed("string", "\"" + std::string(32, 'x') + "\""), "d920" + hex(std::string(32, 'x')));
    EXPECT_EQ(packed("string", "\"" + std::string(300, 'x') + "\"").substr(0, 6), "da012c");
    EXPECT_EQ(packed("string", "\"" + std::string(70000, 'x') + "\"").substr(0, 10), "db00011170");
    EXPECT_EQ(packed("list(number)", "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]").substr(0, 6), "dc0010");
}

TEST(ConfigSchema, ConversionsAndTheirErrors) {
    EXPECT_EQ(decoded(attr("string"), "{\"a\": 7}"), "{a = \"7\"}");
    EXPECT_EQ(decoded(attr("string"), "{\"a\": true}"), "{a = \"true\"}");
    EXPECT_EQ(decoded(attr("number"), "{\"a\": \"12.50\"}"), "{a = 12.5}");
    EXPECT_EQ(decoded(attr("bool"), "{\"a\": \"1\"}"), "{a = true}");
    EXPECT_EQ(decoded(attr("null"), "{\"a\": \"1\"}"), "{a = \"1\"}");
    for (const auto& [type, json, expected] :
         std::initializer_list<std::tuple<const char*, const char*, const char*>>{
             {"number", "\"x\"", "a number is required"},
             {"bool", "\"True\"", "use lowercase \"true\""},
             {"bool", "1", "bool"},
             {"list(string)", "\"x\"", "list of string required"},
             {"map(string)", "[{\"k\": \"v\"}]", "map of string required"},
         }) {
        const std::string text = decoded(attr(type), std::string("{\"a\": ") + json + "}");
        EXPECT_NE(text.find("Inappropriate value for attribute \"a\""), std::string::npos) << text;
        EXPECT_NE(text.find(expected), std::string::npos) << text;
    }
}

TEST(ConfigSchema, TemplatesSeeTheTasksVariables) {
    EXPECT_EQ(decoded(attr("string"), R"({"a": "port ${NOMAD_PORT_http} of ${node.class} ${meta.rack}"})"),
              "{a = \"port 8080 of gpu r1\"}");
    EXPECT_EQ(decoded(attr("number"), R"({"a": "${NOMAD_PORT_http}"})"), "{a = 8080}");
    EXPECT_EQ(decoded(attr("string"), R"({"a": "${env[\"NOMAD_TASK_NAME\"]} ${node.attr.kernel.name}"})"),
              "{a = \"web linux\"}");
    EXPECT_EQ(decoded(attr("string"), R"({"a": "${upper(NOMAD_TASK_NAME)}"})"), "{a = \"WEB\"}");
    EXPECT_EQ(decoded(attr("string"), R"({"a": "$${x}"})"), "{a = \"$${x}\"}");
    EXPECT_NE(decoded(attr("string"), R"({"a": "${nope}"})").find("nope"), std::string::npos);
    auto schema = compile(attr("string"));
    auto refused = schema->decode(config(R"({"a": "${NOMAD_TASK_NAME}"})"), nullptr);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message().find("Variables not allowed"), std::string::npos)
        << refused.error().message();
}

TEST(ConfigSchema, UnknownAndMissingKeysAreNamed) {
    const std::string schema =
        "object { attributes { key: \"command\" value { Attr { type: \"string\" required: true } } } }";
    const std::string unknown = decoded(schema, R"({"comand": "x"})");
    EXPECT_NE(unknown.find("comand"), std::string::npos) << unknown;
    EXPECT_NE(unknown.find("Did you mean \"command\""), std::string::npos) << unknown;
    EXPECT_NE(unknown.find("The argument \"command\" is required"), std::string::npos) << unknown;
    EXPECT_EQ(decoded(schema, R"({"command": null, "//": "a comment"})"),
              "{command = null}");  // null satisfies required
}

TEST(ConfigSchema, Blocks) {
    const std::string nested =
        "nested { object { attributes { key: \"n\" value { Attr { type: \"number\" } } } } }";
    const std::string one = "object { attributes { key: \"b\" value { block_value { " + nested + " } } } }";
    EXPECT_EQ(decoded(one, "{}"), "{b = null}");
    EXPECT_EQ(decoded(one, R"({"b": {"n": 1}})"), "{b = {n = 1}}");
    EXPECT_EQ(decoded(one, R"({"b": [{"n": 1}]})"), "{b = {n = 1}}");
    EXPECT_NE(decoded(one, R"({"b": [{}, {}]})").find("Duplicate b block"), std::string::npos);
    EXPECT_NE(decoded(one, R"({"b": 7})").find("JSON"), std::string::npos);
    const std::string required =
        "object { attributes { key: \"b\" value { block_value { required: true " + nested + " } } } }";
    EXPECT_NE(decoded(required, "{}").find("A block of type \"b\" is required here."), std::string::npos);

    const std::string list =
        "object { attributes { key: \"b\" value { block_list { min_items: 1 max_items: 2 " + nested +
        " } } } }";
    EXPECT_EQ(decoded(list, R"({"b": [{"n": 2}, {"n": 1}]})"), "{b = [{n = 2}, {n = 1}]}");
    EXPECT_NE(decoded(list, "{}").find("At least 1 \"b\" blocks are required."), std::string::npos);
    EXPECT_NE(decoded(list, R"({"b": [{}, {}, {}]})").find("No more than 2 \"b\" blocks are allowed"),
              std::string::npos);

    const std::string set = "object { attributes { key: \"b\" value { block_set { " + nested + " } } } }";
    EXPECT_EQ(decoded(set, "{}"), "{b = []}");
    EXPECT_EQ(decoded(set, R"({"b": [{"n": 2}, {"n": 1}, {"n": 2}]})"), "{b = [{n = 1}, {n = 2}]}");

    const std::string map =
        "object { attributes { key: \"b\" value { block_map { labels: \"name\" " + nested + " } } } }";
    EXPECT_EQ(decoded(map, "{}"), "{b = {}}");
    EXPECT_EQ(decoded(map, R"({"b": [{"x": [{"n": 1}]}, {"y": {"n": 2}}]})"),
              "{b = {x = {n = 1}, y = {n = 2}}}");
    EXPECT_NE(decoded(map, R"({"b": [{"x": {"n": 1}}, {"x": {"n": 2}}]})").find("Duplicate b block"),
              std::string::npos);

    const std::string attrs =
        "object { attributes { key: \"b\" value { block_attrs { type: \"string\" } } } }";
    EXPECT_EQ(decoded(attrs, "{}"), "{b = null}");
    EXPECT_EQ(decoded(attrs, R"({"b": {}})"), "{b = {}}");
    EXPECT_EQ(decoded(attrs, R"({"b": [{"k": 1, "j": "${NOMAD_TASK_NAME}"}]})"),
              "{b = {j = \"web\", k = \"1\"}}");
}

TEST(ConfigSchema, DefaultsAndLiterals) {
    const std::string schema = R"(object { attributes { key: "a" value { default {
        primary { Attr { name: "a" type: "number" } } default { literal { value: "7 + 1" } } } } } })";
    EXPECT_EQ(decoded(schema, "{}"), "{a = 8}");
    EXPECT_EQ(decoded(schema, R"({"a": 1})"), "{a = 1}");
    // As podman's: a block whose default is an object.
    const std::string block = R"(object { attributes { key: "gc" value { default {
        primary { block_value { name: "gc" nested { object { attributes { key: "container" value { default {
            primary { Attr { name: "container" type: "bool" } } default { literal { value: "true" } } } } } } } } }
        default { literal { value: "{ container = true }" } } } } } })";
    EXPECT_EQ(decoded(block, "{}"), "{gc = {container = true}}");
    EXPECT_EQ(decoded(block, R"({"gc": {"container": false}})"), "{gc = {container = false}}");
    EXPECT_EQ(decoded("array { values { literal { value: \"[1]\" } } values { Attr { name: \"x\" type: "
                      "\"string\" } } }",
                      R"({"x": "y"})"),
              "[[1], \"y\"]");
}

TEST(ConfigSchema, WrongSchemasAreRefusedWithTheirPlace) {
    const std::pair<std::string, const char*> cases[] = {
        {"", "Invalid spec block"},
        {"Attr { type: \"string\" }", "Missing name in attribute spec"},
        {"object { attributes { key: \"a\" value { Attr { } } } }", "in a: type \"\""},
        {"object { attributes { key: \"a\" value { Attr { type: \"strin\" } } } }", "in a: type \"strin\""},
        {"object { attributes { key: \"a\" value { block_value { } } } }", "Missing spec block"},
        {"object { attributes { key: \"a\" value { block_map { nested { object {} } } } } }", "label"},
        {"object { attributes { key: \"a\" value { default { primary { Attr { name: \"a\" type: \"string\" } "
         "} } } } }",
         "both primary and default"},
        {"object { attributes { key: \"a\" value { literal { value: \"1 +\" } } } }", "in a: literal"},
        {"object { attributes { key: \"a\" value { literal { value: \"x\" } } } }", "in a: literal"},
        {"object { attributes { key: \"a\" value { block_list { nested { Attr { type: \"string\" } } } } } }",
         "in a.nested: Missing name"},
    };
    for (const auto& [text, expected] : cases) {
        auto made = compile(text);
        ASSERT_FALSE(made) << text;
        EXPECT_NE(made.error().message().find(expected), std::string::npos)
            << text << ": " << made.error().message();
    }
    spec::Spec deep;
    spec::Spec* at = &deep;
    for (size_t i = 0; i < kTaskConfigDepthMax + 2; ++i) at = at->mutable_array()->add_values();
    at->mutable_literal()->set_value("1");
    EXPECT_FALSE(ConfigSchema::compile(deep));
}

TEST(ConfigSchema, ConfigsThatAreTooDeepOrNoJsonAreErrors) {
    auto schema = compile(attr("any"));
    model::MapValue deep;
    model::Value* at = &(*deep.mutable_fields())["a"];
    for (size_t i = 0; i < kTaskConfigDepthMax + 2; ++i) at = at->mutable_list_value()->add_values();
    EXPECT_FALSE(schema->decode(deep, nullptr));
    model::MapValue forged;
    (*forged.mutable_fields())["a"].set_number_text("1, \"b\": 2");
    EXPECT_FALSE(schema->decode(forged, nullptr));
    model::MapValue big;
    (*big.mutable_fields())["a"].set_number_text("12345678901234567890");
    EXPECT_EQ(schema->decode(big, nullptr)->text(), "{\"a\" = 12345678901234567890}");
}

}  // namespace
}  // namespace drover::agent
