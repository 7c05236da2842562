// SPDX-License-Identifier: Apache-2.0
// Records of plugin processes; see the header.
#include "agent/host/record.h"

#include <openssl/evp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/strings.h"

namespace drover::agent {
namespace {

using nlohmann::json;

std::string hex(const unsigned char* bytes, unsigned size) {
    std::string out;
    for (unsigned i = 0; i < size; ++i) out += fmt::format("{:02x}", bytes[i]);
    return out;
}

template <class T>
Status take(const json& from, const char* key, T* out) {
    const auto it = from.find(key);
    if (it == from.end()) return make_error(Code::DataLoss, "\"{}\" is missing", key);
    try {
        *out = it->get<T>();
    } catch (const json::exception& e) {
        return make_error(Code::DataLoss, "\"{}\": {}", key, e.what());
    }
    return {};
}

Result<PluginRecord> decode(const std::string& text) {
    const json doc = json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!doc.is_object()) return make_error(Code::DataLoss, "not a JSON object");
    int version = 0;
    DROVER_CHECK(take(doc, "version", &version));
    if (version != PluginRecord::kVersion) {
        return make_error(Code::DataLoss, "version {}, expected {}", version, PluginRecord::kVersion);
    }
    PluginRecord record;
    std::string network;
    DROVER_CHECK(take(doc, "boot_id", &record.boot_id));
    DROVER_CHECK(take(doc, "pid", &record.pid));
    DROVER_CHECK(take(doc, "start_time", &record.start_time));
    DROVER_CHECK(take(doc, "peer_pid", &record.peer_pid));
    DROVER_CHECK(take(doc, "network", &network));
    DROVER_CHECK(take(doc, "address", &record.address.address));
    DROVER_CHECK(take(doc, "port", &record.address.port));
    DROVER_CHECK(take(doc, "file", &record.file));
    DROVER_CHECK(take(doc, "file_id", &record.file_id));
    DROVER_CHECK(take(doc, "config_hash", &record.config_hash));
    DROVER_CHECK(take(doc, "name", &record.name));
    DROVER_CHECK(take(doc, "type", &record.type));
    DROVER_CHECK(take(doc, "api_version", &record.api_version));
    if (network != "unix" && network != "tcp") return make_error(Code::DataLoss, "network \"{}\"", network);
    record.address.network = network == "tcp" ? Handshake::Network::Tcp : Handshake::Network::Unix;
    if (record.pid <= 1) return make_error(Code::DataLoss, "pid {}", record.pid);
    return record;
}

}  // namespace

Status write_record(const std::string& path, const PluginRecord& record) {
    const json doc{{"version", PluginRecord::kVersion},
                   {"boot_id", record.boot_id},
                   {"pid", record.pid},
                   {"start_time", record.start_time},
                   {"peer_pid", record.peer_pid},
                   {"network", record.address.network == Handshake::Network::Tcp ? "tcp" : "unix"},
                   {"address", record.address.address},
                   {"port", record.address.port},
                   {"file", record.file},
                   {"file_id", record.file_id},
                   {"config_hash", record.config_hash},
                   {"name", record.name},
                   {"type", record.type},
                   {"api_version", record.api_version}};
    return write_file_durable(path, doc.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

Result<PluginRecord> read_record(const std::string& path) {
    constexpr uint64_t kRecordBytesMax = 64 << 10;
    DROVER_TRY(const std::string text, read_file(path, kRecordBytesMax));
    return decode(text).context(path);
}

Result<std::string> current_boot_id() {
    const char* file = ::getenv("DROVER_BOOT_ID_FILE");  // tests of a reboot; the same one as base/sys/proc.h
    DROVER_TRY(const std::string text, read_file(file ? file : "/proc/sys/kernel/random/boot_id", 1024));
    return std::string(trim(text));
}

Result<uint64_t> process_start_time(pid_t pid) {
    auto text = read_file(fmt::format("/proc/{}/stat", pid), 4096);
    if (!text) return make_error(Code::NotFound, "no process {}", pid);
    // The name in parentheses may hold anything, also spaces and parentheses: fields count from the last ')'.
    const auto close = text->rfind(')');
    if (close == std::string::npos) return make_error(Code::DataLoss, "/proc/{}/stat has no name field", pid);
    const auto fields = split(trim(std::string_view(*text).substr(close + 1)), ' ');
    constexpr size_t kState = 0, kStartTime = 19;  // fields 3 and 22
    if (fields.size() <= kStartTime) return make_error(Code::DataLoss, "/proc/{}/stat is too short", pid);
    if (fields[kState] == "Z" || fields[kState] == "X")
        return make_error(Code::NotFound, "process {} has ended", pid);
    const auto ticks = parse_uint(fields[kStartTime]);
    if (!ticks) return make_error(Code::DataLoss, "/proc/{}/stat: bad start time", pid);
    return *ticks;
}

Result<UniqueFd> open_pidfd(pid_t pid) {
    UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!fd) return Error::from_errno(fmt::format("pidfd_open {}", pid));
    return fd;
}

Result<std::string> identify_file(const std::string& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return Error::from_errno(path);
    return fmt::format("{}:{}:{}:{}.{:09}", info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec,
                       info.st_mtim.tv_nsec);
}

std::string hash_text(std::string_view text) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    DROVER_ASSERT(EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha256(), nullptr) == 1);
    return hex(digest, size);
}

}  // namespace drover::agent
