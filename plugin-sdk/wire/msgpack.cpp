// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/wire/msgpack.h"

#include <bit>
#include <limits>

namespace drover::sdk {
namespace {

constexpr int kDepthMax = 64;

// --- encode

template <class U>
void put_big_endian(std::string& out, U value) {
    for (int shift = static_cast<int>(sizeof(U)) * 8 - 8; shift >= 0; shift -= 8)
        out += static_cast<char>(static_cast<uint64_t>(value) >> shift);
}

void put_int(std::string& out, int64_t v) {
    if (v >= 0) {
        auto u = static_cast<uint64_t>(v);
        if (u < 0x80) {
            out += static_cast<char>(u);
        } else if (u <= 0xff) {
            out += '\xcc';
            put_big_endian(out, static_cast<uint8_t>(u));
        } else if (u <= 0xffff) {
            out += '\xcd';
            put_big_endian(out, static_cast<uint16_t>(u));
        } else if (u <= 0xffffffff) {
            out += '\xce';
            put_big_endian(out, static_cast<uint32_t>(u));
        } else {
            out += '\xcf';
            put_big_endian(out, u);
        }
    } else if (v >= -32) {
        out += static_cast<char>(v);
    } else if (v >= std::numeric_limits<int8_t>::min()) {
        out += '\xd0';
        put_big_endian(out, static_cast<uint8_t>(v));
    } else if (v >= std::numeric_limits<int16_t>::min()) {
        out += '\xd1';
        put_big_endian(out, static_cast<uint16_t>(v));
    } else if (v >= std::numeric_limits<int32_t>::min()) {
        out += '\xd2';
        put_big_endian(out, static_cast<uint32_t>(v));
    } else {
        out += '\xd3';
        put_big_endian(out, static_cast<uint64_t>(v));
    }
}

// The length of a list or map: a short form up to 15, then 16 and 32 bits.
void put_length(std::string& out, size_t n, uint8_t fix, uint8_t wide) {
    if (n < 16) {
        out += static_cast<char>(fix | n);
    } else if (n <= 0xffff) {
        out += static_cast<char>(wide);
        put_big_endian(out, static_cast<uint16_t>(n));
    } else {
        out += static_cast<char>(wide + 1);
        put_big_endian(out, static_cast<uint32_t>(n));
    }
}

void put_string(std::string& out, std::string_view text) {
    size_t n = text.size();
    if (n < 32) {
        out += static_cast<char>(0xa0 | n);
    } else if (n <= 0xff) {
        out += '\xd9';
        put_big_endian(out, static_cast<uint8_t>(n));
    } else if (n <= 0xffff) {
        out += '\xda';
        put_big_endian(out, static_cast<uint16_t>(n));
    } else {
        out += '\xdb';
        put_big_endian(out, static_cast<uint32_t>(n));
    }
    out += text;
}

void put(std::string& out, const Value& value) {
    if (const bool* flag = value.as_bool()) {
        out += *flag ? '\xc3' : '\xc2';
    } else if (const int64_t* number = value.as_int()) {
        put_int(out, *number);
    } else if (const double* real = value.as_double()) {
        out += '\xcb';
        put_big_endian(out, std::bit_cast<uint64_t>(*real));
    } else if (const std::string* text = value.as_string()) {
        put_string(out, *text);
    } else if (const Value::List* list = value.as_list()) {
        put_length(out, list->size(), 0x90, 0xdc);
        for (const Value& item : *list) put(out, item);
    } else if (const Value::Map* map = value.as_map()) {
        put_length(out, map->size(), 0x80, 0xde);
        for (const auto& [key, item] : *map) {
            put_string(out, key);
            put(out, item);
        }
    } else {
        out += '\xc0';
    }
}

// --- decode

class Reader {
 public:
    explicit Reader(std::string_view bytes) : bytes_(bytes) {}

    Result<Value> whole() {
        DROVER_TRY(Value value, read(0));
        if (at_ != bytes_.size()) return fail("{} bytes follow the value", bytes_.size() - at_);
        return value;
    }

 private:
    template <class... Args>
    Error fail(fmt::format_string<Args...> format, Args&&... args) const {
        return make_error(Code::InvalidArgument, "msgpack, byte {}: {}", at_,
                          fmt::format(format, std::forward<Args>(args)...));
    }

    template <class U>
    Result<U> number() {
        if (bytes_.size() - at_ < sizeof(U)) return fail("cut off in a number");
        uint64_t value = 0;
        for (size_t i = 0; i < sizeof(U); ++i) value = value << 8 | static_cast<uint8_t>(bytes_[at_ + i]);
        at_ += sizeof(U);
        return static_cast<U>(value);
    }

