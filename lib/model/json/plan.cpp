// SPDX-License-Identifier: Apache-2.0
// Descriptors and their (json) options -> plans. The schema is ours, so what it cannot say here is an
// assertion.
#include "model/json/plan.h"

#include <algorithm>
#include <mutex>
#include <shared_mutex>

#include "base/result.h"
#include "base/strings.h"
#include "model/json/json.h"
#include "proto/model/options.pb.h"

namespace drover::model::json {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

Shape shape_of(const FieldDescriptor* field) {
    switch (field->cpp_type()) {
        case FieldDescriptor::CPPTYPE_BOOL:
            return Shape::Bool;
        case FieldDescriptor::CPPTYPE_INT32:
            return Shape::Int32;
        case FieldDescriptor::CPPTYPE_INT64:
            return Shape::Int64;
        case FieldDescriptor::CPPTYPE_UINT32:
            return Shape::UInt32;
        case FieldDescriptor::CPPTYPE_UINT64:
            return Shape::UInt64;
        case FieldDescriptor::CPPTYPE_DOUBLE:
            return Shape::Double;
        case FieldDescriptor::CPPTYPE_STRING:
            return field->type() == FieldDescriptor::TYPE_BYTES ? Shape::Bytes : Shape::String;
        case FieldDescriptor::CPPTYPE_MESSAGE:
            return Shape::Message;
        default:
            abort_with("model/json: a field of this type is not supported", __FILE__, __LINE__);
    }
}

struct Cache {
    std::shared_mutex mutex;
    std::unordered_map<const Descriptor*, std::unique_ptr<Plan>> plans;

    // The caller holds the mutex. Entered before its fields are built, so that recursive types end.
    Plan* build(const Descriptor* type);
    FieldPlan build_field(const FieldDescriptor* field, bool omit_all);
};

FieldPlan Cache::build_field(const FieldDescriptor* field, bool omit_all) {
    const auto& options = field->options().GetExtension(as_json);
    FieldPlan plan;
    plan.field = field;
    plan.reflection = google::protobuf::MessageFactory::generated_factory()
                          ->GetPrototype(field->containing_type())
                          ->GetReflection();
    plan.name = field->json_name();
    append_quoted(plan.key, plan.name);
    plan.key += ':';
    plan.kind = options.kind();
    plan.map = field->is_map();
    plan.repeated = field->is_repeated() && !plan.map;
    const FieldDescriptor* element = field;
    if (plan.map) {
        DROVER_ASSERT(field->message_type()->map_key()->cpp_type() == FieldDescriptor::CPPTYPE_STRING);
        element = field->message_type()->map_value();
    }
    plan.shape = shape_of(element);
    plan.optional = !field->is_repeated() && plan.shape != Shape::Message && field->has_presence();
    plan.nullable = options.nullable();
    plan.in_server = options.only() != VIEW_API;
    plan.in_api = options.only() != VIEW_SERVER;
    plan.omit_server = omit_all || options.empty() == OMIT;
    plan.omit_api = options.empty() == OMIT || options.empty() == OMIT_API;
    plan.empty_list = options.empty() == EMPTY_LIST;
    if (plan.shape == Shape::Message) plan.sub = build(element->message_type());
    return plan;
}

Plan* Cache::build(const Descriptor* type) {
    auto& slot = plans[type];
    if (slot) return slot.get();
    slot = std::make_unique<Plan>();
    Plan* plan = slot.get();
    plan->type = type;
    const auto& options = type->options();
    plan->null_when_empty = options.GetExtension(json_null_when_empty);
    if (type->full_name() == "drover.model.Value") plan->inlined = Plan::Inline::Value;
    if (options.GetExtension(json_inline)) {
        DROVER_ASSERT(type->field_count() == 1 && type->field(0)->is_repeated());
        plan->inlined = Plan::Inline::OnlyField;
    }
    std::vector<FieldPlan> fields;
    for (int i = 0; i < type->field_count(); i++)
        fields.push_back(build_field(type->field(i), options.GetExtension(json_omit_empty)));
    std::sort(fields.begin(), fields.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    plan->fields = std::move(fields);
    for (const auto& field : plan->fields) plan->by_lower_name.emplace(to_lower(field.name), &field);
    return plan;
}

Cache& cache() {
    static auto* instance = new Cache;  // never destroyed: threads may still encode while the process ends
    return *instance;
}

}  // namespace

const FieldPlan* Plan::find(std::string_view name) const {
    auto first =
        std::lower_bound(fields.begin(), fields.end(), name,
                         [](const FieldPlan& field, std::string_view wanted) { return field.name < wanted; });
    if (first != fields.end() && first->name == name) return &*first;
    auto found = by_lower_name.find(to_lower(name));
    return found == by_lower_name.end() ? nullptr : found->second;
}

const Plan& plan_of(const Descriptor* type) {
    auto& all = cache();
    {
        std::shared_lock lock(all.mutex);
        auto found = all.plans.find(type);
        if (found != all.plans.end()) return *found->second;
    }
    std::unique_lock lock(all.mutex);
    return *all.build(type);
}

}  // namespace drover::model::json
