region = "eu"
client { enabled = true options { "driver.allowlist" = "exec" } meta = { a = "${b}" } }
plugin "raw_exec" { config { enabled = true } }
server { retry_join = ["a"] heartbeat_grace = "30s" }
