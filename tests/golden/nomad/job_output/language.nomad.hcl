variable "count" {
  type    = number
  default = 3
}
variable "name" {
  type    = string
  default = "lang"
}
variable "zones" {
  type    = list(string)
  default = ["a", "b"]
}
variable "tags" {
  type = map(string)
  default = {
    team = "x"
    tier = "gold"
  }
}
variables {
  image = "busybox"
}
locals {
  full = "${var.name}-${var.count}"
  up   = [for z in var.zones : upper(z)]
}
job "language" {
  name        = local.full
  datacenters = local.up
  priority    = var.count > 2 ? 60 : 40
  meta        = merge(var.tags, { extra = "1" })
  dynamic "group" {
    for_each = var.zones
    iterator = zone
    labels   = ["g-${zone.value}"]
    content {
      count = zone.key + 1
      task "t" {
        driver = "docker"
        config {
          image = "${var.image}:${zone.value}"
          args  = [for k, v in var.tags : "${k}=${v}"]
        }
        template {
          destination = "local/x"
          data        = <<EOT
%{ for z in var.zones ~}
zone ${z}
%{ endfor ~}
{{ env "NOMAD_TASK_DIR" }} ${NOMAD_ALLOC_ID} ${attr.cpu.arch}
EOT
        }
        env {
          ALLOC = NOMAD_ALLOC_ID
          ARCH  = "${attr.cpu.arch}"
          JOINED = join(",", [for z in var.zones : format("%s-%03d", z, var.count)])
          JSON  = jsonencode({ a = [1, 2.5], b = null })
          HASH  = sha256("x")
        }
      }
    }
  }
}
