// SPDX-License-Identifier: Apache-2.0
#include "drover/config.h"

#include <gtest/gtest.h>

#include "drover/types.h"
#include "plugin-sdk/wire/msgpack.h"

namespace drover::sdk {
namespace {
using namespace std::chrono_literals;

struct Volume {
    std::string path;
    bool read_only = false;
    bool operator==(const Volume&) const = default;
};
struct Config {
    std::string command;
    std::vector<std::string> args;
    std::chrono::nanoseconds grace = 5s;
    std::map<std::string, std::string> labels;
    uint16_t port = 80;
    double weight = 1;
    std::optional<bool> tty;
    Value anything;
    std::optional<Volume> root;
    std::vector<Volume> volumes;
    bool operator==(const Config&) const = default;
};

const Schema<Config>& schema() {
    static const auto volume =
        Schema<Volume>().required("path", &Volume::path).optional("read_only", &Volume::read_only);
    static const auto instance = Schema<Config>()
                                     .required("command", &Config::command)
                                     .optional("args", &Config::args)
                                     .optional("grace", &Config::grace)
                                     .optional("labels", &Config::labels)
                                     .optional("port", &Config::port)
                                     .optional("weight", &Config::weight)
                                     .optional("tty", &Config::tty)
                                     .optional("anything", &Config::anything)
                                     .block("root", &Config::root, volume)
                                     .blocks("volume", &Config::volumes, volume, 0, 3);
    return instance;
}

TEST(ConfigSchema, MakesTheSpecThatHostsDecodeBy) {
    HclSpec volume = HclSpec::object(
        {{"path", HclSpec::attr("path", "string", true)}, {"read_only", HclSpec::attr("read_only", "bool")}});
    HclSpec expected = HclSpec::object({
        {"command", HclSpec::attr("command", "string", true)},
        {"args", HclSpec::attr("args", "list(string)")},
        {"grace", HclSpec::attr("grace", "string")},
        {"labels", HclSpec::block_attrs("labels", "string")},
        {"port", HclSpec::attr("port", "number")},
        {"weight", HclSpec::attr("weight", "number")},
        {"tty", HclSpec::attr("tty", "bool")},
        {"anything", HclSpec::attr("anything", "any")},
        {"root", HclSpec::block("root", volume)},
        {"volume", HclSpec::block_list("volume", volume, 0, 3)},
    });
    EXPECT_EQ(schema().spec(), expected);
}

TEST(ConfigSchema, DecodesWhatAHostSends) {
    auto config = schema().decode(msgpack_encode(Value::Map{
        {"command", "/bin/sleep"},
        {"args", Value::List{"10"}},
        {"grace", "1m30s"},
        {"labels", Value::Map{{"a", "b"}}},
        {"port", "8080"},  // numbers may come as text
        {"weight", "0.1"},
        {"tty", true},
        {"root", Value::Map{{"path", "/x"}, {"read_only", Value()}}},
        {"volume", Value::List{Value::Map{{"path", "/y"}, {"read_only", true}}}},
        {"of a newer version", 1},
    }));
    ASSERT_TRUE(config) << config.error().message();
    Config expected{.command = "/bin/sleep",
                    .args = {"10"},
                    .grace = 90s,
                    .labels = {{"a", "b"}},
                    .port = 8080,
                    .weight = 0.1,
                    .tty = true,
                    .anything = {},
                    .root = Volume{"/x", false},
                    .volumes = {{"/y", true}}};
    EXPECT_EQ(*config, expected);
    // Absent and null leave the initialisers.
    config = schema().decode(msgpack_encode(Value::Map{{"command", "x"}, {"port", Value()}, {"tty", Value()}}));
    ASSERT_TRUE(config) << config.error().message();
    EXPECT_EQ(*config, Config{.command = "x"});
}

TEST(ConfigSchema, EncodesAndDecodesItself) {
    Config config{.command = "c",
                  .args = {"1", ""},
                  .grace = 1500ms,
                  .labels = {{"k", ""}},
                  .port = 1,
                  .weight = 0.3,
                  .tty = false,
                  .anything = Value::List{1, Value()},
                  .root = Volume{"/r", true},
                  .volumes = {{"/v", false}}};
    auto again = schema().decode(schema().encode(config));
    ASSERT_TRUE(again) << again.error().message();
    EXPECT_EQ(*again, config);
}

TEST(ConfigSchema, ErrorsNameThePlaceAndWhatWasFound) {
    struct Case {
        Value value;
        const char* message;
    };
    for (const auto& [value, message] : std::vector<Case>{
             {Value::Map{}, "command: is required, but was not given"},
             {Value::Map{{"command", 1}}, "command: expected text, found a number (1)"},
             {Value::Map{{"command", "c"}, {"args", Value::List{"a", true}}},
              "args[1]: expected text, found a boolean (true)"},
             {Value::Map{{"command", "c"}, {"args", "a"}}, "args: expected a list, found text (\"a\")"},
             {Value::Map{{"command", "c"}, {"port", 70000}}, "port: expected a number from 0 to 65535, found 70000"},
             {Value::Map{{"command", "c"}, {"port", 1.5}}, "port: expected a whole number, found a number (1.5)"},
             {Value::Map{{"command", "c"}, {"grace", "soon"}},
              "grace: expected a duration such as \"10s\", found text (\"soon\")"},
             {Value::Map{{"command", "c"}, {"volume", Value::List{Value::Map{}}}},
              "volume[0].path: is required, but was not given"},
             {Value::Map{{"command", "c"}, {"labels", Value::Map{{"k", 1}}}},
              "labels.k: expected text, found a number (1)"},
             {Value::List{}, "config: expected a map, found a list"},
         }) {
        auto config = schema().decode(msgpack_encode(value));
        ASSERT_FALSE(config) << message;
        EXPECT_EQ(config.error().message(), message);
        EXPECT_EQ(config.error().code(), Code::InvalidArgument);
    }
}

TEST(Attribute, TextIsWhatNodesShow) {
    EXPECT_EQ((Attribute{int64_t{4}, "GiB"}).text(), "4GiB");
    EXPECT_EQ((Attribute{1.0, ""}).text(), "1");
    EXPECT_EQ((Attribute{0.25, "W"}).text(), "0.25W");
    EXPECT_EQ((Attribute{true, ""}).text(), "true");
    EXPECT_EQ((Attribute{std::string("x"), ""}).text(), "x");
}

}  // namespace
}  // namespace drover::sdk
