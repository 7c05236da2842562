# SPDX-License-Identifier: Apache-2.0
# exec: a program in a container of its own, with limits and without what it does not need.
job "exec-example" {
  group "confined" {
    task "hello" {
      driver = "exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "echo \"hello from uid $(id -u), $(ls -d /home 2>/dev/null || echo no /home here)\"; exec sleep 3600"]

        cap_drop   = ["all"]
        pids_limit = 50
        ulimit {
          nofile = "256:512"
        }
      }

      # sleep has no handler for SIGINT, and the first process of a pid namespace gets only signals that it handles.
      kill_signal = "SIGKILL"

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
