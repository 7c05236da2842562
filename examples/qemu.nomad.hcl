# SPDX-License-Identifier: Apache-2.0
# A virtual machine. The directory of the image must be allowed on the client:
#   plugin "qemu" { config { image_paths = ["/srv/images"] } }
# Another image: drover job run -var image=/srv/images/other.qcow2 qemu.nomad.hcl
variable "image" {
  type    = string
  default = "/srv/images/debian-12.qcow2"
}

job "machine" {
  group "machine" {
    network {
      port "ssh" {}
    }

    task "machine" {
      driver = "qemu"

      config {
        image_path        = var.image
        accelerator       = "kvm" # tcg where that does not work, with an event that says why
        graceful_shutdown = true

        port_map {
          ssh = 22
        }
      }

      kill_timeout = "60s"

      resources {
        cpu    = 500
        memory = 256
      }
    }
  }
}
