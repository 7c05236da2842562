job "minimal" {
  task "t" {
    driver = "raw_exec"
    config {
      command = "/bin/true"
    }
  }
}
