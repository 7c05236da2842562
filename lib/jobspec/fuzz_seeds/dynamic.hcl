job "x" {
  dynamic "group" {
    for_each = ["a", "b"]
    labels   = [group.value]
    content {
      count = group.key + 1
      dynamic "task" {
        for_each = { one = "raw_exec", two = "exec" }
        iterator = each
        labels   = ["${group.value}-${each.key}"]
        content {
          driver = each.value
          config {
            dynamic "mount" {
              for_each = [1, 2]
              content {
                n = mount.value
              }
            }
          }
        }
      }
    }
  }
}
