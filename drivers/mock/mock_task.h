// SPDX-License-Identifier: Apache-2.0
// One mock task: a thread that writes what the script says and waits for the end of its time or for a stop.
#pragma once
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "drivers/mock/mock_config.h"
#include "drivers/mock/mock_script.h"
#include "drover/driver.h"

namespace drover::drivers {

class MockTask {
 public:
    // `started_unix_ns` may lie in the past (a recovered task): what was to be written by then is not written
    // again.
    MockTask(sdk::TaskConfig task, MockTaskConfig config, int64_t started_unix_ns);
    ~MockTask();  // ends it

    const MockTaskConfig& config() const { return config_; }
    Script& script() { return script_; }
    void wait(sdk::ExitCallback done);
    // Returns when it has ended: kill_after after this call, or at once after timeout_ns.
    void stop(int64_t timeout_ns);
    bool ended() const;
    sdk::TaskStatus status() const;

 private:
    void run(bool recovered);
    void write_output();
    bool sleep_until(std::unique_lock<std::mutex>& lock,
                     std::chrono::system_clock::time_point when);  // false: stopped

    const sdk::TaskConfig task_;
    const MockTaskConfig config_;
    const int64_t started_unix_ns_;
    Script script_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    bool stopping_ = false;
    std::optional<sdk::ExitResult> exit_;
    int64_t completed_unix_ns_ = 0;
    std::vector<sdk::ExitCallback> waiters_;
    std::thread thread_;
};

}  // namespace drover::drivers
