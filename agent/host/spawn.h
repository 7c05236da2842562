// SPDX-License-Identifier: Apache-2.0
// Starts a plugin's process so that it outlives the agent: own session, own cgroup, stdin /dev/null, stdout
// and stderr as FIFOs that the process itself holds open for reading and writing (a dead agent then never
// means SIGPIPE). Nothing else of the agent's is inherited. Called by plugin_instance.cpp.
#pragma once
#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace drover::agent {

struct SpawnSpec {
    std::string file;
    std::vector<std::string> args;           // after argv[0]
    std::map<std::string, std::string> env;  // the whole environment
    std::vector<std::string>
        cgroup_files;         // "0" is written to each before exec; one that cannot be written is a warning
    std::string stdout_fifo;  // made anew, whatever is there
    std::string stderr_fifo;
};

struct Spawned {
    pid_t pid = 0;
    UniqueFd pidfd;
    UniqueFd stdout_read;  // non-blocking
    UniqueFd stderr_read;
    std::vector<std::string> warnings;
};

// Blocks for fork and exec (a millisecond). An exec that fails is an Error with its errno, and leaves no
// process. `before_exec` runs in the agent while the child waits: a record written there is durable before
// the plugin can do anything. When it fails, or the agent dies in it, the child ends without exec.
Result<Spawned> spawn_plugin(const SpawnSpec& spec, const std::function<Status(pid_t)>& before_exec);

// The agent's environment without what must not reach plugins: go-plugin's own variables, systemd's socket
// and watchdog ones, and API tokens. Takes `environ`'s form.
std::map<std::string, std::string> scrubbed_environment(char** environment);

// The reading end of a FIFO whose writer lives; non-blocking.
Result<UniqueFd> open_fifo_for_reading(const std::string& path);

}  // namespace drover::agent
