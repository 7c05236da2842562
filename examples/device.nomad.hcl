# SPDX-License-Identifier: Apache-2.0
# A task with a device: the scheduler chooses a node that has one, its device plugin says what the task needs to use it.
# "gpu", "vendor/gpu" or "vendor/gpu/name" say which; a constraint may choose by the attributes that the plugin tells.
job "device-example" {
  group "app" {
    task "show" {
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "echo \"devices: $MOCK_DEVICES\"; exec sleep 3600"]
      }

      resources {
        cpu    = 50
        memory = 32

        device "mock/gpu" {
          count = 1

          constraint {
            attribute = "${device.attr.model}"
            value     = "X1"
          }
        }
      }
    }
  }
}
