// SPDX-License-Identifier: Apache-2.0
// Driver protocol messages <-> SDK values, and errors <-> gRPC statuses. The only place that knows how Nomad's messages
// are filled; used by plugin-sdk/server (a plugin's side) and agent/host (the agent's side). No I/O, thread-free.
// to_proto always fills what the other side must not find absent; from_proto takes what is absent as its default.
#pragma once
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <grpcpp/support/status.h>

#include "base/result.h"
#include "drover/hclspec.h"
#include "drover/types.h"
#include "proto/plugin/base.pb.h"
#include "proto/plugin/driver.pb.h"
#include "proto/plugin/hclspec.pb.h"
#include "proto/plugin/structs.pb.h"

namespace drover::sdk::wire {

namespace basepb = hashicorp::nomad::plugins::base::proto;
namespace driverpb = hashicorp::nomad::plugins::drivers::proto;
namespace hclspecpb = hashicorp::nomad::plugins::shared::hclspec;
namespace structspb = hashicorp::nomad::plugins::shared::structs;

// The one API version there is.
inline constexpr char kApiVersion[] = "v0.1.0";

void to_proto(const PluginInfo& in, basepb::PluginInfoResponse* out);
PluginInfo from_proto(const basepb::PluginInfoResponse& in);

void to_proto(const AgentConfig& in, basepb::NomadConfig* out);
Result<AgentConfig> from_proto(const basepb::NomadConfig& in);  // distances that are no square are refused

void to_proto(const HclSpec& in, hclspecpb::Spec* out);
// Bounded depth. A spec without a kind is Kind::None: what that means is the decoder's business.
Result<HclSpec> from_proto(const hclspecpb::Spec& in);

void to_proto(const Attribute& in, structspb::Attribute* out);
Attribute from_proto(const structspb::Attribute& in);

void to_proto(const Capabilities& in, driverpb::DriverCapabilities* out);
Capabilities from_proto(const driverpb::DriverCapabilities& in);

void to_proto(const Fingerprint& in, driverpb::FingerprintResponse* out);
Fingerprint from_proto(const driverpb::FingerprintResponse& in);

void to_proto(const Resources& in, driverpb::Resources* out);
Resources from_proto(const driverpb::Resources& in);

void to_proto(const NetworkIsolation& in, driverpb::NetworkIsolationSpec* out);
NetworkIsolation from_proto(const driverpb::NetworkIsolationSpec& in);

void to_proto(const TaskConfig& in, driverpb::TaskConfig* out);
TaskConfig from_proto(const driverpb::TaskConfig& in);

void to_proto(const TaskHandle& in, driverpb::TaskHandle* out);
TaskHandle from_proto(const driverpb::TaskHandle& in);

void to_proto(const DriverNetwork& in, driverpb::NetworkOverride* out);
DriverNetwork from_proto(const driverpb::NetworkOverride& in);

void to_proto(const StartedTask& in, driverpb::StartTaskResponse* out);
StartedTask from_proto(const driverpb::StartTaskResponse& in);

void to_proto(const ExitResult& in, driverpb::ExitResult* out);  // all but `error`
ExitResult from_proto(const driverpb::ExitResult& in);
void to_proto(const ExitResult& in, driverpb::WaitTaskResponse* out);
ExitResult from_proto(const driverpb::WaitTaskResponse& in);

void to_proto(const TaskStatus& in, driverpb::InspectTaskResponse* out);
TaskStatus from_proto(const driverpb::InspectTaskResponse& in);

void to_proto(const TaskStats& in, driverpb::TaskStats* out);
TaskStats from_proto(const driverpb::TaskStats& in);

void to_proto(const TaskEvent& in, driverpb::DriverTaskEvent* out);
TaskEvent from_proto(const driverpb::DriverTaskEvent& in);

void to_proto(const ExecOutput& in, driverpb::ExecTaskResponse* out);
ExecOutput from_proto(const driverpb::ExecTaskResponse& in);

void to_proto(const CreatedNetwork& in, driverpb::CreateNetworkResponse* out);
CreatedNetwork from_proto(const driverpb::CreateNetworkResponse& in);

google::protobuf::Duration duration_to_proto(int64_t ns);
int64_t duration_from_proto(const google::protobuf::Duration& in);    // saturates
google::protobuf::Timestamp timestamp_to_proto(int64_t unix_ns);      // 0 becomes Go's zero time
int64_t timestamp_from_proto(const google::protobuf::Timestamp& in);  // Go's zero time becomes 0

// An Error as a plugin sends it: the retry bit as FAILED_PRECONDITION with a RecoverableError detail, codes that a
// host takes for the death of the plugin (Unavailable, Cancelled) as Unknown, all others as they are.
grpc::Status to_status(const Error& error);
// A failed call as the host sees it: code, text and the retry bit of details[0]. The text alone, without "rpc error".
Error from_status(const grpc::Status& status);

}  // namespace drover::sdk::wire
