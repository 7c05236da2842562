job "periodic-cron" {
  type = "sysbatch"
  periodic {
    cron = "@hourly"
  }
  group "g" {
    max_client_disconnect = "1h"
    task "t" {
      driver = "exec"
    }
  }
}
