job "constraints" {
  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }
  constraint {
    attribute = "${attr.os.version}"
    version   = ">= 1.2, < 2"
  }
  constraint {
    attribute = "${attr.os.version}"
    semver    = ">= 1.2.0"
  }
  constraint {
    attribute = "${node.unique.name}"
    regexp    = "^web-[0-9]+$"
  }
  constraint {
    attribute    = "${meta.tags}"
    set_contains = "a,b"
  }
  constraint {
    distinct_hosts = true
  }
  constraint {
    distinct_property = "${meta.rack}"
  }
  constraint {
    distinct_property = "${meta.rack}"
    value             = "3"
  }
  constraint {
    distinct_hosts = false
  }
  constraint {
    operator = "distinct_hosts"
    value    = "true"
  }
  constraint {
    attribute = "${meta.x}"
    operator  = "is_set"
  }
  constraint {
    attribute = attr.cpu.numcores
    operator  = ">"
    value     = 2
  }
  affinity {
    attribute = "${attr.os.version}"
    version   = ">= 1.2"
    weight    = -50
  }
  affinity {
    attribute = "${attr.os.version}"
    semver    = ">= 1.2.0"
  }
  affinity {
    attribute = "${node.unique.name}"
    regexp    = "^web"
    weight    = 100
  }
  affinity {
    attribute    = "${meta.tags}"
    set_contains = "a,b"
  }
  affinity {
    attribute        = "${meta.tags}"
    set_contains_all = "a,b"
  }
  affinity {
    attribute        = "${meta.tags}"
    set_contains_any = "a,b"
  }
  spread {
    attribute = "${node.datacenter}"
    weight    = 100
    target "dc1" {
      percent = 60
    }
    target "dc2" {
      percent = 40
    }
  }
  spread {
    attribute = "${meta.rack}"
  }
  group "g" {
    constraint {
      attribute = "${meta.x}"
      operator  = "not"
      value     = "y"
    }
    spread {
      attribute = "${meta.rack}"
      target "r1" {}
    }
    task "t" {
      driver = "docker"
      constraint {
        attribute = "${attr.driver.docker.version}"
        operator  = "version"
        value     = "> 20"
      }
    }
  }
}
