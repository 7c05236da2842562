job "networks" {
  group "host" {
    network {
      port "http" {
        static = 8080
      }
      port "admin" {
        static           = 9090
        to               = 90
        host_network     = "private"
        ignore_collision = true
      }
      port "any" {}
      port "same" {
        to = -1
      }
    }
    task "t" {
      driver = "raw_exec"
    }
  }
  group "bridge" {
    network {
      mode     = "bridge"
      hostname = "h-${NOMAD_ALLOC_INDEX}"
      mbits    = 10
      dns {
        servers = ["192.0.2.1"]
      }
      port "p" {
        to = 80
      }
    }
    network {
      mode = "cni/mynet"
      cni {
        args = {
          a = "b"
        }
      }
    }
    task "t" {
      driver = "exec"
      resources {
        cores      = 2
        memory_max = 600
        network {
          mbits = 5
          port "old" {
            static = 1234
          }
          port "older" {}
        }
      }
    }
  }
}
