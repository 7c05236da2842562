// SPDX-License-Identifier: Apache-2.0
// The docker daemon that a test program uses: its own, with everything in a directory of its own, started at
// the first use and gone with the program (tests/support/dockerd.py does both).
#pragma once
#include <sys/types.h>

#include <string>

namespace drover::conformance {

constexpr char kTestImage[] = "drover-test:busybox";

class Dockerd {
 public:
    static Dockerd& get();
    const std::string& missing() const { return missing_; }  // why there is none
    const std::string& socket() const { return socket_; }
    size_t containers() const;  // of any drover plugin, running or not

 private:
    Dockerd();
    ~Dockerd();
    std::string missing_, socket_;
    pid_t pid_ = 0;
    int stdin_ = -1;
};

}  // namespace drover::conformance
