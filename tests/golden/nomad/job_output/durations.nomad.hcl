job "durations" {
  update {
    stagger           = "1h30m"
    min_healthy_time  = 5000000000
    healthy_deadline  = "500ms"
    progress_deadline = "0"
  }
  group "g" {
    shutdown_delay = "1m1s"
    restart {
      interval = "1.5h"
      delay    = "100us"
    }
    task "t" {
      driver       = "exec"
      kill_timeout = 1000000
    }
  }
}
