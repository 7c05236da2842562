// SPDX-License-Identifier: Apache-2.0
#include "drivers/common/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/files.h"

extern char** environ;

namespace drover::drivers {
namespace {

constexpr size_t kOutputMax = 64 << 10;
constexpr size_t kInputMax = 64 << 10;

struct FileActions {
    posix_spawn_file_actions_t actions;
    FileActions() { ::posix_spawn_file_actions_init(&actions); }
    ~FileActions() { ::posix_spawn_file_actions_destroy(&actions); }
};
struct Attributes {
    posix_spawnattr_t attributes;
    Attributes() { ::posix_spawnattr_init(&attributes); }
    ~Attributes() { ::posix_spawnattr_destroy(&attributes); }
};

}  // namespace

Result<CommandOutput> run_command(const std::vector<std::string>& argv, int64_t timeout_ns,
                                  std::string_view input) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno("pipe");
    UniqueFd reader(ends[0]), writer(ends[1]);
    FileActions files;
    UniqueFd source;
    if (input.empty()) {
        ::posix_spawn_file_actions_addopen(&files.actions, 0, "/dev/null", O_RDONLY, 0);
    } else {
        // Written before there is a reader: it fits into the pipe.
        if (input.size() > kInputMax) return make_error(Code::InvalidArgument, "{}: input too long", argv[0]);
        if (::pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno("pipe");
        source.reset(ends[0]);
        UniqueFd sink(ends[1]);
        DROVER_CHECK(write_all(sink.get(), input));
        ::posix_spawn_file_actions_adddup2(&files.actions, source.get(), 0);
    }
    ::posix_spawn_file_actions_adddup2(&files.actions, writer.get(), 1);
    ::posix_spawn_file_actions_adddup2(&files.actions, writer.get(), 2);
    Attributes how;
    ::posix_spawnattr_setflags(&how.attributes, POSIX_SPAWN_SETSID);
    std::vector<char*> pointers;
    for (const std::string& arg : argv) pointers.push_back(const_cast<char*>(arg.c_str()));
    pointers.push_back(nullptr);
    pid_t pid = 0;
    int failed = ::posix_spawn(&pid, argv[0].c_str(), &files.actions, &how.attributes, pointers.data(), environ);
    if (failed != 0) return Error::from_errno(argv[0], failed);
    writer.reset();

    CommandOutput out;
    const int64_t deadline = mono_now() + timeout_ns;
    bool timed_out = false;
    for (;;) {
        int64_t left_ms = (deadline - mono_now()) / kMillisecond;
        pollfd wait{reader.get(), POLLIN, 0};
        if (left_ms <= 0 || ::poll(&wait, 1, static_cast<int>(std::min<int64_t>(left_ms, 60'000))) < 0) {
            if (left_ms > 0 && errno == EINTR) continue;
            timed_out = true;
            break;
        }
        if (wait.revents == 0) continue;
        char buffer[4096];
        ssize_t n = ::read(reader.get(), buffer, sizeof buffer);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        out.output.append(buffer, std::min(static_cast<size_t>(n), kOutputMax - out.output.size()));
    }
    if (timed_out) ::kill(-pid, SIGKILL);
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (timed_out)
        return make_error(Code::DeadlineExceeded, "{}: no end after {}", argv[0], format_duration(timeout_ns));
    out.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return out;
}

}  // namespace drover::drivers
