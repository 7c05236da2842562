// SPDX-License-Identifier: Apache-2.0
#include "drivers/docker/log_spool.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <atomic>

#include "base/files.h"

namespace drover::drivers {
namespace {

constexpr uint64_t kMagic = 0x31676f6c72766f64;  // "dovrlog1"
constexpr uint64_t kRotateBytes = 1 << 20;
constexpr uint64_t kFullBytes = 4 << 20;
constexpr size_t kSendMax = 256 << 10;

}  // namespace

// A commit fills the slot that is not current and then stores which one is: that store is what commits.
struct LogSpool::Shared {
    struct Slot {
        int64_t since_ns;
        uint64_t count;
        int64_t newest_ns;
        uint64_t generation[2];
        uint64_t end[2];
    };
    uint64_t magic;
    std::atomic<uint64_t> current;
    Slot slots[2];
    off_t sent[2][2];  // [stream][generation % 2]: written by the kernel
    uint64_t touched;

    const Slot& slot() const { return slots[current.load(std::memory_order_acquire) & 1]; }
    void commit(const Slot& next) {
        uint64_t other = (current.load(std::memory_order_relaxed) & 1) ^ 1;
        slots[other] = next;
        current.store(other, std::memory_order_release);
    }
    off_t& sent_of(size_t stream) { return sent[stream][slot().generation[stream] & 1]; }
};

void LogSpool::Unmap::operator()(Shared* shared) const {
    ::munmap(shared, sizeof(Shared));
}

std::string LogSpool::path(size_t stream, uint64_t generation) const {
    return fmt::format("{}/log.{}.{}", dir_, stream, generation);
}

Result<LogSpool> LogSpool::open(const std::string& dir) {
    LogSpool spool;
    spool.dir_ = dir;
    const std::string state = dir + "/log.state";
    UniqueFd fd(::open(state.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) return Error::from_errno(state);
    if (::ftruncate(fd.get(), sizeof(Shared)) != 0) return Error::from_errno(state);
    void* at = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (at == MAP_FAILED) return Error::from_errno(state);
    spool.shared_.reset(static_cast<Shared*>(at));
    Shared& shared = *spool.shared_;
    if (shared.magic == 0) shared.magic = kMagic;
    if (shared.magic != kMagic)
        return make_error(Code::DataLoss, "{}: written by another version of this driver", state);
    for (size_t i = 0; i < 2; ++i) {
        const std::string file = spool.path(i, shared.slot().generation[i]);
        spool.streams_[i].file.reset(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
        if (!spool.streams_[i].file) return Error::from_errno(file);
        // Beyond this lies what was appended but never committed: written over.
        spool.streams_[i].appended = shared.slot().end[i];
        struct stat info {};
        if (::fstat(spool.streams_[i].file.get(), &info) != 0) return Error::from_errno(file);
        if (static_cast<uint64_t>(info.st_size) < shared.slot().end[i])
            return make_error(Code::DataLoss, "{}: {} bytes, expected {}", file, info.st_size,
                              shared.slot().end[i]);
    }
    return spool;
}

LogPosition LogSpool::position() const {
    const Shared::Slot& slot = shared_->slot();
    return {.since_ns = slot.since_ns, .count = slot.count, .newest_ns = slot.newest_ns};
}

Status LogSpool::append(LogSource source, std::string_view bytes) {
    Stream& stream = streams_[static_cast<size_t>(source)];
    while (!bytes.empty()) {
        ssize_t n =
            ::pwrite(stream.file.get(), bytes.data(), bytes.size(), static_cast<off_t>(stream.appended));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return Error::from_errno("task's log spool");
        stream.appended += static_cast<uint64_t>(n);
        bytes.remove_prefix(static_cast<size_t>(n));
    }
    return {};
}

Status LogSpool::commit(const LogPosition& position) {
    Shared::Slot next = shared_->slot();
    next.since_ns = position.since_ns;
    next.count = position.count;
    next.newest_ns = position.newest_ns;
    for (size_t i = 0; i < 2; ++i) next.end[i] = streams_[i].appended;
    shared_->commit(next);
    return {};
}

uint64_t LogSpool::unsent(LogSource source) const {
    const auto i = static_cast<size_t>(source);
    return shared_->slot().end[i] - static_cast<uint64_t>(shared_->sent_of(i));
}

bool LogSpool::full() const {
    return streams_[0].appended >= kFullBytes || streams_[1].appended >= kFullBytes;
}

Result<bool> LogSpool::send(LogSource source, int out) {
    const auto i = static_cast<size_t>(source);
    while (uint64_t left = unsent(source)) {
        // So that the kernel's store after the transfer meets a page it may write at once.
        __atomic_add_fetch(&shared_->touched, 1, __ATOMIC_RELAXED);
        ssize_t n =
            ::sendfile(out, streams_[i].file.get(), &shared_->sent_of(i), std::min<uint64_t>(left, kSendMax));
        if (n > 0 || (n < 0 && errno == EINTR)) continue;
        if (n < 0 && errno == EAGAIN) return false;
        if (n == 0) return make_error(Code::DataLoss, "task's log spool: ends {} bytes early", left);
        if (errno == EPIPE) return make_error(Code::Unavailable, "nobody reads the task's output");
        return Error::from_errno("task's output");
    }
    if (streams_[i].appended > kRotateBytes && streams_[i].appended == shared_->slot().end[i])
        DROVER_CHECK(rotate(i));
    return true;
}

// The pages that were sent may still lie in the pipe, so they are never written over: a new file is begun.
Status LogSpool::rotate(size_t i) {
    Shared::Slot next = shared_->slot();
    const uint64_t old = next.generation[i]++;
    next.end[i] = 0;
    const std::string file = path(i, next.generation[i]);
    UniqueFd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) return Error::from_errno(file);
    shared_->sent[i][next.generation[i] & 1] = 0;
    shared_->commit(next);
    streams_[i] = {.file = std::move(fd), .appended = 0};
    ::unlink(path(i, old).c_str());
    return {};
}

}  // namespace drover::drivers