    template <class U>
    Result<Value> signed_number() {
        DROVER_TRY(U raw, number<U>());
        return Value(static_cast<int64_t>(static_cast<std::make_signed_t<U>>(raw)));
    }

    template <class U>
    Result<Value> unsigned_number() {
        DROVER_TRY(U raw, number<U>());
        uint64_t value = raw;
        if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return Value(std::to_string(value));
        return Value(static_cast<int64_t>(value));
    }

    Result<Value> text(size_t length) {
        if (bytes_.size() - at_ < length) return fail("text of {} bytes is cut off", length);
        Value value(bytes_.substr(at_, length));
        at_ += length;
        return value;
    }
    template <class U>
    Result<Value> sized_text() {
        DROVER_TRY(U length, number<U>());
        return text(length);
    }

    Result<Value> list(size_t length, int depth) {
        // Each item takes a byte at least: a length beyond what is left is not allocated for.
        if (bytes_.size() - at_ < length) return fail("a list of {} items is cut off", length);
        Value::List items;
        for (size_t i = 0; i < length; ++i) {
            DROVER_TRY(Value item, read(depth + 1));
            items.push_back(std::move(item));
        }
        return Value(std::move(items));
    }
    template <class U>
    Result<Value> sized_list(int depth) {
        DROVER_TRY(U length, number<U>());
        return list(length, depth);
    }

    Result<Value> map(size_t length, int depth) {
        if ((bytes_.size() - at_) / 2 < length) return fail("a map of {} keys is cut off", length);
        Value::Map items;
        for (size_t i = 0; i < length; ++i) {
            size_t start = at_;
            DROVER_TRY(Value key, read(depth + 1));
            if (!key.as_string()) {
                at_ = start;
                return fail("a map's key must be text, found {}", key.kind_name());
            }
            DROVER_TRY(Value item, read(depth + 1));
            items.insert_or_assign(*key.as_string(), std::move(item));
        }
        return Value(std::move(items));
    }
    template <class U>
    Result<Value> sized_map(int depth) {
        DROVER_TRY(U length, number<U>());
        return map(length, depth);
    }

    Result<Value> read(int depth) {
        if (depth > kDepthMax) return fail("more than {} levels deep", kDepthMax);
        if (at_ >= bytes_.size()) return fail("cut off");
        auto tag = static_cast<uint8_t>(bytes_[at_++]);
        if (tag < 0x80) return Value(static_cast<int64_t>(tag));
        if (tag < 0x90) return map(tag & 0x0f, depth);
        if (tag < 0xa0) return list(tag & 0x0f, depth);
        if (tag < 0xc0) return text(tag & 0x1f);
        if (tag >= 0xe0) return Value(static_cast<int64_t>(static_cast<int8_t>(tag)));
        switch (tag) {
            case 0xc0: return Value();
            case 0xc2: return Value(false);
            case 0xc3: return Value(true);
            case 0xc4:
            case 0xd9: return sized_text<uint8_t>();
            case 0xc5:
            case 0xda: return sized_text<uint16_t>();
            case 0xc6:
            case 0xdb: return sized_text<uint32_t>();
            case 0xca: {
                DROVER_TRY(uint32_t raw, number<uint32_t>());
                return Value(static_cast<double>(std::bit_cast<float>(raw)));
            }
            case 0xcb: {
                DROVER_TRY(uint64_t raw, number<uint64_t>());
                return Value(std::bit_cast<double>(raw));
            }
            case 0xcc: return unsigned_number<uint8_t>();
            case 0xcd: return unsigned_number<uint16_t>();
            case 0xce: return unsigned_number<uint32_t>();
            case 0xcf: return unsigned_number<uint64_t>();
            case 0xd0: return signed_number<uint8_t>();
            case 0xd1: return signed_number<uint16_t>();
            case 0xd2: return signed_number<uint32_t>();
            case 0xd3: return signed_number<uint64_t>();
            case 0xdc: return sized_list<uint16_t>(depth);
            case 0xdd: return sized_list<uint32_t>(depth);
            case 0xde: return sized_map<uint16_t>(depth);
            case 0xdf: return sized_map<uint32_t>(depth);
            default: --at_; return fail("type 0x{:02x} is not supported (an ext type, or no msgpack at all)", tag);
        }
    }

    std::string_view bytes_;
    size_t at_ = 0;
};

}  // namespace

std::string msgpack_encode(const Value& value) {
    std::string out;
    put(out, value);
    return out;
}

Result<Value> msgpack_decode(std::string_view bytes) { return Reader(bytes).whole(); }

}  // namespace drover::sdk
