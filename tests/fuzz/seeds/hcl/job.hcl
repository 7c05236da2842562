a = [for i, v in ["x"] : "${i}-${v}" if v != "y"]
job "a" "b" {
  b { c = true ? 1.5 : -2e3 }
  d = <<-EOT
    %{ for x in [1] ~}
    ${x} $${y} %%{z}
    %{ endfor ~}
  EOT
  dynamic "b" {
    for_each = {k = 1}
    iterator = it
    content { v = it.value }
  }
  e = var.n[*].x.*.y[0].1
  f = {for k, v in {a = 1} : v => k...}
  g = format("%05.2f|%q", 1, "a") # c
}
