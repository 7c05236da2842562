// SPDX-License-Identifier: Apache-2.0
#include "agent/task/failpoint.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <string_view>

namespace drover::agent {
namespace {

struct Armed {
    std::string name;
    int nth = 1;
};

const Armed& armed() {
    static const Armed value = [] {
        Armed a;
        const char* text = ::getenv("DROVER_FAILPOINT");
        if (text == nullptr) return a;
        a.name = text;
        if (const auto colon = a.name.find(':'); colon != std::string::npos) {
            a.nth = std::atoi(a.name.c_str() + colon + 1);
            a.name.resize(colon);
        }
        return a;
    }();
    return value;
}

}  // namespace

const bool failpoint_armed = !armed().name.empty();

void failpoint_hit(const char* name) {
    static std::atomic<int> passed{0};
    if (armed().name != name) return;
    if (++passed == armed().nth) ::kill(::getpid(), SIGKILL);
}

}  // namespace drover::agent
