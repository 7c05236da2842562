// SPDX-License-Identifier: Apache-2.0
// drover-logd: drains the FIFOs of tasks and plugins into rotated files, whoever else on the node is dead.
//   drover-logd keeper DIR [FILE...]   leaves its caller; writes "0" to each FILE first (its cgroup); started
//   by the agent drover-logd worker DIR KEEPER-PID  started by the keeper drover-logd version
#include <linux/close_range.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "logd/common.h"

namespace {

int say(const char* text) {
    ssize_t n = ::write(2, text, std::strlen(text));
    static_cast<void>(n);
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    using namespace drover;
    if (argc == 2 && std::strcmp(argv[1], "version") == 0) {
        sys::Text<64> text;
        text.add("drover-logd wire ").add(logd::kWireVersion).add("\n");
        return ::write(1, text.c_str(), text.size()) < 0;
    }
    const bool keeper = argc >= 3 && std::strcmp(argv[1], "keeper") == 0;
    if (argc < 3 || (!keeper && std::strcmp(argv[1], "worker") != 0))
        return say("usage: drover-logd keeper DIR [CGROUP-FILE...] | worker DIR KEEPER-PID | version\n");
    logd::Home home;
    home.path = argv[2];
    if (keeper) {
        if (::fork() != 0) ::_exit(0);
        ::setsid();
    }
    ::syscall(SYS_close_range, 3u, ~0u, 0u);
    ::umask(077);
    home.fd = ::open(home.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (home.fd < 0) return say("drover-logd: cannot open its directory\n");
    int null_fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= 2; ++fd) ::dup2(null_fd, fd);
    ::close(null_fd);
    if (::chdir("/") != 0) return 1;
    logd::calm_process();
    for (int i = 3; keeper && i < argc; ++i)
        if (!sys::write_small_at(AT_FDCWD, argv[i], "0")) logd::note(home, "keeper", "join", argv[i], errno);
    return keeper
               ? logd::run_keeper(home)
               : logd::run_worker(home, argc > 3 ? static_cast<pid_t>(std::strtol(argv[3], nullptr, 10)) : 0);
}
