// SPDX-License-Identifier: Apache-2.0
// What the codec needs to know of a message type, worked out once from its descriptor and options and kept
// for the life of the process. Only for model/json.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/map_field.h>
#include <google/protobuf/message.h>

namespace drover::model::json {

struct Plan;

enum class Shape { Bool, Int32, Int64, UInt32, UInt64, Double, String, Bytes, Message };

struct FieldPlan {
    const google::protobuf::FieldDescriptor* field = nullptr;
    const google::protobuf::Reflection* reflection = nullptr;  // of the message the field is in
    std::string name;                                          // "TaskGroups"
    std::string key;                                           // `"TaskGroups":`
    Shape shape = Shape::String;                               // of one element; of the value for maps
    int kind = 0;                                              // model::JsonKind
    bool repeated = false;
    bool map = false;
    bool optional = false;  // a scalar that knows whether it is set
    bool nullable = false;  // null when unset, also in the server's view
    bool in_server = true;
    bool in_api = true;
    bool omit_server = false;
    bool omit_api = false;
    bool empty_list = false;
    const Plan* sub = nullptr;  // of the message, or of the map's message values
};

struct Plan {
    enum class Inline { No, OnlyField, Value };
    const google::protobuf::Descriptor* type = nullptr;
    Inline inlined = Inline::No;
    bool null_when_empty = false;
    std::vector<FieldPlan> fields;  // sorted by name
    std::unordered_map<std::string, const FieldPlan*> by_lower_name;

    const FieldPlan* find(
        std::string_view name) const;  // exact, then without regard to case; null when unknown
};

// Thread-safe; the result lives for ever.
const Plan& plan_of(const google::protobuf::Descriptor* type);

}  // namespace drover::model::json

namespace google::protobuf::expr {

// protobuf 3.21 gives map access by reflection to named friends only; without it each read would make a
// second, repeated copy of the map inside the (shared, const) message. This one name is meant for callers
// outside protobuf.
class CelMapReflectionFriend {
 public:
    static MapIterator begin(const Message& message, const FieldDescriptor* field) {
        return message.GetReflection()->MapBegin(const_cast<Message*>(&message),
                                                 field);  // MapBegin changes nothing
    }
    static MapIterator end(const Message& message, const FieldDescriptor* field) {
        return message.GetReflection()->MapEnd(const_cast<Message*>(&message), field);
    }
    static int size(const Message& message, const FieldDescriptor* field) {
        return message.GetReflection()->MapSize(message, field);
    }
    static void insert(Message* message, const FieldDescriptor* field, const MapKey& key,
                       MapValueRef* value) {
        message->GetReflection()->InsertOrLookupMapValue(message, field, key, value);
    }
};

}  // namespace google::protobuf::expr

namespace drover::model::json {
using MapAccess = google::protobuf::expr::CelMapReflectionFriend;
}
