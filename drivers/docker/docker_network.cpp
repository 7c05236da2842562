// SPDX-License-Identifier: Apache-2.0
// An allocation's network namespace: the daemon lets a container join only another container's, so one that
// does nothing (pause) holds it. It is found again by its name; the agent does the rest (CNI) on the
// namespace's path.
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/log.h"
#include "drivers/docker/container_spec.h"
#include "drivers/docker/docker_driver.h"
#include "drivers/docker/pause_image.h"

namespace drover::drivers {
namespace {

constexpr char kSandboxLabel[] = "docker_sandbox_container_id";

std::string network_name(const std::string& alloc_id) {
    return "drover_init_" + alloc_id;
}

sdk::CreatedNetwork network_of(const ContainerInfo& info, const std::string& hostname, bool created) {
    sdk::CreatedNetwork out;
    out.network.mode = sdk::NetworkMode::Group;
    out.network.path = info.sandbox_key;
    out.network.labels = {{kSandboxLabel, info.id}};
    if (!hostname.empty()) out.network.labels["docker_sandbox_hostname"] = hostname;
    out.created = created;
    return out;
}

}  // namespace

Result<std::string> DockerDriver::infra_image(Core& core, const DockerPluginConfig& plugin) {
    if (!plugin.infra_image.empty()) {
        DROVER_TRY(ImageRef image, parse_image(plugin.infra_image));
        auto here = core.engine->image_id(image.text());
        if (here || here.error().code() != Code::NotFound) return here;
        Status pulled = core.engine->pull(image.repository, image.version(), "",
                                          mono_now() + plugin.infra_image_pull_timeout.count(),
                                          plugin.pull_activity_timeout.count(), nullptr);
        if (!pulled) return std::move(pulled).error().context("pull " + plugin.infra_image);
        return core.engine->image_id(image.text());
    }
    auto here = core.engine->image_id(std::string(kPauseRepository) + ":" + kPauseTag);
    if (here || here.error().code() != Code::NotFound) return here;
    DROVER_CHECK(
        core.engine->import(pause_image_tar(), kPauseRepository, kPauseTag, {"ENTRYPOINT [\"/pause\"]"}));
    return core.engine->image_id(std::string(kPauseRepository) + ":" + kPauseTag);
}

Result<sdk::CreatedNetwork> DockerDriver::create_network(const std::string& alloc_id,
                                                         const std::string& hostname) {
    DROVER_TRY(Core * core, this->core());
    const std::string name = network_name(alloc_id);
    auto before = core->engine->inspect(name);
    if (before && before->running) return network_of(*before, hostname, false);
    if (!before && before.error().code() != Code::NotFound) return std::move(before).error();
    if (before) DROVER_CHECK(core->engine->remove(before->id));
    DROVER_TRY(std::string image, infra_image(*core, config()));
    nlohmann::json body{
        {"Image", image},
        {"Labels", {{kOwnerLabel, core->owner}, {kPauseLabel, alloc_id}, {kAllocLabel, alloc_id}}},
        {"HostConfig",
         {{"NetworkMode", "none"},
          {"CapDrop", {"ALL"}},
          {"ReadonlyRootfs", true},
          {"LogConfig", {{"Type", "none"}}}}}};
    if (!hostname.empty()) body["Hostname"] = hostname;
    DROVER_TRY(std::string id, core->engine->create(name, body));
    Status ran = core->engine->start(id);
    auto info = ran ? core->engine->inspect(id) : Result<ContainerInfo>(ran.error());
    if (info && info->running && !info->sandbox_key.empty()) return network_of(*info, hostname, true);
    if (Status removed = core->engine->remove(id); !removed)
        log::warn(this->name(), "cannot clean up", {{"container", id}, {"error", removed.error().message()}});
    if (!info) return std::move(info).error().context("the allocation's network");
    return make_error(Code::Internal, "the allocation's network: container {} is {}", id, info->status);
}

Status DockerDriver::destroy_network(const std::string& alloc_id, const sdk::NetworkIsolation& network) {
    DROVER_TRY(Core * core, this->core());
    auto label = network.labels.find(kSandboxLabel);
    return core->engine->remove(label != network.labels.end() ? label->second : network_name(alloc_id));
}

}  // namespace drover::drivers
