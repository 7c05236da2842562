// SPDX-License-Identifier: Apache-2.0
// Runs the detectors, then applies what the configuration says about the node itself. See the header.
#include "fingerprint/fingerprint.h"

#include <unistd.h>

#include <set>

#include "base/log.h"
#include "base/strings.h"
#include "fingerprint/detector.h"

namespace drover::fingerprint {
namespace {

std::set<std::string> option_list(const Input& input, const std::string& key) {
    const auto it = input.config.client().options().find(key);
    std::set<std::string> out;
    if (it == input.config.client().options().end()) return out;
    for (const auto& part : split(it->second, ',')) {
        if (!trim(part).empty()) out.insert(std::string(trim(part)));
    }
    return out;
}

Status run_detectors(const Input& input, model::Node& node) {
    const auto allowed = option_list(input, "fingerprint.allowlist");
    const auto denied = option_list(input, "fingerprint.denylist");
    for (const auto& detector : detectors()) {
        const std::string name(detector.name);
        if (denied.count(name) != 0 || (!allowed.empty() && allowed.count(name) == 0)) continue;
        auto found = detector.run(input, node);
        if (found) continue;
        if (found.error().code() == Code::InvalidArgument) return std::move(found).error();
        log::warn("client.fingerprint_mgr", "a fingerprint failed",
                  {{"fingerprint", name}, {"error", found.error().message()}});
    }
    return {};
}

Status apply_reserved(const Input& input, model::Node& node) {
    const auto& reserved = input.config.client().reserved();
    auto* out = node.mutable_reserved_resources();
    const std::pair<const char*, int64_t> amounts[] = {
        {"cpu", reserved.cpu()}, {"memory", reserved.memory()}, {"disk", reserved.disk()}};
    for (const auto& [what, amount] : amounts) {
        if (amount < 0)
            return make_error(Code::InvalidArgument, "client: reserved {} is {}, expected 0 or more", what,
                              amount);
    }
    out->mutable_cpu()->set_cpu_shares(static_cast<uint64_t>(reserved.cpu()));
    out->mutable_memory()->set_memory_mb(static_cast<uint64_t>(reserved.memory()));
    out->mutable_disk()->set_disk_mb(static_cast<uint64_t>(reserved.disk()));
    out->mutable_networks()->set_reserved_host_ports(reserved.reserved_ports());
    return {};
}

void apply_config(const Input& input, model::Node& node) {
    const auto& config = input.config;
    const auto& client = config.client();
    char host[256] = "";
    ::gethostname(host, sizeof host - 1);
    node.set_name(config.name().empty() ? host : config.name());
    node.set_datacenter(config.datacenter());
    node.set_node_class(client.node_class());
    node.set_node_pool(client.node_pool().empty() ? "default" : client.node_pool());
    *node.mutable_meta() = client.meta();
    node.set_http_addr(config.advertise().http());
    node.set_tls_enabled(config.tls().http());
    node.set_cgroup_parent(client.cgroup_parent());
    node.set_node_max_allocs(client.node_max_allocs());
    node.set_gc_volumes_on_node_gc(client.gc_volumes_on_node_gc());
    for (const auto& volume : client.host_volume()) {
        auto& info = (*node.mutable_host_volumes())[volume.name()];
        info.set_path(volume.path());
        info.set_read_only(volume.read_only());
    }
    auto* resources = node.mutable_node_resources();
    resources->set_min_dynamic_port(client.min_dynamic_port());
    resources->set_max_dynamic_port(client.max_dynamic_port());
}

// FNV-1a: stable over versions and machines, which std::hash is not.
class ClassHash {
 public:
    void add(std::string_view text) {
        for (char c : text) value_ = (value_ ^ static_cast<unsigned char>(c)) * 1099511628211u;
        value_ = (value_ ^ 0xff) * 1099511628211u;  // no byte of UTF-8: ends the field
    }
    template <class Map>
    void add_map(const Map& map) {
        std::map<std::string_view, std::string_view> sorted;
        for (const auto& [key, value] : map) {
            if (!starts_with(key, "unique.")) sorted.emplace(key, value);
        }
        for (const auto& [key, value] : sorted) add(key), add(value);
        add("");
    }
    uint64_t value() const { return value_; }

 private:
    uint64_t value_ = 14695981039346656037u;
};

}  // namespace

std::string computed_class(const model::Node& node) {
    ClassHash hash;
    hash.add(node.datacenter());
    hash.add(node.node_class());
    hash.add(node.node_pool());
    hash.add_map(node.attributes());
    hash.add_map(node.meta());
    std::set<std::string> devices;
    for (const auto& device : node.node_resources().devices()) {
        std::map<std::string, std::string> attributes;
        for (const auto& [key, value] : device.attributes()) {
            if (!starts_with(key, "unique.")) attributes[key] = value.SerializeAsString();
        }
        std::string text = device.vendor() + "/" + device.type() + "/" + device.name();
        for (const auto& [key, value] : attributes) text += "\xff" + key + "\xff" + value;
        devices.insert(std::move(text));
    }
    for (const auto& device : devices) hash.add(device);
    return fmt::format("v1:{}", hash.value());
}

Result<std::shared_ptr<const model::Node>> node_from(const agentconfig::AgentConfig& config,
                                                     const std::string& data_dir) {
    const Input input{config, data_dir, ""};
    auto node = std::make_shared<model::Node>();
    DROVER_CHECK(apply_reserved(input, *node));
    DROVER_CHECK(run_detectors(input, *node));
    apply_config(input, *node);
    node->set_computed_class(computed_class(*node));
    return std::shared_ptr<const model::Node>(std::move(node));
}

}  // namespace drover::fingerprint
