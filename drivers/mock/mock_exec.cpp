// SPDX-License-Identifier: Apache-2.0
#include "drivers/mock/mock_exec.h"

#include <signal.h>

#include <condition_variable>
#include <mutex>
#include <thread>

namespace drover::drivers {
namespace {

sdk::ExitResult exit_of(const MockExec& script) {
    return {.exit_code = script.exit_code,
            .signal = script.exit_signal,
            .oom_killed = false,
            .error = script.exit_err_msg};
}

// Reads what the person sends, only to hear that they are gone.
class Person {
 public:
    explicit Person(sdk::ExecStream& stream) : stream_(stream), reader_([this] { read(); }) {}
    ~Person() {
        stream_.interrupt();
        reader_.join();
    }
    // False: they are gone.
    bool sleep(Duration time) {
        std::unique_lock lock(mutex_);
        return !changed_.wait_for(lock, time, [this] { return gone_; });
    }

 private:
    void read() {
        while (!std::holds_alternative<sdk::ExecCancelled>(stream_.read())) {
        }
        std::lock_guard lock(mutex_);
        gone_ = true;
        changed_.notify_all();
    }

    sdk::ExecStream& stream_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool gone_ = false;
    std::thread reader_;
};

}  // namespace

Result<sdk::ExecOutput> mock_exec(const MockExec& script, int64_t timeout_ns) {
    if (timeout_ns > 0 && script.run_for.count() > timeout_ns) {
        std::this_thread::sleep_for(Duration(timeout_ns));
        return make_error(Code::DeadlineExceeded, "the command runs for {} ms, the timeout is {} ms",
                          script.run_for.count() / 1'000'000, timeout_ns / 1'000'000);
    }
    std::this_thread::sleep_for(script.run_for);
    sdk::ExecOutput out;
    for (int32_t i = 0; i <= script.stdout_repeat; ++i) out.stdout_bytes += script.stdout_string;
    out.exit = exit_of(script);
    return out;
}

Result<sdk::ExitResult> mock_exec_streaming(const MockExec& script, sdk::ExecStream& stream) {
    const sdk::ExitResult killed{.exit_code = 0, .signal = SIGKILL, .oom_killed = false, .error = ""};
    Person person(stream);
    for (int32_t i = 0; i <= script.stdout_repeat; ++i) {
        if (i > 0 && !person.sleep(script.stdout_repeat_duration)) return killed;
        if (!script.stdout_string.empty() && !stream.write_stdout(script.stdout_string)) return killed;
    }
    if (!person.sleep(script.run_for)) return killed;
    return exit_of(script);
}

}  // namespace drover::drivers
