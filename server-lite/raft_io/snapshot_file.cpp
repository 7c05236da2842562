// SPDX-License-Identifier: Apache-2.0
#include "server-lite/raft_io/snapshot_file.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/files.h"

namespace drover::server::raft {
namespace {

constexpr std::string_view kMagic = "DROVERS1";
constexpr uint32_t kTailMark = 0xffffffff;
constexpr uint32_t kRecordBytesMax = 256u << 20;

template <class T>
void put(std::string& out, T value) {
    for (size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<char>((value >> (8 * i)) & 0xff));
}

template <class T>
T get(std::string_view bytes) {
    T value = 0;
    for (size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(static_cast<uint8_t>(bytes[i])) << (8 * i);
    return value;
}

Status fsync_dir_of(const std::string& path) {
    UniqueFd dir(::open(path.substr(0, path.rfind('/')).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!dir || ::fsync(dir.get()) != 0) return Error::from_errno(fmt::format("sync directory of {}", path));
    return {};
}

}  // namespace

uint32_t crc32(std::string_view bytes, uint32_t seed) {
    static const auto table = [] {
        std::array<uint32_t, 256> t{};
        for (uint32_t i = 0; i < 256; ++i) {
            uint32_t c = i;
            for (int k = 0; k < 8; ++k) c = (c & 1) ? 0xedb88320u ^ (c >> 1) : c >> 1;
            t[i] = c;
        }
        return t;
    }();
    uint32_t crc = ~seed;
    for (char b : bytes) crc = table[(crc ^ static_cast<uint8_t>(b)) & 0xff] ^ (crc >> 8);
    return ~crc;
}

Status write_snapshot_file(const std::string& path, uint64_t index, uint64_t term,
                           const std::function<Status(const RecordSink&)>& writer) {
    const std::string temporary = path + ".tmp";
    UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!fd) return Error::from_errno(fmt::format("open {}", temporary));
    uint32_t crc = 0;
    uint64_t records = 0;
    std::string buffer(kMagic);
    put<uint64_t>(buffer, index);
    put<uint64_t>(buffer, term);
    auto flush = [&]() -> Status {
        crc = crc32(buffer, crc);
        auto written = write_all(fd.get(), buffer);
        buffer.clear();
        return std::move(written).context(fmt::format("write {}", temporary));
    };
    auto status = writer([&](std::string_view record) -> Status {
        DROVER_ASSERT(record.size() < kRecordBytesMax);
        put<uint32_t>(buffer, static_cast<uint32_t>(record.size()));
        buffer.append(record);
        ++records;
        return buffer.size() < (64u << 10) ? Status() : flush();
    });
    if (status) status = flush();
    if (status) {
        std::string tail;
        put<uint32_t>(tail, kTailMark);
        put<uint64_t>(tail, records);
        put<uint32_t>(tail, crc);
        status = write_all(fd.get(), tail).context(fmt::format("write {}", temporary));
    }
    if (status && ::fsync(fd.get()) != 0) status = Error::from_errno(fmt::format("sync {}", temporary));
    if (status && ::rename(temporary.c_str(), path.c_str()) != 0)
        status = Error::from_errno(fmt::format("rename {}", temporary));
    if (!status) {
        ::unlink(temporary.c_str());
        return status;
    }
    return fsync_dir_of(path);
}

Result<SnapshotInfo> read_snapshot_file(const std::string& path,
                                        const std::function<Status(const RecordSource&)>& restore) {
    DROVER_TRY(std::string bytes, read_file(path, 4ull << 30));
    auto damaged = [&](std::string_view what) {
        return make_error(Code::DataLoss,
                          "snapshot {} is damaged: {} (the file is kept; restore it from a backup)", path,
                          what);
    };
    constexpr size_t kHead = 8 + 8 + 8, kTail = 4 + 8 + 4;
    std::string_view all(bytes);
    if (all.size() < kHead + kTail || !all.starts_with(kMagic)) return damaged("not a drover snapshot");
    auto tail = all.substr(all.size() - kTail);
    auto body = all.substr(0, all.size() - kTail);
    if (get<uint32_t>(tail) != kTailMark) return damaged("its end is missing");
    if (crc32(body) != get<uint32_t>(tail.substr(12))) return damaged("the checksum does not match");
    const uint64_t expected = get<uint64_t>(tail.substr(4));
    SnapshotInfo info{get<uint64_t>(body.substr(8)), get<uint64_t>(body.substr(16))};
    size_t at = kHead;
    uint64_t seen = 0;
    DROVER_CHECK(restore([&]() -> Result<std::optional<std::string>> {
        if (at == body.size()) {
            if (seen != expected) return damaged(fmt::format("{} records, expected {}", seen, expected));
            return std::optional<std::string>();
        }
        if (body.size() - at < 4) return damaged("a record is cut short");
        const uint32_t size = get<uint32_t>(body.substr(at));
        if (body.size() - at - 4 < size) return damaged("a record is cut short");
        std::optional<std::string> record(std::string(body.substr(at + 4, size)));
        at += 4 + size;
        ++seen;
        return record;
    }));
    return info;
}

}  // namespace drover::server::raft
