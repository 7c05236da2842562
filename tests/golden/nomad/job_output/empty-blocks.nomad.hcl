# Each block with as little inside as the language allows: what the parser itself fills in, and nothing else.
job "empty" {
  constraint {}
  affinity {}
  spread {}
  update {}
  migrate {}
  reschedule {}
  meta {}
  ui {}
  group "g" {
    constraint {}
    affinity {}
    spread {}
    update {}
    migrate {}
    reschedule {}
    restart {}
    disconnect {}
    ephemeral_disk {}
    consul {}
    meta {}
    scaling {
      max = 2
    }
    network {
      port "a" {}
    }
    volume "v" {}
    service {
      check {}
    }
    service {
      provider = "nomad"
      check {
        type     = "tcp"
        interval = "10s"
        timeout  = "2s"
        check_restart {}
      }
      check_restart {}
      identity {}
      weights {}
    }
    service {
      connect {
        native = true
      }
    }
    service {
      connect {
        sidecar_service {}
      }
    }
    service {
      connect {
        sidecar_service {
          proxy {
            upstreams {}
            expose {}
            transparent_proxy {}
          }
        }
        sidecar_task {}
      }
    }
    service {
      connect {
        gateway {
          ingress {
            listener {
              service {}
            }
          }
        }
      }
    }
    service {
      connect {
        gateway {
          terminating {
            service {}
          }
        }
      }
    }
    service {
      connect {
        gateway {
          proxy {}
          mesh {}
        }
      }
    }
    task "t" {
      constraint {}
      affinity {}
      restart {}
      config {}
      env {}
      meta {}
      resources {}
      logs {}
      lifecycle {
        hook = "poststop"
      }
      artifact {}
      template {}
      template {
        wait {}
        change_mode = "script"
        change_script {}
      }
      vault {}
      consul {}
      identity {}
      dispatch_payload {}
      volume_mount {}
      csi_plugin {}
      action "a" {
        command = "c"
      }
      scaling "cpu" {
        max = 10
      }
      schedule {
        cron {}
      }
    }
    task "devices" {
      resources {
        numa {}
        device "nvidia/gpu" {
          constraint {}
          affinity {}
        }
        network {}
      }
      template {
        change_mode   = "signal"
        change_signal = "sigusr1"
      }
      vault {
        change_mode   = "signal"
        change_signal = "sigusr1"
      }
    }
    task "nothing" {}
  }
  group "none" {}
}
