job "config" {
  group "g" {
    task "t" {
      driver = "docker"
      config {
        image   = "busybox"
        args    = ["a", "${NOMAD_TASK_DIR}/x", "$${literal}", "%%{literal}"]
        whole   = 3
        large   = 9007199254740993
        part    = 0.5
        neg     = -2
        tiny    = 0.000001
        huge    = 1e21
        on      = true
        nothing = null
        list    = [1, "two", [3, 4], true, null]
        map = {
          a = "b"
          n = 1
          deep = {
            x = [1, 2]
          }
        }
        empty_list = []
        empty_map  = {}
        block {
          a = 1
        }
        block {
          a = 2
          inner "label" {
            b = 3
          }
        }
        labelled "one" {
          c = 1
        }
        labelled "two" {
          c = 2
        }
        list_of_maps = [{ inside = { deeper = { value = 1 } }, none = null }, [{ d = { e = 1 } }]]
        port_map {
          http = 80
        }
        escapes = "tab\there \"quoted\" <tag> & \u00e9\n"
        text    = <<-EOF
          indented
            more
        EOF
      }
      env {
        STRING = "s"
        NUMBER = 1.5
        BOOL   = false
      }
      meta = {
        a = 1
        b = true
      }
    }
  }
}
