// SPDX-License-Identifier: Apache-2.0
// The texts of `job init`. Both run as they are on an agent with the exec driver.
#pragma once
#include <string_view>

namespace drover::cli {

inline constexpr std::string_view kShortExample = R"hcl(job "example" {

  group "cache" {
    network {
      port "db" {}
    }

    task "clock" {
      driver = "exec"

      config {
        command = "/bin/sh"
        args = [
          "-c",
          "n=0; while true; do n=$((n+1)); echo \"tick $n on port $NOMAD_PORT_db\"; sleep 1; done",
        ]
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
)hcl";

inline constexpr std::string_view kFullExample =
    R"hcl(# A job is what drover runs: groups of tasks, and the rules for where and how they run. Most of
# what follows is optional and shown with its default or a common value.
job "example" {
  # The datacenters whose nodes may run the job; "*" stands for all of them.
  datacenters = ["*"]

  # "service" runs until it is stopped, "batch" until its tasks end, "system" on every node.
  type = "service"

  # 1 to 100; jobs of higher priority are placed first.
  priority = 50

  # Only nodes that satisfy every constraint are considered.
  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }

  # How a new version of the job replaces the old one.
  update {
    # How many allocations are replaced at a time.
    max_parallel = 1

    # How long an allocation must be healthy to count, and when the update gives up on it.
    min_healthy_time  = "10s"
    healthy_deadline  = "3m"
    progress_deadline = "10m"

    # Whether to go back to the last good version when the new one fails.
    auto_revert = false

    # How many allocations of the new version to try beside the old ones first.
    canary = 0
  }

  # How allocations move away from nodes that are drained.
  migrate {
    max_parallel     = 1
    health_check     = "checks"
    min_healthy_time = "10s"
    healthy_deadline = "5m"
  }

  # The tasks of a group always run together on the same node.
  group "cache" {
    # How many instances of the group to run.
    count = 1

    # Ports without a number are chosen from the node's free ones. Tasks find theirs in
    # NOMAD_PORT_<label>.
    network {
      port "db" {}
    }

    # What happens on the node when a task fails: up to 2 restarts in 30 minutes, then the
    # allocation has failed and the servers look for another node.
    restart {
      attempts = 2
      interval = "30m"
      delay    = "15s"
      mode     = "fail"
    }

    # Space for logs and local data, in MB, shared by the tasks of the group.
    ephemeral_disk {
      size = 300
    }

    task "clock" {
      # The plugin that runs the task. "exec" isolates a command of the host.
      driver = "exec"

      # What the driver is told; every driver has its own options.
      config {
        command = "/bin/sh"
        args = [
          "-c",
          "n=0; while true; do n=$((n+1)); echo \"$GREETING $n on port $NOMAD_PORT_db\"; sleep 1; done",
        ]
      }

      # Variables of the task's environment, beside the NOMAD_* ones.
      env {
        GREETING = "tick"
      }

      # How the task is asked to end, and how long it may take before it is killed.
      kill_signal  = "SIGTERM"
      kill_timeout = "5s"

      # stdout and stderr are kept in files of at most max_file_size MB, max_files of each.
      logs {
        max_files     = 10
        max_file_size = 10
      }

      # What the task needs: MHz of CPU and MB of memory.
      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
)hcl";

}  // namespace drover::cli
