// SPDX-License-Identifier: Apache-2.0
// See diff.h. By reflection over the schema; the tables below hold what reflection cannot know: how blocks
// are called, which list items are the same thing in both versions, and what is bookkeeping.
#include "model/diff.h"

#include <algorithm>
#include <map>
#include <set>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "base/strings.h"
#include "model/equal.h"
#include "model/json/json.h"
#include "model/json/plan.h"
#include "model/status.h"
#include "proto/model/diff.pb.h"
#include "proto/model/evaluation.pb.h"
#include "proto/model/job.pb.h"
#include "proto/model/options.pb.h"

namespace drover::model {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr const char* kNone = "None";
constexpr const char* kAdded = "Added";
constexpr const char* kDeleted = "Deleted";
constexpr const char* kEdited = "Edited";

using Names = std::map<std::string_view, std::set<std::string_view>>;

// message -> fields that users do not write, or that are shown elsewhere.
const Names& skipped() {
    static const Names table{
        {"Job",
         {"id", "status", "status_description", "version", "stable", "create_index", "modify_index",
          "job_modify_index", "update", "submit_time", "nomad_token_id", "version_tag", "reschedule",
          "migrate", "task_groups"}},
        {"TaskGroup", {"name", "tasks"}},
        {"Task", {"name", "restart_policy"}},
        {"UpdateStrategy", {"stagger"}},
        {"NetworkResource", {"device", "cidr", "ip"}},
        {"ScalingPolicy", {"id", "namespace", "target", "create_index", "modify_index"}},
    };
    return table;
}

// message -> the field by which items of a list are the same item. Lists of others are sets: changed means
// one item deleted and one added.
const std::map<std::string_view, const char*>& keys() {
    static const std::map<std::string_view, const char*> table{
        {"Service", "name"}, {"ServiceCheck", "name"}, {"Template", "dest_path"},
        {"Action", "name"},  {"Secret", "name"},       {"WorkloadIdentity", "name"}};
    return table;
}

// How a block is called: by field ("Message.field") or by type; else the field's JSON name.
std::string block_name(const FieldDescriptor* field, const Descriptor* type) {
    static const std::map<std::string_view, const char*> by_field{
        {"NetworkResource.reserved_ports", "Static Port"},
        {"NetworkResource.dynamic_ports", "Dynamic Port"},
        {"Service.connect", "ConsulConnect"},
        {"TaskGroup.volumes", "Volume"}};
    static const std::map<std::string_view, const char*> by_type{
        {"Constraint", "Constraint"}, {"Affinity", "Affinity"},         {"Spread", "Spread"},
        {"Service", "Service"},       {"ServiceCheck", "Check"},        {"Template", "Template"},
        {"TaskArtifact", "Artifact"}, {"NetworkResource", "Network"},   {"RequestedDevice", "Device"},
        {"Action", "Action"},         {"WorkloadIdentity", "Identity"}, {"VolumeMount", "VolumeMount"},
        {"Secret", "Secret"},         {"ScalingPolicy", "Scaling"},     {"SpreadTarget", "SpreadTarget"}};
    auto named = by_field.find(field->containing_type()->name() + "." + field->name());
    if (named != by_field.end()) return named->second;
    auto typed = by_type.find(type->name());
    return typed != by_type.end() ? typed->second : field->json_name();
}

// Blocks in the order in which people are used to see them: these first, then by field number.
std::vector<const FieldDescriptor*> fields_in_order(const Descriptor* type) {
    static const std::map<std::string_view, std::vector<const char*>> table{
        {"TaskGroup",
         {"constraints", "affinities", "spreads", "restart_policy", "disconnect", "migrate",
          "reschedule_policy", "ephemeral_disk", "consul", "update", "networks", "services", "volumes"}},
        {"Task",
         {"constraints", "affinities", "config", "resources", "log_config", "dispatch_payload", "artifacts",
          "services"}}};
    std::vector<const FieldDescriptor*> out;
    if (auto found = table.find(type->name()); found != table.end())
        for (const char* name : found->second) out.push_back(type->FindFieldByName(name));
    for (int i = 0; i < type->field_count(); i++)
        if (std::find(out.begin(), out.end(), type->field(i)) == out.end()) out.push_back(type->field(i));
    return out;
}

bool is_skipped(const FieldDescriptor* field) {
    if (field->options().GetExtension(as_json).only() == VIEW_API) return true;
    auto found = skipped().find(field->containing_type()->name());
    return found != skipped().end() && found->second.contains(field->name());
}

// ---- scalars as text ----

std::string scalar_text(const Message& message, const FieldDescriptor* field) {
    const Reflection* reflection = message.GetReflection();
    bool null = field->has_presence() && !reflection->HasField(message, field) &&
                field->options().GetExtension(as_json).nullable();
    if (null) return "";
    switch (field->cpp_type()) {
        case FieldDescriptor::CPPTYPE_BOOL:
            return reflection->GetBool(message, field) ? "true" : "false";
        case FieldDescriptor::CPPTYPE_INT32:
            return std::to_string(reflection->GetInt32(message, field));
        case FieldDescriptor::CPPTYPE_INT64:
            return std::to_string(reflection->GetInt64(message, field));
        case FieldDescriptor::CPPTYPE_UINT32:
            return std::to_string(reflection->GetUInt32(message, field));
        case FieldDescriptor::CPPTYPE_UINT64:
            return std::to_string(reflection->GetUInt64(message, field));
        case FieldDescriptor::CPPTYPE_DOUBLE:
            return fmt::format("{}", reflection->GetDouble(message, field));
        case FieldDescriptor::CPPTYPE_STRING:
            return reflection->GetString(message, field);
        default:
            return "";
    }
}

using Texts = std::map<std::string, std::string>;

// All scalars of one message, maps of scalars as Name[key].
Texts flatten(const Message& message, const std::set<std::string_view>& without) {
    Texts out;
    const auto* type = message.GetDescriptor();
    for (int i = 0; i < type->field_count(); i++) {
        const auto* field = type->field(i);
        if (is_skipped(field) || without.contains(field->name())) continue;
        if (field->is_map()) {
            if (field->message_type()->map_value()->cpp_type() != FieldDescriptor::CPPTYPE_STRING) continue;
            auto end = json::MapAccess::end(message, field);
            for (auto it = json::MapAccess::begin(message, field); it != end; ++it)
                out[fmt::format("{}[{}]", field->json_name(), it.GetKey().GetStringValue())] =
                    it.GetValueRef().GetStringValue();
        } else if (!field->is_repeated() && field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
            std::string text = scalar_text(message, field);
            bool null = field->options().GetExtension(as_json).nullable() && text.empty();
            if (!null) out[field->json_name()] = std::move(text);
        }
    }
    return out;
}

void flatten_value(const std::string& prefix, const Value& value, Texts& out);

void flatten_map(const std::string& prefix, const MapValue& map, Texts& out) {
    for (const auto& [name, item] : map.fields())
        flatten_value(prefix.empty() ? name : fmt::format("{}[{}]", prefix, name), item, out);
}

void flatten_value(const std::string& prefix, const Value& value, Texts& out) {
    if (value.has_map_value()) return flatten_map(prefix, value.map_value(), out);
    if (value.has_list_value()) {
        for (int i = 0; i < value.list_value().values_size(); i++)
            flatten_value(fmt::format("{}[{}]", prefix, i), value.list_value().values(i), out);
        return;
    }
    out[prefix] = value.has_string_value() ? value.string_value() : json::encode_value(value);
}

// ---- fields ----

enum class Context : bool { No = false, Yes = true };
Context context_of(bool contextual) {
    return contextual ? Context::Yes : Context::No;
}

template <class Diff>
void add_field(Diff& diff, const std::string& name, const std::string& before, const std::string& after,
               Context context) {
    if (before == after && context == Context::No) return;
    auto* field = diff.add_fields();
    field->set_type(before == after ? kNone : before.empty() ? kAdded : after.empty() ? kDeleted : kEdited);
    field->set_name(name);
    field->set_old(before);
    field->set_new_(after);
}

template <class Diff>
void add_fields(Diff& diff, const Texts& before, const Texts& after, Context context) {
    std::set<std::string> names;
    for (const auto& [name, text] : before) names.insert(name);
    for (const auto& [name, text] : after) names.insert(name);
    auto text = [](const Texts& texts, const std::string& name) {
        auto found = texts.find(name);
        return found == texts.end() ? std::string() : found->second;
    };
    for (const auto& name : names) add_field(diff, name, text(before, name), text(after, name), context);
}

// ---- blocks ----

class Differ {
 public:
    explicit Differ(Context context) : context_(context) {}

