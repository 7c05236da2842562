job "periodic" {
  type = "batch"
  periodic {
    crons            = ["*/15 * * * * *", "@daily"]
    prohibit_overlap = true
    time_zone        = "Europe/Berlin"
    enabled          = false
  }
  group "g" {
    task "t" {
      driver = "exec"
      config {
        command = "date"
      }
    }
  }
}
