# SPDX-License-Identifier: Apache-2.0
# raw_exec: a program of the machine without isolation, as an ordinary user; the agent's plugin block must enable it.
job "raw-exec-example" {
  group "machine" {
    task "hello" {
      driver = "raw_exec"
      user   = "nobody"

      config {
        command        = "/bin/sh"
        args           = ["-c", "echo \"hello from $(id -un) in $PWD\"; exec sleep 3600"]
        enforce_limits = true
        pids_limit     = 20
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
