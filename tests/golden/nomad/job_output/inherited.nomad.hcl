job "inherited" {
  vault {
    role = "job"
  }
  group "g" {
    vault {
      policies = ["group"]
    }
    task "own" {
      driver = "exec"
      vault {
        role = "task"
        env  = false
      }
    }
    task "group" {
      driver = "exec"
    }
  }
  group "h" {
    task "job" {
      driver = "exec"
    }
  }
  task "bare" {
    driver = "exec"
  }
}
