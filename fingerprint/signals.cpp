// SPDX-License-Identifier: Apache-2.0
// The signals that jobs may name: constraints such as ${attr.os.signals} set_contains "SIGHUP" are implied by
// jobs.
#include "base/strings.h"
#include "fingerprint/detector.h"

namespace drover::fingerprint {

Status detect_signals(const Input&, model::Node& node) {
    static const std::vector<std::string> kSignals = {
        "SIGABRT", "SIGALRM", "SIGBUS",  "SIGCONT", "SIGFPE",   "SIGHUP",  "SIGILL",
        "SIGINT",  "SIGIO",   "SIGIOT",  "SIGKILL", "SIGNULL",  "SIGPIPE", "SIGPROF",
        "SIGQUIT", "SIGSEGV", "SIGSTOP", "SIGSYS",  "SIGTERM",  "SIGTRAP", "SIGTSTP",
        "SIGTTIN", "SIGTTOU", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGXCPU", "SIGXFSZ"};
    set_attribute(node, "os.signals", join(kSignals, ","));
    return {};
}

}  // namespace drover::fingerprint
