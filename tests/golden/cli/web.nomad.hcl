variable "greeting" {
  default = "hello"
}

job "web" {
  group "app" {
    count = 2
    task "server" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
      }
      env {
        GREETING = var.greeting
      }
    }
  }
}
