// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/server/driver_service.h"

#include "base/clock.h"
#include "plugin-sdk/server/exec_call.h"
#include "plugin-sdk/wire/driver_wire.h"

namespace drover::sdk {
DriverService::Reactor* DriverService::run(Context* context, std::function<Status()> call) {
    return run_call(pool_, context, std::move(call));
}

DriverService::Reactor* DriverService::Init(Context* context, const driverpb::InitRequest*, driverpb::InitResponse*) {
    return run(context, [] { return Status(); });
}

// The agent stops, the tasks do not: nothing to do.
DriverService::Reactor* DriverService::Shutdown(Context* context, const driverpb::ShutdownRequest*,
                                                driverpb::ShutdownResponse*) {
    return run(context, [] { return Status(); });
}

DriverService::Reactor* DriverService::TaskConfigSchema(Context* context, const driverpb::TaskConfigSchemaRequest*,
                                                        driverpb::TaskConfigSchemaResponse* response) {
    return run(context, [this, response]() -> Status {
        wire::to_proto(driver_.task_config_schema(), response->mutable_spec());
        return {};
    });
}

DriverService::Reactor* DriverService::Capabilities(Context* context, const driverpb::CapabilitiesRequest*,
                                                    driverpb::CapabilitiesResponse* response) {
    return run(context, [this, response]() -> Status {
        wire::to_proto(driver_.capabilities(), response->mutable_capabilities());
        return {};
    });
}

grpc::ServerWriteReactor<driverpb::FingerprintResponse>* DriverService::Fingerprint(
    Context*, const driverpb::FingerprintRequest*) {
    using Stream = PeriodicStream<driverpb::FingerprintResponse>;
    auto sample = [this, last = std::optional<sdk::Fingerprint>()]() mutable -> Stream::Sample {
        sdk::Fingerprint now = driver_.fingerprint();
        if (last == now) return Stream::Skip{};
        driverpb::FingerprintResponse message;
        wire::to_proto(now, &message);
        last = std::move(now);
        return message;
    };
    return new Stream(pool_, std::chrono::nanoseconds(driver_.fingerprint_period_ns()), std::move(sample));
}

DriverService::Reactor* DriverService::RecoverTask(Context* context, const driverpb::RecoverTaskRequest* request,
                                                   driverpb::RecoverTaskResponse*) {
    return run(context, [this, request]() -> Status {
        TaskHandle handle = wire::from_proto(request->handle());
        if (handle.config.id.empty()) handle.config.id = request->task_id();
        if (handle.config.id.empty())
            return make_error(Code::InvalidArgument, "RecoverTask: neither handle.config.id nor task_id is set");
        return driver_.recover_task(handle);
    });
}

DriverService::Reactor* DriverService::StartTask(Context* context, const driverpb::StartTaskRequest* request,
                                                 driverpb::StartTaskResponse* response) {
    return run(context, [this, request, response]() -> Status {
        if (request->task().id().empty()) return make_error(Code::InvalidArgument, "StartTask: task.id is not set");
        DROVER_TRY(StartedTask started, driver_.start_task(wire::from_proto(request->task())));
        wire::to_proto(started, response);
        return {};
    });
}

DriverService::Reactor* DriverService::WaitTask(Context*, const driverpb::WaitTaskRequest* request,
                                                driverpb::WaitTaskResponse* response) {
    return waits_.wait(request->task_id(), response);
}

DriverService::Reactor* DriverService::StopTask(Context* context, const driverpb::StopTaskRequest* request,
                                                driverpb::StopTaskResponse*) {
    return run(context, [this, request] {
        return driver_.stop_task(request->task_id(), wire::duration_from_proto(request->timeout()), request->signal());
    });
}

DriverService::Reactor* DriverService::DestroyTask(Context* context, const driverpb::DestroyTaskRequest* request,
                                                   driverpb::DestroyTaskResponse*) {
    return run(context, [this, request] {
        return driver_.destroy_task(request->task_id(), request->force() ? Force::Yes : Force::No);
    });
}

DriverService::Reactor* DriverService::InspectTask(Context* context, const driverpb::InspectTaskRequest* request,
                                                   driverpb::InspectTaskResponse* response) {
    return run(context, [this, request, response]() -> Status {
        DROVER_TRY(TaskStatus status, driver_.inspect_task(request->task_id()));
        wire::to_proto(status, response);
        return {};
    });
}

grpc::ServerWriteReactor<driverpb::TaskStatsResponse>* DriverService::TaskStats(
    Context*, const driverpb::TaskStatsRequest* request) {
    using Stream = PeriodicStream<driverpb::TaskStatsResponse>;
    const auto period = stats_period(wire::duration_from_proto(request->collection_interval()));
    // The request does not outlive this call.
    auto sample = [this, task_id = request->task_id()]() -> Stream::Sample {
        auto stats = driver_.task_stats(task_id);
        if (!stats) {
            // An error would be logged by the host once an interval, for ever.
            if (stats.error().code() == Code::Unimplemented) return Stream::Skip{};
            return wire::to_status(stats.error());
        }
        stats->id = task_id;
        if (stats->timestamp_unix_ns == 0) stats->timestamp_unix_ns = unix_now();
        driverpb::TaskStatsResponse message;
        wire::to_proto(*stats, message.mutable_stats());
        return message;
    };
    return new Stream(pool_, period, std::move(sample));
}

grpc::ServerWriteReactor<driverpb::DriverTaskEvent>* DriverService::TaskEvents(Context*,
                                                                               const driverpb::TaskEventsRequest*) {
    return events_.subscribe();
}

DriverService::Reactor* DriverService::SignalTask(Context* context, const driverpb::SignalTaskRequest* request,
                                                  driverpb::SignalTaskResponse*) {
    return run(context, [this, request] { return driver_.signal_task(request->task_id(), request->signal()); });
}

DriverService::Reactor* DriverService::ExecTask(Context* context, const driverpb::ExecTaskRequest* request,
                                                driverpb::ExecTaskResponse* response) {
    return run(context, [this, request, response]() -> Status {
        std::vector<std::string> command(request->command().begin(), request->command().end());
        DROVER_TRY(ExecOutput output,
                   driver_.exec_task(request->task_id(), command, wire::duration_from_proto(request->timeout())));
        wire::to_proto(output, response);
        return {};
    });
}

grpc::ServerBidiReactor<driverpb::ExecTaskStreamingRequest, driverpb::ExecTaskStreamingResponse>*
DriverService::ExecTaskStreaming(Context*) {
    return new ExecCall(driver_, pool_);
}

DriverService::Reactor* DriverService::CreateNetwork(Context* context, const driverpb::CreateNetworkRequest* request,
                                                     driverpb::CreateNetworkResponse* response) {
    return run(context, [this, request, response]() -> Status {
        DROVER_TRY(CreatedNetwork network, driver_.create_network(request->alloc_id(), request->hostname()));
        wire::to_proto(network, response);
        return {};
    });
}

DriverService::Reactor* DriverService::DestroyNetwork(Context* context, const driverpb::DestroyNetworkRequest* request,
                                                      driverpb::DestroyNetworkResponse*) {
    return run(context, [this, request] {
        return driver_.destroy_network(request->alloc_id(), wire::from_proto(request->isolation_spec()));
    });
}

}  // namespace drover::sdk
