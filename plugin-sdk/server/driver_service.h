// SPDX-License-Identifier: Apache-2.0
// The Driver service: each RPC becomes one call of sdk::Driver on the worker pool; the long ones are in streams.h.
#pragma once
#include "drover/driver.h"
#include "plugin-sdk/server/streams.h"
#include "plugin-sdk/server/worker_pool.h"
#include "proto/plugin/driver.grpc.pb.h"

namespace drover::sdk {

class DriverService final : public driverpb::Driver::CallbackService {
 public:
    DriverService(Driver& driver, WorkerPool& pool) : driver_(driver), pool_(pool), waits_(driver, pool) {}
    EventHub& events() { return events_; }

    using Context = grpc::CallbackServerContext;
    using Reactor = grpc::ServerUnaryReactor;
    Reactor* Init(Context*, const driverpb::InitRequest*, driverpb::InitResponse*) override;
    Reactor* Shutdown(Context*, const driverpb::ShutdownRequest*, driverpb::ShutdownResponse*) override;
    Reactor* TaskConfigSchema(Context*, const driverpb::TaskConfigSchemaRequest*,
                              driverpb::TaskConfigSchemaResponse*) override;
    Reactor* Capabilities(Context*, const driverpb::CapabilitiesRequest*, driverpb::CapabilitiesResponse*) override;
    grpc::ServerWriteReactor<driverpb::FingerprintResponse>* Fingerprint(Context*,
                                                                         const driverpb::FingerprintRequest*) override;
    Reactor* RecoverTask(Context*, const driverpb::RecoverTaskRequest*, driverpb::RecoverTaskResponse*) override;
    Reactor* StartTask(Context*, const driverpb::StartTaskRequest*, driverpb::StartTaskResponse*) override;
    Reactor* WaitTask(Context*, const driverpb::WaitTaskRequest*, driverpb::WaitTaskResponse*) override;
    Reactor* StopTask(Context*, const driverpb::StopTaskRequest*, driverpb::StopTaskResponse*) override;
    Reactor* DestroyTask(Context*, const driverpb::DestroyTaskRequest*, driverpb::DestroyTaskResponse*) override;
    Reactor* InspectTask(Context*, const driverpb::InspectTaskRequest*, driverpb::InspectTaskResponse*) override;
    grpc::ServerWriteReactor<driverpb::TaskStatsResponse>* TaskStats(Context*,
                                                                     const driverpb::TaskStatsRequest*) override;
    grpc::ServerWriteReactor<driverpb::DriverTaskEvent>* TaskEvents(Context*,
                                                                    const driverpb::TaskEventsRequest*) override;
    Reactor* SignalTask(Context*, const driverpb::SignalTaskRequest*, driverpb::SignalTaskResponse*) override;
    Reactor* ExecTask(Context*, const driverpb::ExecTaskRequest*, driverpb::ExecTaskResponse*) override;
    grpc::ServerBidiReactor<driverpb::ExecTaskStreamingRequest, driverpb::ExecTaskStreamingResponse>* ExecTaskStreaming(
        Context*) override;
    Reactor* CreateNetwork(Context*, const driverpb::CreateNetworkRequest*, driverpb::CreateNetworkResponse*) override;
    Reactor* DestroyNetwork(Context*, const driverpb::DestroyNetworkRequest*,
                            driverpb::DestroyNetworkResponse*) override;

 private:
    // Runs `call` on the pool and finishes with what it returns. The messages live until then.
    Reactor* run(Context* context, std::function<Status()> call);

    sdk::Driver& driver_;
    WorkerPool& pool_;
    EventHub events_;
    WaitRegistry waits_;
};

}  // namespace drover::sdk
