// SPDX-License-Identifier: Apache-2.0
// The DevicePlugin service: each RPC becomes calls of sdk::DevicePlugin on the worker pool.
#pragma once
#include "drover/device.h"
#include "plugin-sdk/server/streams.h"
#include "plugin-sdk/server/worker_pool.h"
#include "proto/plugin/device.grpc.pb.h"

namespace drover::sdk {

namespace devicepb = hashicorp::nomad::plugins::device;

class DeviceService final : public devicepb::DevicePlugin::CallbackService {
 public:
    DeviceService(DevicePlugin& device, WorkerPool& pool) : device_(device), pool_(pool) {}

    grpc::ServerWriteReactor<devicepb::FingerprintResponse>* Fingerprint(grpc::CallbackServerContext*,
                                                                         const devicepb::FingerprintRequest*) override;
    grpc::ServerUnaryReactor* Reserve(grpc::CallbackServerContext* context, const devicepb::ReserveRequest* request,
                                      devicepb::ReserveResponse* response) override;
    grpc::ServerWriteReactor<devicepb::StatsResponse>* Stats(grpc::CallbackServerContext*,
                                                             const devicepb::StatsRequest* request) override;

 private:
    sdk::DevicePlugin& device_;
    WorkerPool& pool_;
};

}  // namespace drover::sdk
