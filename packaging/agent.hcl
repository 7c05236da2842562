# SPDX-License-Identifier: Apache-2.0
# /etc/drover.d/agent.hcl: a server and client in one, for a first machine. See docs/agent.md for every key.
data_dir  = "/var/lib/drover"
bind_addr = "0.0.0.0"

server {
  enabled          = true
  bootstrap_expect = 1
}

client {
  enabled = true
}

# raw_exec runs commands as root without isolation, so it is off unless an operator says so.
# plugin "raw_exec" {
#   config {
#     enabled = true
#   }
# }
