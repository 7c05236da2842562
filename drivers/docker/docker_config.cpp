// SPDX-License-Identifier: Apache-2.0
#include "drivers/docker/docker_config.h"

namespace drover::drivers {
namespace {

using sdk::Schema;

Schema<DockerLogging> logging_schema() {
    using C = DockerLogging;
    return Schema<C>()
        .optional("driver", &C::driver)
        .optional("type", &C::type)
        .optional("config", &C::config);
}

Schema<DockerMount> mount_schema() {
    using C = DockerMount;
    using V = DockerVolumeOptions;
    auto driver = Schema<DockerVolumeDriver>()
                      .optional("name", &DockerVolumeDriver::name)
                      .optional("options", &DockerVolumeDriver::options);
    auto volume = Schema<V>()
                      .optional("no_copy", &V::no_copy)
                      .optional("labels", &V::labels)
                      .block("driver_config", &V::driver_config, driver);
    auto tmpfs = Schema<DockerTmpfsOptions>()
                     .optional("size", &DockerTmpfsOptions::size)
                     .optional("mode", &DockerTmpfsOptions::mode);
    auto bind = Schema<DockerBindOptions>().optional("propagation", &DockerBindOptions::propagation);
    return Schema<C>()
        .optional("type", &C::type)
        .required("target", &C::target)
        .optional("source", &C::source)
        .optional("readonly", &C::readonly)
        .block("bind_options", &C::bind_options, bind)
        .block("tmpfs_options", &C::tmpfs_options, tmpfs)
        .block("volume_options", &C::volume_options, volume);
}

Schema<DockerAuth> auth_schema() {
    using C = DockerAuth;
    return Schema<C>()
        .optional("username", &C::username)
        .optional("password", &C::password)
        .optional("email", &C::email)
        .optional("server_address", &C::server_address);
}

Schema<DockerDevice> device_schema() {
    using C = DockerDevice;
    return Schema<C>()
        .required("host_path", &C::host_path)
        .optional("container_path", &C::container_path)
        .optional("cgroup_permissions", &C::cgroup_permissions);
}

Schema<DockerTaskConfig> make_task_schema() {
    using C = DockerTaskConfig;
    auto healthchecks = Schema<DockerHealthchecks>().optional("disable", &DockerHealthchecks::disable);
    return Schema<C>()
        .required("image", &C::image)
        .block("auth", &C::auth, auth_schema())
        .optional("auth_soft_fail", &C::auth_soft_fail)
        .optional("cap_add", &C::cap_add)
        .optional("cap_drop", &C::cap_drop)
        .optional("command", &C::command)
        .optional("args", &C::args)
        .optional("entrypoint", &C::entrypoint)
        .optional("cpu_cfs_period", &C::cpu_cfs_period)
        .optional("cpu_hard_limit", &C::cpu_hard_limit)
        .optional("cpuset_cpus", &C::cpuset_cpus)
        .optional("cgroupns", &C::cgroupns)
        .blocks("devices", &C::devices, device_schema())
        .optional("dns_servers", &C::dns_servers)
        .optional("dns_search_domains", &C::dns_search_domains)
        .optional("dns_options", &C::dns_options)
        .optional("extra_hosts", &C::extra_hosts)
        .optional("force_pull", &C::force_pull)
        .optional("group_add", &C::group_add)
        .block("healthchecks", &C::healthchecks, healthchecks)
        .optional("hostname", &C::hostname)
        .optional("image_pull_timeout", &C::image_pull_timeout)
        .optional("init", &C::init)
        .optional("interactive", &C::interactive)
        .optional("ipc_mode", &C::ipc_mode)
        .optional("pid_mode", &C::pid_mode)
        .optional("userns_mode", &C::userns_mode)
        .optional("uts_mode", &C::uts_mode)
        .optional("ipv4_address", &C::ipv4_address)
        .optional("ipv6_address", &C::ipv6_address)
        .optional("labels", &C::labels)
        .optional("load", &C::load)
        .block("logging", &C::logging, logging_schema())
        .optional("mac_address", &C::mac_address)
        .optional("memory_hard_limit", &C::memory_hard_limit)
        .blocks("mount", &C::mount, mount_schema())
        .blocks("mounts", &C::mounts, mount_schema())
        .optional("network_aliases", &C::network_aliases)
        .optional("network_mode", &C::network_mode)
        .optional("oom_score_adj", &C::oom_score_adj)
        .optional("pids_limit", &C::pids_limit)
        .optional("ports", &C::ports)
        .optional("port_map", &C::port_map)
        .optional("privileged", &C::privileged)
        .optional("readonly_rootfs", &C::readonly_rootfs)
        .optional("runtime", &C::runtime)
        .optional("security_opt", &C::security_opt)
        .optional("shm_size", &C::shm_size)
        .optional("storage_opt", &C::storage_opt)
        .optional("sysctl", &C::sysctl)
        .optional("tty", &C::tty)
        .optional("ulimit", &C::ulimit)
        .optional("volume_driver", &C::volume_driver)
        .optional("volumes", &C::volumes)
        .optional("work_dir", &C::work_dir);
}

Schema<DockerGc> gc_schema() {
    using C = DockerGc;
    using D = DockerDangling;
    auto dangling = Schema<D>()
                        .optional("enabled", &D::enabled)
                        .optional("dry_run", &D::dry_run)
                        .optional("period", &D::period)
                        .optional("creation_grace", &D::creation_grace);
    return Schema<C>()
        .optional("image", &C::image)
        .optional("image_delay", &C::image_delay)
        .optional("container", &C::container)
        .block("dangling_containers", &C::dangling_containers, dangling);
}

Schema<DockerPluginConfig> make_plugin_schema() {
    using C = DockerPluginConfig;
    auto auth = Schema<DockerPluginAuth>()
                    .optional("config", &DockerPluginAuth::config)
                    .optional("helper", &DockerPluginAuth::helper);
    auto volumes = Schema<DockerVolumes>()
                       .optional("enabled", &DockerVolumes::enabled)
                       .optional("selinuxlabel", &DockerVolumes::selinuxlabel);
    return Schema<C>()
        .optional("endpoint", &C::endpoint)
        .block("auth", &C::auth, auth)
        .optional("extra_labels", &C::extra_labels)
        .block("gc", &C::gc, gc_schema())
        .block("volumes", &C::volumes, volumes)
        .optional("allow_privileged", &C::allow_privileged)
        .optional("allow_caps", &C::allow_caps)
        .optional("allow_runtimes", &C::allow_runtimes)
        .optional("nvidia_runtime", &C::nvidia_runtime)
        .optional("pids_limit", &C::pids_limit)
        .optional("pull_activity_timeout", &C::pull_activity_timeout)
        .optional("disable_log_collection", &C::disable_log_collection)
        .block("logging", &C::logging, logging_schema())
        .optional("infra_image", &C::infra_image)
        .optional("infra_image_pull_timeout", &C::infra_image_pull_timeout)
        .optional("state_dir", &C::state_dir);
}

}  // namespace

const sdk::Schema<DockerTaskConfig>& docker_task_schema() {
    static const auto schema = make_task_schema();
    return schema;
}

const sdk::Schema<DockerPluginConfig>& docker_plugin_schema() {
    static const auto schema = make_plugin_schema();
    return schema;
}

}  // namespace drover::drivers
