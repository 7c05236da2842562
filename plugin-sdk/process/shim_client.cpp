// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/process/shim_client.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/sys/unix_socket.h"

// The shim's binary as data of this library.
asm(".section .rodata\n"
    ".balign 16\n"
    "drover_shim_begin:\n"
    ".incbin \"" DROVER_SHIM_FILE
    "\"\n"
    "drover_shim_end:\n"
    ".byte 0\n"
    ".text\n");
extern "C" const char drover_shim_begin[] __attribute__((visibility("hidden")));
extern "C" const char drover_shim_end[] __attribute__((visibility("hidden")));

namespace drover::sdk {
namespace {

// Waits for input until `deadline`; false: it passed.
bool readable_until(int fd, int64_t deadline) {
    for (;;) {
        int64_t left = deadline - mono_now();
        if (left < 0) return false;
        pollfd item{fd, POLLIN, 0};
        int n = ::poll(&item, 1, static_cast<int>(std::min<int64_t>(left / kMillisecond + 1, 60'000)));
        if (n > 0) return true;
    }
}

// Reads exactly `size` bytes; Unavailable at an early end.
Status read_exactly(int fd, void* data, size_t size, int64_t deadline) {
    char* at = static_cast<char*>(data);
    while (size > 0) {
        if (!readable_until(fd, deadline))
            return make_error(Code::DeadlineExceeded, "the shim did not answer in time");
        ssize_t n = ::read(fd, at, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return make_error(Code::Unavailable, "the shim has gone away");
        at += n;
        size -= static_cast<size_t>(n);
    }
    return {};
}

bool same_file_content(const std::string& path, std::string_view bytes) {
    struct stat st {};
    if (::lstat(path.c_str(), &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != ::geteuid() ||
        static_cast<size_t>(st.st_size) != bytes.size() || (st.st_mode & 0100) == 0)
        return false;
    auto found = read_file(path, bytes.size());
    return found && *found == bytes;
}

}  // namespace

Result<std::string> materialise_shim(const std::string& state_dir) {
    const std::string_view bytes(drover_shim_begin, static_cast<size_t>(drover_shim_end - drover_shim_begin));
    const std::string path =
        join_path(state_dir, fmt::format(".shim-{:016x}", shim::fnv64(bytes.data(), bytes.size())));
    if (same_file_content(path, bytes)) return path;
    // Written under a name of its own and renamed: whoever is late replaces it by the same bytes.
    DROVER_CHECK(write_file_durable(path, bytes, 0700).context("put the shim into place"));
    return path;
}

Result<shim::Record> read_record(int dir_fd, const char* name) {
    UniqueFd fd(::openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd) return Error::from_errno(fmt::format("open {}", name));
    shim::Record record;
    ssize_t n = ::pread(fd.get(), &record, sizeof record, 0);
    if (n != static_cast<ssize_t>(sizeof record) || !shim::record_ok(record))
        return make_error(Code::DataLoss, "{}: not a record of a task", name);
    return record;
}

Result<UniqueFd> spawn_shim(const std::string& shim, ShimVerb verb, const std::string& dir, int pidfd) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno("pipe");
    UniqueFd read_end(ends[0]);
    // Above the target numbers, so that one dup2 in the child cannot destroy the source of the next.
    UniqueFd write_end(::fcntl(ends[1], F_DUPFD_CLOEXEC, 10));
    ::close(ends[1]);
    UniqueFd pidfd_copy(pidfd >= 0 ? ::fcntl(pidfd, F_DUPFD_CLOEXEC, 10) : -1);
    if (!write_end) return Error::from_errno("dup");

    posix_spawn_file_actions_t actions;  // signals are set up by the shim itself
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, write_end.get(), 3);
    if (pidfd_copy) posix_spawn_file_actions_adddup2(&actions, pidfd_copy.get(), 4);

    std::string name = "drover-shim", verb_text = verb == ShimVerb::Run ? "run" : "adopt", dir_text = dir,
                extra = "pidfd";
    char* argv[] = {name.data(), verb_text.data(), dir_text.data(), pidfd_copy ? extra.data() : nullptr,
                    nullptr};
    std::string boot_file;
    char* envp[] = {nullptr, nullptr};
    if (const char* file = ::getenv("DROVER_BOOT_ID_FILE")) {
        boot_file = fmt::format("DROVER_BOOT_ID_FILE={}", file);
        envp[0] = boot_file.data();
    }
    pid_t pid = 0;
    int failed = ::posix_spawn(&pid, shim.c_str(), &actions, nullptr, argv, envp);
    posix_spawn_file_actions_destroy(&actions);
    if (failed) return Error::from_errno(fmt::format("start the shim {}", shim), failed);
    // The first process only forks the one that stays, which then belongs to init.
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return read_end;
}

Result<shim::Record> await_record(int fd, int64_t timeout_ns) {
    shim::Record record;
    DROVER_CHECK(read_exactly(fd, &record, sizeof record, mono_now() + timeout_ns));
    if (!shim::record_ok(record))
        return make_error(Code::DataLoss, "the shim sent something that is not a record");
    return record;
}

bool shim_alive(int dir_fd) {
    UniqueFd fd(::openat(dir_fd, shim::kLockFile, O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (!fd) return false;
    return ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

Result<UniqueFd> lock_task_dir(int dir_fd, int64_t timeout_ns) {
    for (const int64_t deadline = mono_now() + timeout_ns;; sys::nap_ms(2)) {
        UniqueFd fd(::openat(dir_fd, shim::kLockFile, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
        if (!fd) return Error::from_errno("open the lock of the task directory");
        struct stat st {};
        if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0 && ::fstat(fd.get(), &st) == 0 && st.st_nlink > 0)
            return fd;
        if (mono_now() > deadline)
            return make_error(Code::Unavailable, "the task's shim still holds its lock");
    }
}

Result<UniqueFd> connect_shim(int dir_fd) {
    UniqueFd fd(sys::connect_at(dir_fd, shim::kSocketFile));
    if (fd) return fd;
    return make_error(Code::Unavailable, "connect to the shim: {}", std::strerror(errno));
}

Status send_request(int fd, shim::FrameType type, const void* payload, uint32_t bytes, uint32_t id) {
    char frame[sizeof(shim::FrameHeader) + sizeof(shim::StopRequest)];
    DROVER_ASSERT(bytes <= sizeof(shim::StopRequest));
    shim::FrameHeader header = shim::make_frame(type, bytes, id);
    std::memcpy(frame, &header, sizeof header);
    if (bytes) std::memcpy(frame + sizeof header, payload, bytes);
    const ssize_t size = static_cast<ssize_t>(sizeof header + bytes);
    if (::send(fd, frame, static_cast<size_t>(size), MSG_NOSIGNAL) != size)
        return make_error(Code::Unavailable, "send to the shim: {}", std::strerror(errno));
    return {};
}

Result<shim::Record> await_reply(int fd, uint32_t id, int64_t timeout_ns) {
    const int64_t deadline = mono_now() + timeout_ns;
    for (;;) {
        shim::FrameHeader header;
        shim::Record record;
        DROVER_CHECK(read_exactly(fd, &header, sizeof header, deadline));
        if (header.magic != shim::kFrameMagic || header.bytes != sizeof record)
            return make_error(Code::DataLoss, "the shim's socket sent something that is not a frame");
        DROVER_CHECK(read_exactly(fd, &record, sizeof record, deadline));
        if (!shim::record_ok(record)) return make_error(Code::DataLoss, "the shim sent a damaged record");
        if (header.id != id) continue;
        if (header.type == shim::FrameType::State) return record;
        if (record.error_number == EINVAL)
            return make_error(Code::InvalidArgument, "{}: {}", record.message, std::strerror(EINVAL));
        return make_error(Code::FailedPrecondition, "{}: {}", record.message,
                          std::strerror(record.error_number));
    }
}

}  // namespace drover::sdk
