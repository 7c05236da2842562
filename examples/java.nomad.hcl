# SPDX-License-Identifier: Apache-2.0
# A JVM in a container: Java's own object registry, so that nothing has to be downloaded. A program of yours comes as
# jar_path, or as class and class_path. The heap is derived from the memory.
job "registry" {
  group "registry" {
    network {
      port "rmi" {}
    }

    task "registry" {
      driver = "java"

      config {
        class       = "sun.rmi.registry.RegistryImpl"
        jvm_options = ["-XX:+UseSerialGC"]
        args        = ["${NOMAD_PORT_rmi}"]
      }

      kill_signal = "SIGTERM"

      resources {
        cpu    = 100
        memory = 128
      }
    }
  }
}
