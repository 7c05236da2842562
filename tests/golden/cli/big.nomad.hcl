job "big" {
  group "g" {
    task "t" {
      driver = "raw_exec"
    }
  }
}
