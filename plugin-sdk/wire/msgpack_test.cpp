// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/wire/msgpack.h"

#include <gtest/gtest.h>

#include <limits>

namespace drover::sdk {
namespace {

std::string hex(std::string_view bytes) {
    std::string out;
    for (char c : bytes) out += fmt::format("{:02x}", static_cast<uint8_t>(c));
    return out;
}
std::string unhex(std::string_view text) {
    std::string out;
    for (size_t i = 0; i + 1 < text.size(); i += 2)
        out += static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16));
    return out;
}

// The byte forms that Nomad's encoder was seen to send.
TEST(Msgpack, WritesTheFormsOfNomadsHosts) {
    EXPECT_EQ(hex(msgpack_encode(Value::Map{{"b", "1"}, {"a", Value()}})), "82a161c0a162a131");
    EXPECT_EQ(hex(msgpack_encode(42)), "2a");
    EXPECT_EQ(hex(msgpack_encode(300)), "cd012c");
    EXPECT_EQ(hex(msgpack_encode(70000)), "ce00011170");
    EXPECT_EQ(hex(msgpack_encode(-42)), "d0d6");
    EXPECT_EQ(hex(msgpack_encode(-200)), "d1ff38");
    EXPECT_EQ(hex(msgpack_encode(0.5)), "cb3fe0000000000000");
    EXPECT_EQ(hex(msgpack_encode(true)), "c3");
    EXPECT_EQ(hex(msgpack_encode("0.1")), "a3302e31");
}

TEST(Msgpack, RoundTrips) {
    Value::List many(70000, Value(1));
    Value::Map wide;
    for (int i = 0; i < 20; ++i) wide.emplace(fmt::format("key {}", i), i);
    for (const Value& value : std::vector<Value>{Value(),
                                                 false,
                                                 0,
                                                 127,
                                                 128,
                                                 255,
                                                 256,
                                                 65535,
                                                 65536,
                                                 int64_t{1} << 40,
                                                 -1,
                                                 -32,
                                                 -33,
                                                 -128,
                                                 -129,
                                                 -32769,
                                                 std::numeric_limits<int64_t>::max(),
                                                 std::numeric_limits<int64_t>::min(),
                                                 1.25,
                                                 "",
                                                 std::string(31, 'x'),
                                                 std::string(32, 'x'),
                                                 std::string(300, 'x'),
                                                 std::string(70000, 'x'),
                                                 many,
                                                 wide,
                                                 Value::List{1, "a", Value::Map{{"k", Value::List{}}}}}) {
        auto again = msgpack_decode(msgpack_encode(value));
        ASSERT_TRUE(again) << again.error().message();
        EXPECT_EQ(*again, value);
    }
}

TEST(Msgpack, ReadsFormsThatItDoesNotWrite) {
    EXPECT_EQ(*msgpack_decode(unhex("c4026869")), Value("hi"));   // bin
    EXPECT_EQ(*msgpack_decode(unhex("ca3f000000")), Value(0.5));  // float32
    EXPECT_EQ(*msgpack_decode(unhex("cfffffffffffffffff")), Value("18446744073709551615"));
    EXPECT_EQ(*msgpack_decode(unhex("d1002a")), Value(42));  // a wider form than needed
}

TEST(Msgpack, RefusesBadInputNamingTheByte) {
    struct Case {
        const char* hex;
        const char* message;
    };
    for (auto [bytes, message] : {
             Case{"", "msgpack, byte 0: cut off"},
             Case{"cd01", "msgpack, byte 1: cut off in a number"},
             Case{"a5686921", "msgpack, byte 1: text of 5 bytes is cut off"},
             Case{"ddffffffff", "msgpack, byte 5: a list of 4294967295 items is cut off"},
             Case{"dfffffffff", "msgpack, byte 5: a map of 4294967295 keys is cut off"},
             Case{"2a2a", "msgpack, byte 1: 1 bytes follow the value"},
             Case{"812a01", "msgpack, byte 1: a map's key must be text, found a number"},
             Case{"d40000", "msgpack, byte 0: type 0xd4 is not supported (an ext type, or no msgpack at all)"},
         }) {
        auto value = msgpack_decode(unhex(bytes));
        ASSERT_FALSE(value) << bytes;
        EXPECT_EQ(value.error().message(), message);
        EXPECT_EQ(value.error().code(), Code::InvalidArgument);
    }
    auto deep = msgpack_decode(std::string(1000, '\x91') + '\x01');
    ASSERT_FALSE(deep);
    EXPECT_NE(deep.error().message().find("more than 64 levels deep"), std::string::npos);
}

}  // namespace
}  // namespace drover::sdk
