// SPDX-License-Identifier: Apache-2.0
// The functions behind the rows of verbs.cpp; each returns the exit code and has said what went wrong.
#pragma once
#include "cli/command.h"

namespace drover::cli {

int agent_info(Invocation& in);
int alloc_fs(Invocation& in);
int alloc_logs(Invocation& in);
int alloc_restart(Invocation& in);
int alloc_signal(Invocation& in);
int alloc_exec(Invocation& in);
int alloc_status(Invocation& in);
int alloc_stop(Invocation& in);
int deployment_list(Invocation& in);
int deployment_status(Invocation& in);
int eval_list(Invocation& in);
int eval_status(Invocation& in);
int job_allocs(Invocation& in);
int job_deployments(Invocation& in);
int job_eval(Invocation& in);
int job_history(Invocation& in);
int job_init(Invocation& in);
int job_inspect(Invocation& in);
int job_plan(Invocation& in);
int job_revert(Invocation& in);
int job_run(Invocation& in);
int job_status(Invocation& in);
int job_stop(Invocation& in);
int job_validate(Invocation& in);
int monitor(Invocation& in);
int namespace_list(Invocation& in);
int node_drain(Invocation& in);
int node_eligibility(Invocation& in);
int node_pool_list(Invocation& in);
int node_status(Invocation& in);
int operator_api(Invocation& in);
int operator_metrics(Invocation& in);
int operator_scheduler_get(Invocation& in);
int operator_scheduler_set(Invocation& in);
int plugin_check(Invocation& in);
int plugin_new(Invocation& in);
int plugin_status(Invocation& in);
int plugin_restart(Invocation& in);
int server_members(Invocation& in);
int status(Invocation& in);
int system_gc(Invocation& in);
int system_reconcile(Invocation& in);
int version(Invocation& in);

}  // namespace drover::cli
