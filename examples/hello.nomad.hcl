# SPDX-License-Identifier: Apache-2.0
# A first job: one task that says hello once a second.
job "hello" {
  group "greeter" {
    task "hello" {
      driver = "exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "i=0; while true; do echo \"hello $i from $(id -un), pid $$\"; i=$((i+1)); sleep 1; done"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
