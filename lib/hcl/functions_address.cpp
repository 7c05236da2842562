// SPDX-License-Identifier: Apache-2.0
// Arithmetic on network prefixes: cidrhost, cidrnetmask, cidrsubnet, cidrsubnets; IPv4 and IPv6.
#include <arpa/inet.h>

#include <fmt/format.h>

#include "base/strings.h"
#include "hcl/function_tables.h"

namespace drover::hcl {

namespace {

// An address as 16 (or 4) bytes with its prefix length.
struct Prefix {
    std::vector<uint8_t> bytes;
    size_t length = 0;

    size_t bits() const { return bytes.size() * 8; }
    std::string address() const {
        char text[INET6_ADDRSTRLEN] = {};
        inet_ntop(bytes.size() == 4 ? AF_INET : AF_INET6, bytes.data(), text, sizeof text);
        return text;
    }
    std::string text() const { return fmt::format("{}/{}", address(), length); }
};

tl::expected<Prefix, CallError> parse_prefix(const Value& value) {
    const std::string& text = value.as_string();
    size_t slash = text.find('/');
    std::string address = text.substr(0, slash);
    std::optional<uint64_t> length =
        slash == std::string::npos ? std::nullopt : parse_uint(text.substr(slash + 1));
    Prefix out;
    bool v6 = address.find(':') != std::string::npos;
    out.bytes.resize(v6 ? 16 : 4);
    bool ok = length && inet_pton(v6 ? AF_INET6 : AF_INET, address.c_str(), out.bytes.data()) == 1 &&
              *length <= out.bits();
    if (!ok) return argument_error(0, fmt::format("invalid CIDR address: {}", text));
    out.length = *length;
    for (size_t bit = out.length; bit < out.bits(); ++bit)
        out.bytes[bit / 8] &= static_cast<uint8_t>(~(0x80u >> bit % 8));
    return out;
}

// Adds `value` to the bits that end at bit `end`.
void add_at(Prefix& prefix, size_t end, uint64_t value) {
    uint64_t carry = 0;
    for (size_t i = 0; i < end; ++i) {
        size_t bit = end - 1 - i;
        uint64_t sum = (i < 64 ? value >> i & 1 : 0) + (prefix.bytes[bit / 8] >> (7 - bit % 8) & 1) + carry;
        auto mask = static_cast<uint8_t>(0x80u >> bit % 8);
        prefix.bytes[bit / 8] =
            static_cast<uint8_t>((prefix.bytes[bit / 8] & ~mask) | ((sum & 1) ? mask : 0));
        carry = sum >> 1;
    }
}

bool fits_bits(uint64_t value, size_t bits) {
    return bits >= 64 || value < uint64_t{1} << bits;
}

CallResult host(const Arguments& a) {
    auto prefix = parse_prefix(a[0]);
    if (!prefix) return tl::unexpected(prefix.error());
    std::optional<int64_t> number = a[1].as_number().to_int64();
    if (!number) return argument_error(1, "must be a whole number");
    size_t host_bits = prefix->bits() - prefix->length;
    uint64_t magnitude = *number < 0 ? static_cast<uint64_t>(-(*number + 1)) : static_cast<uint64_t>(*number);
    if (!fits_bits(magnitude, host_bits)) {
        return call_error(
            fmt::format("prefix of {} does not accommodate a host numbered {}", prefix->length, *number));
    }
    if (*number >= 0) {
        add_at(*prefix, prefix->bits(), magnitude);
    } else {
        // From the end: all host bits set, less the magnitude, which is those bits flipped.
        for (size_t i = 0; i < host_bits; ++i) {
            size_t bit = prefix->bits() - 1 - i;
            bool one = i >= 64 || !(magnitude >> i & 1);
            if (one) prefix->bytes[bit / 8] |= static_cast<uint8_t>(0x80u >> bit % 8);
        }
    }
    return Value(prefix->address());
}

CallResult netmask(const Arguments& a) {
    auto prefix = parse_prefix(a[0]);
    if (!prefix) return tl::unexpected(prefix.error());
    if (prefix->bits() != 32) return argument_error(0, "IPv6 addresses cannot have a netmask");
    for (size_t bit = 0; bit < 32; ++bit) {
        auto mask = static_cast<uint8_t>(0x80u >> bit % 8);
        if (bit < prefix->length)
            prefix->bytes[bit / 8] |= mask;
        else
            prefix->bytes[bit / 8] &= static_cast<uint8_t>(~mask);
    }
    return Value(prefix->address());
}

CallResult subnet(const Arguments& a) {
    auto prefix = parse_prefix(a[0]);
    if (!prefix) return tl::unexpected(prefix.error());
    std::optional<uint64_t> more = a[1].as_number().to_uint64(), number = a[2].as_number().to_uint64();
    if (!more) return argument_error(1, "must be a whole number that is not negative");
    if (!number) return argument_error(2, "must be a whole number that is not negative");
    if (*more > prefix->bits() - prefix->length) {
        return argument_error(
            1, fmt::format("insufficient address space to extend prefix of {} by {}", prefix->length, *more));
    }
    if (!fits_bits(*number, *more)) {
        return argument_error(
            2,
            fmt::format("prefix extension of {} does not accommodate a subnet numbered {}", *more, *number));
    }
    prefix->length += *more;
    add_at(*prefix, prefix->length, *number);
    return Value(prefix->text());
}

// Consecutive subnets, each with its own number of additional bits.
CallResult subnets(const Arguments& a) {
    auto base = parse_prefix(a[0]);
    if (!base) return tl::unexpected(base.error());
    Value::Sequence out;
    Prefix next = *base;
    for (size_t i = 1; i < a.size(); ++i) {
        std::optional<uint64_t> more = a[i].as_number().to_uint64();
        if (!more || *more < 1) return argument_error(i, "must extend prefix by at least one bit");
        if (*more > base->bits() - base->length) {
            return argument_error(i, fmt::format("insufficient address space to extend prefix of {} by {}",
                                                 base->length, *more));
        }
        Prefix made = next;
        made.length = base->length + *more;
        // Up to the next multiple of this subnet's size.
        Prefix aligned = made;
        for (size_t bit = made.length; bit < made.bits(); ++bit)
            aligned.bytes[bit / 8] &= static_cast<uint8_t>(~(0x80u >> bit % 8));
        if (aligned.bytes != made.bytes) add_at(aligned, made.length, 1);
        for (size_t bit = 0; bit < base->length; ++bit) {
            auto mask = static_cast<uint8_t>(0x80u >> bit % 8);
            if ((aligned.bytes[bit / 8] & mask) != (base->bytes[bit / 8] & mask)) {
                return argument_error(
                    i, fmt::format("not enough remaining address space for a subnet with a prefix of {} bits",
                                   made.length));
            }
        }
        bool full = !out.empty() && aligned.bytes == base->bytes;
        if (full)
            return argument_error(
                i, fmt::format("not enough remaining address space for a subnet with a prefix of {} bits",
                               made.length));
        out.push_back(Value(aligned.text()));
        next = aligned;
        add_at(next, made.length, 1);
    }
    return Value::list(Type::string(), std::move(out));
}

}  // namespace

void add_address_functions(Functions& table) {
    Type s = Type::string();
    table["cidrhost"] = function({text("prefix"), number("hostnum")}, s, host);
    table["cidrnetmask"] = function({text("prefix")}, s, netmask);
    table["cidrsubnet"] = function({text("prefix"), number("newbits"), number("netnum")}, s, subnet);
    table["cidrsubnets"] = variadic({text("prefix")}, number("newbits"), Type::list(s), subnets);
}

}  // namespace drover::hcl
