variable "n" {
  type    = number
  default = 2
  validation {
    condition     = var.n > 1
    error_message = "too few"
  }
}
locals {
  a = "${local.b}-x"
  b = var.n
}
job "x" {
  name = local.a
  constraint {
    distinct_hosts = true
  }
}
