// SPDX-License-Identifier: Apache-2.0
#include "drivers/mock/mock_script.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/log.h"
#include "base/strings.h"

extern char** environ;

namespace drover::drivers {

const std::vector<std::string>& task_rpcs() {
    static const std::vector<std::string> names = {
        "StartTask",   "RecoverTask", "WaitTask",   "StopTask", "DestroyTask",
        "InspectTask", "TaskStats",   "SignalTask", "ExecTask", "ExecTaskStreaming"};
    return names;
}

const std::vector<std::string>& plugin_rpcs() {
    static const std::vector<std::string> names = {"PluginInfo",   "ConfigSchema",     "SetConfig",
                                                   "Capabilities", "TaskConfigSchema", "Fingerprint"};
    return names;
}

const std::vector<std::string>& fault_names() {
    static const std::vector<std::string> names = {
        "accepts_bad_config", "refuses_second_config", "holds_a_lock",      "bad_handle",
        "starts_twice",       "ends_waits_early",      "forgets_exits",     "stops_nothing",
        "destroys_running",   "remembers_destroyed",   "accepts_unknown",   "recovers_nothing",
        "recovers_anew",      "loses_exit_codes",      "recovers_anything", "accepts_any_signal",
        "measures_nothing",   "tells_no_start",        "leaks_threads",     "leaks_descriptors",
        "leaks_memory",       "leaks_processes",       "leaves_a_process"};
    return names;
}

Status Script::validate(const std::vector<MockRpc>& rpc, const std::string& crash_at,
                        const std::string& hang_at, const std::vector<std::string>& known) {
    auto check = [&](std::string_view place, const std::string& name) -> Status {
        if (name.empty() || std::find(known.begin(), known.end(), name) != known.end()) return {};
        return make_error(Code::InvalidArgument, "{}: expected one of {}, found \"{}\"", place,
                          join(known, ", "), name);
    };
    for (size_t i = 0; i < rpc.size(); ++i) DROVER_CHECK(check(fmt::format("rpc[{}].name", i), rpc[i].name));
    DROVER_CHECK(check("crash_at", crash_at));
    return check("hang_at", hang_at);
}

Status Script::at(std::string_view rpc) {
    if (rpc == crash_at_) {
        log::warn("mock_driver", "crashing on request", {{"rpc", rpc}});
        ::kill(::getpid(), SIGKILL);
    }
    while (rpc == hang_at_) ::pause();
    for (size_t i = 0; i < rpc_.size(); ++i) {
        const MockRpc& now = rpc_[i];
        if (now.name != rpc) continue;
        {
            std::lock_guard lock(mutex_);
            if (now.times > 0 && called_[i]++ >= now.times) continue;
        }
        std::this_thread::sleep_for(now.delay);
        if (!now.error.empty())
            return Error(Code::FailedPrecondition, now.error, now.recoverable ? Retry::Yes : Retry::No);
    }
    return {};
}

bool Script::mentions(std::string_view rpc) const {
    return rpc == crash_at_ || rpc == hang_at_ ||
           std::any_of(rpc_.begin(), rpc_.end(), [&](const MockRpc& each) { return each.name == rpc; });
}

void leak(const std::string& fault) {
    if (fault == "leaks_threads") {
        std::thread([] {
            for (;;) ::pause();
        }).detach();
    } else if (fault == "leaks_descriptors") {
        (void)::open("/dev/null", O_RDONLY | O_CLOEXEC);
    } else if (fault == "leaks_memory") {
        constexpr size_t kBytes = 512 << 10;
        static std::vector<std::string> kept;
        static std::mutex mutex;
        std::lock_guard lock(mutex);
        kept.emplace_back(kBytes, 'x');
    } else if (fault == "leaks_processes") {
        std::string program = "/bin/sleep", time = "3600";
        char* argv[] = {program.data(), time.data(), nullptr};
        pid_t pid = 0;
        (void)::posix_spawn(&pid, program.c_str(), nullptr, nullptr, argv, environ);
    }
}

}  // namespace drover::drivers
