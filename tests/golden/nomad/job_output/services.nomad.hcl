job "services" {
  group "g" {
    network {
      mode = "bridge"
      port "http" {
        to = 8080
      }
    }
    service {
      name     = "web"
      provider = "nomad"
      port     = "http"
      tags     = ["v1", "${NOMAD_ALLOC_INDEX}"]
      check {
        name     = "alive"
        type     = "http"
        path     = "/"
        interval = "10s"
        timeout  = "2s"
        header {
          Host   = ["a.example"]
          X-Many = ["1", "2"]
        }
        check_restart {
          limit = 3
          grace = "90s"
        }
      }
    }
    task "t" {
      driver = "exec"
      service {
        port         = "8080"
        address_mode = "driver"
        on_update    = "ignore_warnings"
        check {
          type     = "script"
          command  = "/bin/check"
          args     = ["-q"]
          interval = "1m"
          timeout  = "5s"
        }
      }
      action "one" {
        command = "/bin/date"
        args    = ["-u"]
      }
      identity {
        env = true
      }
      identity {
        name = "extra"
        aud  = ["x"]
        file = true
        ttl  = "1h"
      }
    }
  }
}
