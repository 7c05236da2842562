// SPDX-License-Identifier: Apache-2.0
// alloc stop, restart, signal.
#include "base/strings.h"
#include "cli/alloc_pick.h"
#include "cli/monitor.h"
#include "cli/verbs.h"
#include "proto/model/model.pb.h"

namespace drover::cli {

int alloc_stop(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    auto id = resolve_alloc(in, *client, in.args[0]);
    if (!id) return kExitError;
    api::QueryParams query = {{"no_shutdown_delay", in.on("no-shutdown-delay") ? "true" : "false"}};
    auto reply = client->put(fmt::format("/v1/allocation/{}/stop", *id), "", query);
    model::AllocStopResponse response;
    auto done = reply ? model::json::decode(reply->body, response) : Status(reply.error());
    if (!done) return fail(in, "Error stopping allocation: {}", done.error().message());
    if (in.on("detach")) {
        in.io.line(response.eval_id());
        return kExitOk;
    }
    return monitor_eval(in, *client, response.eval_id());
}

int alloc_restart(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    auto task = in.text("task");
    if (in.args.size() == 2 && !task.empty())
        return fail(in, "A task can be given with -task or as an argument, not both");
    if (in.args.size() == 2) task = in.args[1];
    if (!task.empty() && in.on("all-tasks"))
        return fail(in, "The -all-tasks option is not allowed when restarting a specific task.");
    auto alloc = pick_alloc(in, *client, in.args[0]);
    if (!alloc || (!task.empty() && !check_task(in, *alloc, task))) return kExitError;
    model::AllocationRestartRequest request;
    request.set_task_name(task);
    request.set_all_tasks(in.on("all-tasks"));
    auto sent = client->put(fmt::format("/v1/client/allocation/{}/restart", alloc->id()),
                            model::json::encode(request));
    if (!sent) return fail(in, "Failed to restart allocation:\n\n{}", sent.error().message());
    return kExitOk;
}

int alloc_signal(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    auto task = in.args.size() == 2 ? in.args[1] : in.text("task");
    auto alloc = pick_alloc(in, *client, in.args[0]);
    if (!alloc || (!task.empty() && !check_task(in, *alloc, task))) return kExitError;
    model::AllocSignalRequest request;
    request.set_task(task);
    request.set_signal(in.text("s"));
    auto sent = client->put(fmt::format("/v1/client/allocation/{}/signal", alloc->id()),
                            model::json::encode(request));
    if (!sent) return fail(in, "Error signalling allocation: {}", sent.error().message());
    return kExitOk;
}

}  // namespace drover::cli