    // The blocks of two messages of one type (either may be null) into a diff.
    template <class Diff>
    void blocks(Diff& diff, const Descriptor* type, const Message* before, const Message* after);

    // nullopt: nothing differs.
    std::optional<ObjectDiff> block(const std::string& name, const Message* before, const Message* after,
                                    const std::set<std::string_view>& without = {});

 private:
    template <class Diff>
    void list(Diff& diff, const FieldDescriptor* field, const Message* before, const Message* after);
    template <class Diff>
    void map(Diff& diff, const FieldDescriptor* field, const Message* before, const Message* after);
    std::optional<ObjectDiff> strings(const FieldDescriptor* field, const Message* before,
                                      const Message* after);
    std::optional<ObjectDiff> free_form(const std::string& name, const MapValue* before,
                                        const MapValue* after);

    Context context_;
};

const char* presence(const void* before, const void* after) {
    return before == nullptr ? kAdded : after == nullptr ? kDeleted : kEdited;
}

std::optional<ObjectDiff> Differ::free_form(const std::string& name, const MapValue* before,
                                            const MapValue* after) {
    Texts old_texts, new_texts;
    if (before != nullptr) flatten_map("", *before, old_texts);
    if (after != nullptr) flatten_map("", *after, new_texts);
    if (old_texts == new_texts) return std::nullopt;
    ObjectDiff diff;
    diff.set_name(name);
    diff.set_type(presence(before, after));
    add_fields(diff, old_texts, new_texts, context_);
    return diff;
}

std::optional<ObjectDiff> Differ::block(const std::string& name, const Message* before, const Message* after,
                                        const std::set<std::string_view>& without) {
    if (before == nullptr && after == nullptr) return std::nullopt;
    if (before != nullptr && after != nullptr && same_message(*before, *after)) return std::nullopt;
    const auto* type = (before != nullptr ? before : after)->GetDescriptor();
    if (type == MapValue::descriptor())
        return free_form(name, static_cast<const MapValue*>(before), static_cast<const MapValue*>(after));
    ObjectDiff diff;
    diff.set_name(name);
    diff.set_type(presence(before, after));
    add_fields(diff, before ? flatten(*before, without) : Texts(), after ? flatten(*after, without) : Texts(),
               context_);
    blocks(diff, type, before, after);
    bool differs = !diff.objects().empty();
    for (const auto& field : diff.fields()) differs = differs || field.type() != kNone;
    if (!differs && diff.type() == kEdited) return std::nullopt;
    return diff;
}

std::optional<ObjectDiff> Differ::strings(const FieldDescriptor* field, const Message* before,
                                          const Message* after) {
    auto values = [&](const Message* message) {
        std::set<std::string> out;
        if (message == nullptr) return out;
        const Reflection* reflection = message->GetReflection();
        for (int i = 0; i < reflection->FieldSize(*message, field); i++) {
            if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING)
                out.insert(reflection->GetRepeatedString(*message, field, i));
            else if (field->cpp_type() == FieldDescriptor::CPPTYPE_UINT32)
                out.insert(std::to_string(reflection->GetRepeatedUInt32(*message, field, i)));
        }
        return out;
    };
    auto old_values = values(before);
    auto new_values = values(after);
    if (old_values == new_values) return std::nullopt;
    ObjectDiff diff;
    diff.set_name(field->json_name());
    diff.set_type(old_values.empty() ? kAdded : new_values.empty() ? kDeleted : kEdited);
    // By the old value: what is new comes first.
    for (const auto& value : new_values)
        if (!old_values.contains(value)) add_field(diff, field->json_name(), "", value, context_);
    for (const auto& value : old_values)
        add_field(diff, field->json_name(), value, new_values.contains(value) ? value : "", context_);
    return diff;
}

