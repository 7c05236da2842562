job "bad" {
  group "g" {
    cuont = 1
    task "t" {
      driver = "raw_exec"
    }
  }
}
