// SPDX-License-Identifier: Apache-2.0
#include "tests/conformance/dockerd.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/strings.h"
#include "drivers/docker/container_spec.h"
#include "drivers/docker/engine.h"

namespace drover::conformance {

Dockerd& Dockerd::get() {
    static Dockerd dockerd;
    return dockerd;
}

Dockerd::Dockerd() {
    const char* source = std::getenv("DROVER_SOURCE_DIR");
    const std::string script = std::string(source ? source : ".") + "/tests/support/dockerd.py";
    int in[2], out[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) ::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
        ::dup2(in[0], 0);
        ::dup2(out[1], 1);
        ::execlp("python3", "python3", script.c_str(), nullptr);
        ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    stdin_ = in[1];
    std::string line;
    for (char c; ::read(out[0], &c, 1) == 1 && c != '\n';) line += c;
    ::close(out[0]);
    if (starts_with(line, "/"))
        socket_ = line;
    else
        missing_ = line.empty() ? script + " failed" : line;
}

Dockerd::~Dockerd() {
    ::close(stdin_);
    ::waitpid(pid_, nullptr, 0);
}

size_t Dockerd::containers() const {
    auto found = drivers::Engine(socket_).list({drivers::kOwnerLabel});
    return found ? found->size() : 999;
}

}  // namespace drover::conformance