template <class Diff>
void Differ::list(Diff& diff, const FieldDescriptor* field, const Message* before, const Message* after) {
    const auto* type = field->message_type();
    std::set<std::string_view> without;
    // The scheduler picks a dynamic port's number.
    if (field->name() == "dynamic_ports") without = {"value", "ignore_collision"};
    auto key = keys().find(type->name());
    auto items = [&](const Message* message) {
        std::map<std::string, const Message*> out;
        if (message == nullptr) return out;
        const Reflection* reflection = message->GetReflection();
        for (int i = 0; i < reflection->FieldSize(*message, field); i++) {
            const Message& item = reflection->GetRepeatedMessage(*message, field, i);
            out[key == keys().end() ? item.SerializeAsString()
                                    : scalar_text(item, type->FindFieldByName(key->second))] = &item;
        }
        return out;
    };
    auto old_items = items(before);
    auto new_items = items(after);
    std::string name = block_name(field, type);
    auto add = [&](const Message* a, const Message* b) {
        if (auto made = block(name, a, b, without)) diff.add_objects()->Swap(&*made);
    };
    for (const auto& [id, item] : new_items)
        if (!old_items.contains(id)) add(nullptr, item);
    for (const auto& [id, item] : old_items) {
        auto same = new_items.find(id);
        add(item, same == new_items.end() ? nullptr : same->second);
    }
}

