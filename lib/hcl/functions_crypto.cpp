// SPDX-License-Identifier: Apache-2.0
// Hashes, bcrypt, RSA decryption and UUIDs. The only file of the room that knows OpenSSL; randomness is given
// from outside.
#include <crypt.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <fmt/format.h>

#include "base/strings.h"
#include "base/uuid.h"
#include "hcl/function_tables.h"
#include "hcl/scanner.h"

namespace drover::hcl {

namespace {

std::string digest(const EVP_MD* kind, std::string_view text) {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    EVP_Digest(text.data(), text.size(), bytes, &length, kind, nullptr);
    return {reinterpret_cast<const char*>(bytes), length};
}

std::string hex(std::string_view bytes) {
    std::string out;
    for (char c : bytes) out += fmt::format("{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    return out;
}

std::string uuid_text(std::string bytes, unsigned version) {
    bytes[6] = static_cast<char>((static_cast<unsigned char>(bytes[6]) & 0x0F) | version << 4);
    bytes[8] = static_cast<char>((static_cast<unsigned char>(bytes[8]) & 0x3F) | 0x80);
    std::string h = hex(bytes);
    return fmt::format("{}-{}-{}-{}-{}", h.substr(0, 8), h.substr(8, 4), h.substr(12, 4), h.substr(16, 4),
                       h.substr(20));
}

CallResult uuid_v5(const Arguments& a) {
    // RFC 4122's name spaces differ in one digit.
    static const std::map<std::string, char> kKnown = {
        {"dns", '0'}, {"url", '1'}, {"oid", '2'}, {"x500", '4'}};
    std::string space = a[0].as_string();
    auto known = kKnown.find(space);
    if (known != kKnown.end()) space = fmt::format("6ba7b81{}-9dad-11d1-80b4-00c04fd430c8", known->second);
    if (!is_uuid(space)) return argument_error(0, "must be dns, url, oid, x500 or a UUID");
    std::string bytes;
    for (size_t i = 0; i < space.size();) {
        if (space[i] == '-') {
            ++i;
            continue;
        }
        bytes += static_cast<char>(std::stoi(space.substr(i, 2), nullptr, 16));
        i += 2;
    }
    return Value(uuid_text(digest(EVP_sha1(), bytes + a[1].as_string()).substr(0, 16), 5));
}

// Radix 64 as bcrypt writes it.
std::string bcrypt_salt(std::string_view bytes) {
    static constexpr std::string_view kAlphabet =
        "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    std::string out;
    for (size_t i = 0; i < bytes.size(); i += 3) {
        uint32_t group = 0;
        for (size_t j = 0; j < 3; ++j)
            group = group << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0);
        for (int shift = 18; shift >= 0; shift -= 6) out += kAlphabet[group >> shift & 0x3F];
    }
    return out.substr(0, 22);
}

CallResult bcrypt(const Arguments& a, const FunctionEnvironment& environment) {
    // Each step of cost doubles the work: 15 takes about two seconds, more would let one call stop a server.
    constexpr int64_t kCostMax = 15;
    if (a.size() > 2) return call_error("bcrypt() takes no more than two arguments");
    std::optional<int64_t> cost = a.size() == 2 ? a[1].as_number().to_int64() : 10;
    if (!cost || *cost < 4 || *cost > kCostMax)
        return argument_error(1, fmt::format("must be a whole number from 4 to {}", kCostMax));
    if (a[0].as_string().size() > 72) return argument_error(0, "bcrypt takes at most 72 bytes");
    std::string random = environment.random_bytes(16);
    if (random.size() != 16) return call_error("there is no source of randomness here");
    std::string setting = fmt::format("$2b${:02}${}", *cost, bcrypt_salt(random));
    crypt_data data{};
    const char* hash = crypt_r(a[0].as_string().c_str(), setting.c_str(), &data);
    if (!hash || hash[0] == '*') return call_error("bcrypt is not supported by this system's libcrypt");
    return Value::string(hash);
}

CallResult rsa_decrypt(const Arguments& a) {
    std::optional<std::string> cipher = base64_decode(a[0].as_string());
    if (!cipher) return argument_error(0, "cipher text must be base64-encoded");
    std::unique_ptr<BIO, decltype(&BIO_free)> bio(
        BIO_new_mem_buf(a[1].as_string().data(), static_cast<int>(a[1].as_string().size())), BIO_free);
    // An empty password: an encrypted key must not make OpenSSL ask on the terminal.
    std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
        PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, const_cast<char*>("")), EVP_PKEY_free);
    if (!key || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_RSA) {
        return argument_error(1, "must be an RSA private key in PEM form, not encrypted");
    }
    std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(EVP_PKEY_CTX_new(key.get(), nullptr),
                                                                        EVP_PKEY_CTX_free);
    const auto* in = reinterpret_cast<const unsigned char*>(cipher->data());
    size_t length = 0;
    std::string plain;
    bool ok = context && EVP_PKEY_decrypt_init(context.get()) > 0 &&
              EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PADDING) > 0 &&
              EVP_PKEY_decrypt(context.get(), nullptr, &length, in, cipher->size()) > 0;
    if (ok) {
        plain.resize(length);
        ok = EVP_PKEY_decrypt(context.get(), reinterpret_cast<unsigned char*>(plain.data()), &length, in,
                              cipher->size()) > 0;
    }
    if (!ok) return call_error("failed to decrypt: wrong key, or the data is damaged");
    plain.resize(length);
    if (!is_valid_utf8(plain)) return call_error("the decrypted text is not valid UTF-8");
    return Value(std::move(plain));
}

}  // namespace

void add_crypto_functions(Functions& table, std::shared_ptr<const FunctionEnvironment> environment) {
    Type s = Type::string();
    table["sha256"] = function({text("str")}, s, [](const Arguments& a) -> CallResult {
        return Value(hex(digest(EVP_sha256(), a[0].as_string())));
    });
    table["sha512"] = function({text("str")}, s, [](const Arguments& a) -> CallResult {
        return Value(hex(digest(EVP_sha512(), a[0].as_string())));
    });
    table["rsadecrypt"] = function({text("ciphertext"), text("privatekey")}, s, rsa_decrypt);
    table["uuidv5"] = function({text("namespace"), text("name")}, s, uuid_v5);
    table["uuidv4"] = function({}, s, [environment](const Arguments&) -> CallResult {
        std::string random = environment->random_bytes(16);
        if (random.size() != 16) return call_error("there is no source of randomness here");
        return Value(uuid_text(std::move(random), 4));
    });
    table["bcrypt"] = variadic({text("str")}, number("cost"), s,
                               [environment](const Arguments& a) { return bcrypt(a, *environment); });
}

}  // namespace drover::hcl
