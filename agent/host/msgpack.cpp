// SPDX-License-Identifier: Apache-2.0
// MessagePack of an HCL value, byte for byte as Nomad's host writes it: plugins' decoders are strict about
// number forms. Called by config_schema.cpp.
#include <bit>

#include "agent/host/config_schema.h"
#include "hcl/value.h"

namespace drover::agent {
namespace {

class Writer {
 public:
    void value(const hcl::Value& v) {
        DROVER_ASSERT(v.is_known());  // every variable of a plugin's config is known
        if (v.is_null()) return byte(0xc0);
        switch (v.kind()) {
            case hcl::Kind::Any:
                return byte(0xc0);
            case hcl::Kind::Bool:
                return byte(v.as_bool() ? 0xc3 : 0xc2);
            case hcl::Kind::Number:
                return number(v.as_number());
            case hcl::Kind::String:
                return text(v.as_string());
            case hcl::Kind::List:
            case hcl::Kind::Set:
            case hcl::Kind::Tuple:
                header(v.as_sequence().size(), 0x90, 0xdc);
                for (const auto& element : v.as_sequence()) value(element);
                return;
            case hcl::Kind::Map:
            case hcl::Kind::Object:
                header(v.as_mapping().size(), 0x80, 0xde);
                for (const auto& [key, element] : v.as_mapping()) {
                    text(key);
                    value(element);
                }
                return;
        }
    }
    std::string take() { return std::move(out_); }

 private:
    void byte(unsigned b) { out_ += static_cast<char>(b); }
    void big_endian(uint64_t bits, int bytes) {
        for (int i = bytes - 1; i >= 0; --i) byte(static_cast<unsigned>(bits >> (8 * i)) & 0xff);
    }
    // Arrays and maps: fix form below 16, then 16 and 32 bit counts.
    void header(size_t count, unsigned fix, unsigned wide) {
        if (count < 16) return byte(fix | static_cast<unsigned>(count));
        if (count <= 0xffff) return byte(wide), big_endian(count, 2);
        DROVER_ASSERT(count <= 0xffffffff);
        byte(wide + 1);
        big_endian(count, 4);
    }
    void text(std::string_view s) {
        const size_t size = s.size();
        DROVER_ASSERT(size <= 0xffffffff);
        if (size < 32)
            byte(0xa0 | static_cast<unsigned>(size));
        else if (size <= 0xff)
            byte(0xd9), big_endian(size, 1);
        else if (size <= 0xffff)
            byte(0xda), big_endian(size, 2);
        else
            byte(0xdb), big_endian(size, 4);
        out_ += s;
    }
    void number(const hcl::Number& n) {
        if (const auto i = n.to_int64()) return integer(*i);
        if (n.fits_double_exactly()) {
            byte(0xcb);
            return big_endian(std::bit_cast<uint64_t>(n.to_double()), 8);
        }
        text(n.text());
    }
    void integer(int64_t i) {
        const auto bits = static_cast<uint64_t>(i);
        if (i >= 0) {
            if (i <= 0x7f) return byte(static_cast<unsigned>(i));
            if (i <= 0xff) return byte(0xcc), big_endian(bits, 1);
            if (i <= 0xffff) return byte(0xcd), big_endian(bits, 2);
            if (i <= 0xffffffff) return byte(0xce), big_endian(bits, 4);
            return byte(0xcf), big_endian(bits, 8);
        }
        if (i >= -32) return byte(static_cast<unsigned>(bits & 0xff));
        if (i >= INT8_MIN) return byte(0xd0), big_endian(bits, 1);
        if (i >= INT16_MIN) return byte(0xd1), big_endian(bits, 2);
        if (i >= INT32_MIN) return byte(0xd2), big_endian(bits, 4);
        byte(0xd3);
        big_endian(bits, 8);
    }

    std::string out_;
};

}  // namespace

std::string encode_msgpack(const hcl::Value& value) {
    Writer writer;
    writer.value(value);
    return writer.take();
}

}  // namespace drover::agent