template <class Diff>
void Differ::map(Diff& diff, const FieldDescriptor* field, const Message* before, const Message* after) {
    auto items = [&](const Message* message) {
        std::map<std::string, const Message*> out;
        if (message == nullptr) return out;
        auto end = json::MapAccess::end(*message, field);
        for (auto it = json::MapAccess::begin(*message, field); it != end; ++it)
            out[it.GetKey().GetStringValue()] = &it.GetValueRef().GetMessageValue();
        return out;
    };
    auto old_items = items(before);
    auto new_items = items(after);
    std::set<std::string> names;
    for (const auto& [name, item] : old_items) names.insert(name);
    for (const auto& [name, item] : new_items) names.insert(name);
    std::string name = block_name(field, field->message_type()->map_value()->message_type());
    for (const auto& each : names) {
        auto a = old_items.find(each);
        auto b = new_items.find(each);
        auto made = block(name, a == old_items.end() ? nullptr : a->second,
                          b == new_items.end() ? nullptr : b->second);
        if (made) diff.add_objects()->Swap(&*made);
    }
}

template <class Diff>
void Differ::blocks(Diff& diff, const Descriptor* type, const Message* before, const Message* after) {
    auto single = [](const Message* message, const FieldDescriptor* field) -> const Message* {
        if (message == nullptr || !message->GetReflection()->HasField(*message, field)) return nullptr;
        return &message->GetReflection()->GetMessage(*message, field);
    };
    for (const auto* field : fields_in_order(type)) {
        if (is_skipped(field)) continue;
        bool messages = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
        if (field->is_map()) {
            if (field->message_type()->map_value()->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE)
                map(diff, field, before, after);
        } else if (field->is_repeated()) {
            if (messages)
                list(diff, field, before, after);
            else if (auto made = strings(field, before, after))
                diff.add_objects()->Swap(&*made);
        } else if (messages) {
            auto made =
                block(block_name(field, field->message_type()), single(before, field), single(after, field));
            if (made) diff.add_objects()->Swap(&*made);
        }
    }
}

// Added and Deleted by what is there, else Edited when something differs.
template <class Diff>
bool has_changes(const Diff& diff) {
    for (const auto& field : diff.fields())
        if (field.type() != kNone) return true;
    return !diff.objects().empty();
}

