job "parameterized" {
  type = "batch"
  parameterized {
    payload       = "required"
    meta_required = ["input"]
    meta_optional = ["level", "colour"]
  }
  group "g" {
    task "t" {
      driver = "exec"
      dispatch_payload {
        file = "in.json"
      }
    }
  }
}
