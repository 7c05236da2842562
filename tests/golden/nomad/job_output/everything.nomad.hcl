job "every" {
  id          = "every-id"
  name        = "every name"
  type        = "service"
  region      = "global"
  namespace   = "default"
  datacenters = ["dc1", "dc2"]
  node_pool   = "default"
  priority    = 70
  all_at_once = true
  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }
  affinity {
    attribute = "${node.datacenter}"
    value     = "dc1"
    weight    = 60
  }
  spread {
    attribute = "${node.datacenter}"
    weight    = 40
    target "dc1" {
      percent = 70
    }
    target "dc2" {
      percent = 30
    }
  }
  update {
    max_parallel      = 2
    stagger           = "31s"
    health_check      = "checks"
    min_healthy_time  = "11s"
    healthy_deadline  = "6m"
    progress_deadline = "11m"
    canary            = 1
    auto_revert       = true
    auto_promote      = true
  }
  migrate {
    max_parallel     = 1
    health_check     = "checks"
    min_healthy_time = "10s"
    healthy_deadline = "5m"
  }
  reschedule {
    delay          = "31s"
    delay_function = "fibonacci"
    max_delay      = "2h"
    unlimited      = true
  }
  meta {
    owner = "team"
    size  = 3
    on    = true
  }
  ui {
    description = "a *job*"
    link {
      label = "docs"
      url   = "https://example.com"
    }
  }
  multiregion {
    strategy {
      max_parallel = 1
      on_failure   = "fail_all"
    }
    region "west" {
      count       = 2
      datacenters = ["west-1"]
      node_pool   = "default"
      meta {
        a = "b"
      }
    }
  }
  group "g" {
    count                          = 2
    shutdown_delay                 = "5s"
    max_run_duration               = "1h"
    stop_after_client_disconnect   = "1m"
    max_client_disconnect          = "1h"
    prevent_reschedule_on_lost     = true
    constraint {
      distinct_hosts = true
    }
    disconnect {
      lost_after = "6h"
      replace    = false
      reconcile  = "keep_original"
    }
    ephemeral_disk {
      size    = 500
      sticky  = true
      migrate = true
    }
    restart {
      attempts         = 3
      interval         = "10m"
      delay            = "20s"
      mode             = "delay"
      render_templates = true
    }
    scaling {
      enabled = true
      min     = 1
      max     = 5
      policy {
        cooldown = "1m"
        check "avg" {
          source = "prometheus"
          query  = "avg(x)"
          strategy "target-value" {
            target = 70
          }
        }
      }
    }
    network {
      mode     = "bridge"
      hostname = "web-${NOMAD_ALLOC_INDEX}"
      port "http" {
        static       = 8080
        to           = 80
        host_network = "public"
      }
      port "admin" {
        to = -1
      }
      dns {
        servers  = ["1.1.1.1"]
        searches = ["example.com"]
        options  = ["ndots:2"]
      }
      cni {
        args = {
          a = "b"
        }
      }
    }
    volume "data" {
      type            = "csi"
      source          = "vol"
      read_only       = true
      per_alloc       = true
      access_mode     = "single-node-reader-only"
      attachment_mode = "file-system"
      mount_options {
        fs_type     = "ext4"
        mount_flags = ["noatime"]
      }
    }
    consul {
      namespace = "ns"
      cluster   = "default"
      partition = "p"
    }
    service {
      name                = "web"
      provider            = "consul"
      port                = "http"
      tags                = ["a"]
      canary_tags         = ["b"]
      enable_tag_override = true
      address_mode        = "host"
      task                = "main"
      on_update           = "ignore"
      meta {
        m = "1"
      }
      canary_meta {
        c = "1"
      }
      tagged_addresses {
        lan = "10.0.0.1"
      }
      weights {
        passing = 5
        warning = 2
      }
      identity {
        aud = ["consul.io"]
        ttl = "1h"
      }
      check_restart {
        limit           = 3
        grace           = "90s"
        ignore_warnings = true
      }
      check {
        name     = "alive"
        type     = "http"
        path     = "/health"
        method   = "POST"
        protocol = "https"
        port     = "http"
        interval = "10s"
        timeout  = "2s"
        header {
          Authorization = ["Basic x"]
        }
        initial_status           = "passing"
        tls_server_name          = "n"
        tls_skip_verify          = true
        success_before_passing   = 2
        failures_before_critical = 3
        failures_before_warning  = 1
        body                     = "{}"
        on_update                = "ignore_warnings"
        notes                    = "n"
        grpc_service             = "s"
        grpc_use_tls             = true
        command                  = "/bin/c"
        args                     = ["x"]
        expose                   = true
        task                     = "main"
        advertise                = "1.2.3.4"
        address_mode             = "driver"
      }
      connect {
        native = false
        sidecar_service {
          tags                      = ["t"]
          port                      = "p"
          disable_default_tcp_check = true
          meta {
            k = "v"
          }
          proxy {
            local_service_address = "127.0.0.1"
            local_service_port    = 9000
            upstreams {
              destination_name      = "db"
              local_bind_port       = 5432
              local_bind_address    = "127.0.0.1"
              datacenter            = "dc2"
              destination_namespace = "n"
              destination_peer      = "p"
              destination_partition = "q"
              destination_type      = "service"
              mesh_gateway {
                mode = "local"
              }
              config {
                connect_timeout_ms = 1000
              }
            }
            expose {
              path {
                path            = "/m"
                protocol        = "http"
                local_path_port = 9102
                listener_port   = "expose"
              }
            }
            transparent_proxy {
              uid                    = "101"
              outbound_port          = 15001
              exclude_inbound_ports  = ["8002"]
              exclude_outbound_ports = [443]
              exclude_outbound_cidrs = ["10.0.0.0/8"]
              exclude_uids           = ["1"]
              no_dns                 = true
            }
            config {
              x = 1
            }
          }
        }
        sidecar_task {
          name         = "proxy"
          driver       = "docker"
          user         = "u"
          kill_timeout = "3s"
          kill_signal  = "SIGTERM"
          config {
            image = "envoy"
          }
          env {
            A = "1"
          }
          resources {
            cpu = 50
          }
          logs {
            max_files = 2
          }
        }
      }
    }
    service {
      name = "gateway"
      connect {
        gateway {
          proxy {
            connect_timeout                     = "500ms"
            envoy_gateway_bind_tagged_addresses = true
            envoy_gateway_bind_addresses "a" {
              address = "10.0.0.1"
              port    = 80
            }
            envoy_gateway_no_default_bind = true
            envoy_dns_discovery_type      = "LOGICAL_DNS"
          }
          ingress {
            tls {
              enabled         = true
              tls_min_version = "TLSv1_2"
              cipher_suites   = ["x"]
            }
            listener {
              port     = 80
              protocol = "http"
              service {
                name  = "web"
                hosts = ["a.example.com"]
              }
            }
          }
          terminating {
            service {
              name      = "legacy"
              ca_file   = "/ca"
              cert_file = "/cert"
              key_file  = "/key"
              sni       = "sni"
            }
          }
          mesh {}
        }
      }
    }
    task "main" {
      driver         = "exec"
      user           = "nobody"
      leader         = true
      kill_timeout   = "25s"
      kill_signal    = "SIGINT"
      shutdown_delay = "1s"
      kind           = "k"
      config {
        command = "/bin/app"
        args    = ["-a", "1"]
        count   = 3
        ratio   = 0.5
        on      = true
        labels = {
          a = "b"
          c = {
            d = 1
          }
        }
        mount {
          type   = "bind"
          target = "/x"
          opts {
            ro = true
          }
        }
        mount {
          type = "tmpfs"
        }
        mounts = [{ type = "bind", opts = { ro = false } }]
      }
      env {
        A = "1"
        B = 2
        C = true
      }
      meta = {
        k = "v"
      }
      lifecycle {
        hook    = "prestart"
        sidecar = true
      }
      constraint {
        attribute = "${attr.cpu.arch}"
        operator  = "!="
        value     = "arm64"
      }
      affinity {
        attribute = "${meta.rack}"
        regexp    = "r[0-9]"
        weight    = -20
      }
      restart {
        attempts = 1
      }
      resources {
        cores      = 2
        memory     = 512
        memory_max = 1024
        secrets    = 2
        numa {
          affinity = "prefer"
          devices  = ["nvidia/gpu"]
        }
        device "nvidia/gpu" {
          count = 2
          constraint {
            attribute = "${device.attr.memory}"
            operator  = ">="
            value     = "2 GiB"
          }
          affinity {
            attribute = "${device.model}"
            value     = "T4"
            weight    = 75
          }
        }
      }
      logs {
        max_files     = 3
        max_file_size = 5
        disabled      = true
      }
      artifact {
        source      = "https://example.com/a.tgz"
        destination = "local/a"
        mode        = "dir"
        insecure    = true
        chown       = true
        options {
          checksum = "md5:c4aa853ad2215426eb7d70a21922e794"
        }
        headers {
          X-Token = "t"
        }
      }
      template {
        data                 = "hello {{ env \"X\" }}"
        destination          = "local/x.txt"
        change_mode          = "script"
        change_signal        = "sighup"
        env                  = true
        once                 = true
        splay                = "1s"
        perms                = "0600"
        uid                  = 1000
        gid                  = 1001
        left_delimiter       = "[["
        right_delimiter      = "]]"
        error_on_missing_key = true
        vault_grace          = "15s"
        change_script {
          command             = "/bin/reload"
          args                = ["now"]
          timeout             = "7s"
          fail_on_error       = true
          run_on_first_render = true
        }
        wait {
          min = "2s"
          max = "60s"
        }
      }
      vault {
        policies               = ["p"]
        role                   = "r"
        namespace              = "n"
        cluster                = "default"
        env                    = false
        disable_file           = true
        change_mode            = "signal"
        change_signal          = "SIGHUP"
        allow_token_expiration = true
      }
      consul {
        namespace = "tns"
      }
      identity {
        name          = "default"
        env           = true
        file          = true
        filepath      = "secrets/x"
        change_mode   = "signal"
        change_signal = "SIGHUP"
      }
      identity {
        name         = "vault_default"
        aud          = ["vault.io"]
        ttl          = "1h"
        service_name = "web"
      }
      dispatch_payload {
        file = "payload.json"
      }
      volume_mount {
        volume           = "data"
        destination      = "/data"
        read_only        = true
        propagation_mode = "private"
        selinux_label    = "z"
      }
      csi_plugin {
        id                     = "plug"
        type                   = "node"
        mount_dir              = "/csi"
        stage_publish_base_dir = "/local/csi"
        health_timeout         = "30s"
      }
      scaling "cpu" {
        max = 1000
        policy {
          a = 1
        }
      }
      secret "db" {
        provider = "vault"
        path     = "kv/db"
        config {
          engine = "kv_v2"
        }
        env {
          A = "1"
        }
      }
      action "hello" {
        command = "/bin/echo"
        args    = ["hi"]
      }
      schedule {
        cron {
          start    = "0 30 9 * * *"
          end      = "0 17"
          timezone = "UTC"
        }
      }
      service {
        name = "inner"
        port = "admin"
      }
    }
  }
}