// A task has its group's restart policy unless it says otherwise; only that is worth showing.
const Message* own_restart(const Task* task, const TaskGroup* group) {
    if (task == nullptr || group == nullptr || same_message(task->restart_policy(), group->restart_policy()))
        return nullptr;
    return &task->restart_policy();
}

struct Versions {
    const TaskGroup* before;
    const TaskGroup* after;
};

TaskDiff diff_tasks(const Task* before, const Task* after, const Versions& groups, Context context) {
    TaskDiff diff;
    diff.set_name((after != nullptr ? after : before)->name());
    add_fields(diff, before ? flatten(*before, {}) : Texts(), after ? flatten(*after, {}) : Texts(),
               Context::No);
    Differ differ(context);
    differ.blocks(diff, Task::descriptor(), before, after);
    if (auto restart = differ.block("RestartPolicy", own_restart(before, groups.before),
                                    own_restart(after, groups.after)))
        diff.add_objects()->Swap(&*restart);
    bool both = before != nullptr && after != nullptr;
    diff.set_type(!both ? presence(before, after) : has_changes(diff) ? kEdited : kNone);
    return diff;
}

template <class List>
auto by_name(const List* list) {
    std::map<std::string, const std::remove_cvref_t<decltype((*list)[0])>*> out;
    if (list != nullptr)
        for (const auto& item : *list) out[item.name()] = &item;
    return out;
}

template <class Items>
auto find_item(const Items& items, const std::string& name) -> typename Items::mapped_type {
    auto found = items.find(name);
    return found == items.end() ? nullptr : found->second;
}

template <class Items>
std::set<std::string> all_names(const Items& a, const Items& b) {
    std::set<std::string> names;
    for (const auto& [name, item] : a) names.insert(name);
    for (const auto& [name, item] : b) names.insert(name);
    return names;
}

TaskGroupDiff diff_groups(const TaskGroup* before, const TaskGroup* after, Context context) {
    TaskGroupDiff diff;
    diff.set_name((after != nullptr ? after : before)->name());
    add_fields(diff, before ? flatten(*before, {}) : Texts(), after ? flatten(*after, {}) : Texts(),
               Context::No);
    Differ(context).blocks(diff, TaskGroup::descriptor(), before, after);
    auto old_tasks = by_name(before ? &before->tasks() : nullptr);
    auto new_tasks = by_name(after ? &after->tasks() : nullptr);
    bool differs = has_changes(diff);
    for (const auto& name : all_names(old_tasks, new_tasks)) {
        auto* task = diff.add_tasks();
        *task = diff_tasks(find_item(old_tasks, name), find_item(new_tasks, name), {before, after}, context);
        differs = differs || task->type() != kNone;
    }
    bool both = before != nullptr && after != nullptr;
    diff.set_type(!both ? presence(before, after) : differs ? kEdited : kNone);
    return diff;
}

}  // namespace

JobDiff diff_jobs(const Job* before, const Job* after, bool contextual) {
    JobDiff diff;
    diff.set_type(kNone);
    if (before == nullptr && after == nullptr) return diff;
    diff.set_id((after != nullptr ? after : before)->id());
    add_fields(diff, before ? flatten(*before, {}) : Texts(), after ? flatten(*after, {}) : Texts(),
               Context::No);
    Differ(context_of(contextual)).blocks(diff, Job::descriptor(), before, after);
    auto old_groups = by_name(before ? &before->task_groups() : nullptr);
    auto new_groups = by_name(after ? &after->task_groups() : nullptr);
    bool differs = has_changes(diff);
    for (const auto& name : all_names(old_groups, new_groups)) {
        auto* group = diff.add_task_groups();
        *group =
            diff_groups(find_item(old_groups, name), find_item(new_groups, name), context_of(contextual));
        differs = differs || group->type() != kNone;
    }
    bool both = before != nullptr && after != nullptr;
    diff.set_type(!both ? presence(before, after) : differs ? kEdited : kNone);
    return diff;
}

}  // namespace drover::model
