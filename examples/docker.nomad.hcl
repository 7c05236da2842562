# A container that counts: a read-only image, a small disk in memory, few rights; its output is the task's log.
job "docker-example" {
  datacenters = ["dc1"]

  group "g" {
    task "counter" {
      driver = "docker"

      config {
        image           = "busybox:1.36"
        command         = "/bin/sh"
        args            = ["-c", "i=0; while :; do i=$((i+1)); echo line $i | tee -a /scratch/lines; sleep 1; done"]
        network_mode    = "none"
        init            = true
        readonly_rootfs = true
        cap_drop        = ["all"]
        pids_limit      = 32

        ulimit {
          nofile = "256:512"
        }

        labels {
          team = "blue"
        }

        mount {
          type   = "tmpfs"
          target = "/scratch"
          tmpfs_options {
            size = 1048576
          }
        }
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
