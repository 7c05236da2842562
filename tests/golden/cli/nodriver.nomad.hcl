job "bad" {
  group "g" {
    task "t" {}
  }
}
