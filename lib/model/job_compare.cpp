// SPDX-License-Identifier: Apache-2.0
// See job_compare.h.
#include "model/job_compare.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "model/equal.h"
#include "model/status.h"
#include "proto/model/model.pb.h"

namespace drover::model {

namespace {

std::string stable_bytes(const google::protobuf::Message& message) {
    std::string out;
    {
        google::protobuf::io::StringOutputStream stream(&out);
        google::protobuf::io::CodedOutputStream coded(&stream);
        coded.SetSerializationDeterministic(true);
        message.SerializePartialToCodedStream(&coded);
    }
    return out;
}

// Lists of messages in the same order.
template <class List>
bool same_list(const List& a, const List& b) {
    if (a.size() != b.size()) return false;
    for (int i = 0; i < a.size(); i++)
        if (!same_message(a[i], b[i])) return false;
    return true;
}

template <class Map>
bool same_map(const Map& a, const Map& b) {
    if (a.size() != b.size()) return false;
    for (const auto& [name, value] : a) {
        auto found = b.find(name);
        if (found == b.end()) return false;
        if constexpr (requires { value.GetDescriptor(); }) {
            if (!same_message(value, found->second)) return false;
        } else if (value != found->second) {
            return false;
        }
    }
    return true;
}

bool same_ports(const google::protobuf::RepeatedPtrField<Port>& a,
                const google::protobuf::RepeatedPtrField<Port>& b, bool values) {
    if (a.size() != b.size()) return false;
    for (int i = 0; i < a.size(); i++) {
        Port left = a[i];
        Port right = b[i];
        if (!values) left.clear_value(), right.clear_value();
        if (!same_message(left, right)) return false;
    }
    return true;
}

bool same_networks(const google::protobuf::RepeatedPtrField<NetworkResource>& a,
                   const google::protobuf::RepeatedPtrField<NetworkResource>& b) {
    if (a.size() != b.size()) return false;
    for (int i = 0; i < a.size(); i++) {
        const auto& left = a[i];
        const auto& right = b[i];
        if (left.mode() != right.mode() || left.mbits() != right.mbits() ||
            left.hostname() != right.hostname() || !same_message(left.dns(), right.dns()) ||
            !same_message(left.cni(), right.cni()) ||
            !same_ports(left.reserved_ports(), right.reserved_ports(), true) ||
            !same_ports(left.dynamic_ports(), right.dynamic_ports(), false))
            return false;
    }
    return true;
}

// What of a service mesh the running tasks depend on.
bool same_connect(const google::protobuf::RepeatedPtrField<Service>& a,
                  const google::protobuf::RepeatedPtrField<Service>& b) {
    auto essence = [](const auto& services) {
        std::vector<std::string> out;
        for (const auto& service : services) {
            if (!service.has_connect()) continue;
            ConsulConnect connect;
            connect.set_native(service.connect().native());
            if (service.connect().has_gateway()) *connect.mutable_gateway() = service.connect().gateway();
            if (service.connect().has_sidecar_task())
                *connect.mutable_sidecar_task() = service.connect().sidecar_task();
            if (service.connect().has_sidecar_service())
                connect.mutable_sidecar_service()->set_port(service.connect().sidecar_service().port());
            out.push_back(fmt::format("{}|{}|{}|{}", service.name(), service.port_label(), service.cluster(),
                                      stable_bytes(connect)));
        }
        return out;
    };
    return essence(a) == essence(b);
}

bool same_resources(const Resources& a, const Resources& b) {
    return a.cpu() == b.cpu() && a.cores() == b.cores() && a.memory_mb() == b.memory_mb() &&
           a.memory_max_mb() == b.memory_max_mb() && a.secrets_mb() == b.secrets_mb() &&
           same_list(a.devices(), b.devices()) && same_message(a.numa(), b.numa()) &&
           same_networks(a.networks(), b.networks());
}

google::protobuf::Map<std::string, std::string> combined_meta(const Job& job, const TaskGroup& group,
                                                              const Task& task) {
    auto meta = job.meta();
    for (const auto& [name, value] : group.meta()) meta[name] = value;
    for (const auto& [name, value] : task.meta()) meta[name] = value;
    return meta;
}

bool same_task(const Task& a, const Task& b) {
    return a.driver() == b.driver() && a.user() == b.user() && same_message(a.config(), b.config()) &&
           same_map(a.env(), b.env()) && same_list(a.artifacts(), b.artifacts()) &&
           a.has_vault() == b.has_vault() && same_message(a.vault(), b.vault()) &&
           same_message(a.consul(), b.consul()) && same_list(a.secrets(), b.secrets()) &&
           same_list(a.templates(), b.templates()) &&
           same_message(a.csi_plugin_config(), b.csi_plugin_config()) &&
           same_list(a.volume_mounts(), b.volume_mounts()) && same_message(a.identity(), b.identity()) &&
           same_list(a.identities(), b.identities()) && same_resources(a.resources(), b.resources()) &&
           a.log_config().disabled() == b.log_config().disabled() &&
           a.restart_policy().render_templates() == b.restart_policy().render_templates();
}

}  // namespace

bool same_message(const google::protobuf::Message& a, const google::protobuf::Message& b) {
    return stable_bytes(a) == stable_bytes(b);
}

bool spec_changed(const Job& before, const Job& after) {
    auto spec = [](const Job& job) {
        Job copy = job;
        copy.clear_status();
        copy.clear_status_description();
        copy.clear_stable();
        copy.clear_version();
        copy.clear_version_tag();
        copy.clear_create_index();
        copy.clear_modify_index();
        copy.clear_job_modify_index();
        copy.clear_submit_time();
        copy.clear_nomad_token_id();
        return copy;
    };
    return !same_message(spec(before), spec(after));
}

GroupUpdate group_update(const Job& before, const Job& after, std::string_view group) {
    const auto* a = find_group(before, group);
    const auto* b = find_group(after, group);
    if (a == nullptr || b == nullptr || a->tasks_size() != b->tasks_size()) return GroupUpdate::Destructive;
    bool same = same_message(a->ephemeral_disk(), b->ephemeral_disk()) &&
                same_networks(a->networks(), b->networks()) && same_message(a->consul(), b->consul()) &&
                same_connect(a->services(), b->services()) && same_map(a->volumes(), b->volumes()) &&
                a->restart_policy().render_templates() == b->restart_policy().render_templates();
    for (int i = 0; same && i < a->tasks_size(); i++) {
        const auto& task = a->tasks(i);
        const auto* other = find_task(*b, task.name());
        same = other != nullptr && same_task(task, *other) &&
               same_map(combined_meta(before, *a, task), combined_meta(after, *b, *other));
    }
    return same ? GroupUpdate::InPlace : GroupUpdate::Destructive;
}

}  // namespace drover::model
