// SPDX-License-Identifier: Apache-2.0
// What the shim writes: `started` before the command runs, `exit` when it ended, one note when something went
// wrong.
#include <signal.h>
#include <stdio.h>

#include "shim/shim.h"

namespace drover::shim {
namespace {

constexpr char kExitTemp[] = ".exit.tmp";
constexpr char kStartedTemp[] = ".started.tmp";

bool write_record(int dir_fd, const char* temp, const char* name, const Record& record, bool durable) {
    int fd = ::openat(dir_fd, temp, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return false;
    bool ok = ::pwrite(fd, &record, sizeof record, 0) == static_cast<ssize_t>(sizeof record);
    if (ok && durable) ok = ::fsync(fd) == 0;
    int saved = errno;
    ::close(fd);
    errno = saved;
    if (!ok || ::renameat(dir_fd, temp, dir_fd, name) != 0) return false;
    return !durable || ::fsync(dir_fd) == 0;
}

}  // namespace

bool read_record(int dir_fd, const char* name, Record* record) {
    int fd = ::openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return false;
    ssize_t n = ::pread(fd, record, sizeof *record, 0);
    ::close(fd);
    if (n == static_cast<ssize_t>(sizeof *record) && record_ok(*record)) return true;
    errno = EILSEQ;
    return false;
}

void reserve_exit(Shim& shim) {
    int fd = ::openat(shim.dir_fd, kExitTemp, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return;
    Record empty = {};
    if (::pwrite(fd, &empty, sizeof empty, 0) < 0) note(shim, "reserve exit record", errno);
    ::close(fd);
}

bool write_started(Shim& shim) {
    seal_record(&shim.record);
    return write_record(shim.dir_fd, kStartedTemp, kStartedFile, shim.record, false);
}

bool write_exit(Shim& shim) {
    seal_record(&shim.record);
    if (write_record(shim.dir_fd, kExitTemp, kExitFile, shim.record, true)) return true;
    note(shim, "write exit record", errno);
    return false;
}

void send_status(Shim& shim) {
    if (!shim.has_status_fd) return;
    seal_record(&shim.record);
    // A pipe or a socket, empty so far: 512 bytes go in at once or the reader is gone (SIGPIPE is blocked).
    ssize_t n = ::write(kStatusFd, &shim.record, sizeof shim.record);
    static_cast<void>(n);
    ::close(kStatusFd);
    shim.has_status_fd = false;
}

void note(Shim& shim, const char* what, int error_number) {
    int fd = ::openat(shim.dir_fd, kNoteFile, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return;
    if (::lseek(fd, 0, SEEK_END) < 65536) {
        sys::Text<256> line;
        line.add(sys::unix_ns()).add(" shim ").add(::getpid()).add(": ").add(what);
        if (error_number) line.add(": ").add(::strerrorname_np(error_number));
        line.add("\n");
        ssize_t n = ::write(fd, line.c_str(), line.size());
        static_cast<void>(n);
    }
    ::close(fd);
}

void end_with(Shim& shim, Phase phase, const char* message, int error_number) {
    shim.record.phase = phase;
    shim.record.error_number = error_number;
    shim.record.finished_ns = sys::unix_ns();
    sys::Text<kMessageBytesMax> text;
    text.add(message);
    if (error_number) {
        const char* words = ::strerrordesc_np(error_number);
        text.add(": ").add(words ? words : "unknown error");
    }
    std::memcpy(shim.record.message, text.c_str(), text.size() + 1);
}

// v1's memory.oom_control and v2's memory.events both have a line "oom_kill N".
void count_oom_kills(Shim& shim) {
    uint64_t kills = 0;
    for (size_t i = 0; i < shim.spec.oom_files_count; ++i) {
        char text[512];
        if (sys::read_small_at(AT_FDCWD, shim.spec.oom_files[i], text, sizeof text) <= 0) continue;
        for (const char* line = text; line; line = std::strchr(line, '\n')) {
            if (*line == '\n') ++line;
            if (std::strncmp(line, "oom_kill ", 9) == 0) kills += std::strtoull(line + 9, nullptr, 10);
        }
    }
    shim.record.oom_kills = static_cast<uint32_t>(kills);
    // The process itself was the victim, or a shell or runtime in front of it reports its child's SIGKILL as
    // 137.
    bool killed = shim.record.signal == SIGKILL || shim.record.exit_code == 128 + SIGKILL;
    shim.record.oom_killed = kills > 0 && killed && !shim.sent_kill ? 1 : 0;
}

}  // namespace drover::shim
