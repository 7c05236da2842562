// SPDX-License-Identifier: Apache-2.0
// The table of all verbs: names, help, flags, functions. Groups first, then the verbs by group, then old
// spellings.
#include "cli/verbs.h"

#include "cli/agent_main.h"
#include "cli/command.h"
#include "cli/verb_flags.h"

namespace drover::cli {
namespace {

Command group(std::string_view name, std::string_view synopsis) {
    Command command;
    command.name = name;
    command.synopsis = synopsis;
    command.general = General::None;
    return command;
}

Command alias(std::string_view name, std::string_view of) {
    Command command;
    command.name = name;
    command.alias_of = of;
    return command;
}

void add_groups(std::vector<Command>& all) {
    all.push_back(group("job", "Interact with jobs"));
    all.back().description = "Jobs are what drover runs: validate, plan, run, inspect and stop them.";
    all.back().common = true;
    all.push_back(group("alloc", "Interact with allocations"));
    all.back().description = "Allocations are instances of a job's task groups, placed on nodes.";
    all.back().common = true;
    all.push_back(group("node", "Interact with nodes"));
    all.back().common = true;
    all.push_back(group("node pool", "Interact with node pools"));
    all.push_back(group("eval", "Interact with evaluations"));
    all.push_back(group("deployment", "Interact with deployments"));
    all.push_back(group("server", "Interact with servers"));
    all.push_back(group("namespace", "Interact with namespaces"));
    all.push_back(group("operator", "Tools for the operators of a cluster"));
    all.push_back(group("operator scheduler", "The scheduler's configuration"));
    all.push_back(group("plugin", "Inspect plugins, check them, write new ones"));
    all.push_back(group("system", "Interact with the system"));
    all.push_back(group("system reconcile", "Repair what can drift"));
}

void add_agent(std::vector<Command>& all) {
    all.push_back({.name = "agent",
                   .synopsis = "Runs a drover agent",
                   .general = General::None,
                   .run_raw = run_agent,
                   .common = true});
    all.push_back({.name = "agent-info",
                   .synopsis = "Display status information about the local agent",
                   .usage = "[options]",
                   .flags = {kJson, kTemplate},
                   .run = agent_info});
    all.push_back({.name = "version",
                   .synopsis = "Prints the drover version",
                   .general = General::None,
                   .run = version});
    all.push_back({.name = "status",
                   .synopsis = "Display the status output for a resource",
                   .usage = "[options] <identifier>",
                   .description = "Finds out what the identifier names (a job, evaluation, allocation, node "
                                  "or deployment; a prefix "
                                  "is enough) and shows its status. Without one, the jobs are listed.",
                   .flags = {kVerbose, kUi},
                   .args_max = 1,
                   .args_error = "This command takes up to one argument",
                   .run = status,
                   .common = true});
    all.push_back(
        {.name = "monitor",
         .synopsis = "Stream logs from an agent",
         .usage = "[options]",
         .flags = {{"log-level", kText, "TRACE, DEBUG, INFO, WARN or ERROR. Default: INFO.", "INFO"},
                   {"log-include-location", kBool, "Accepted for compatibility."},
                   {"node-id", kText, "The node whose agent is meant."},
                   {"server-id", kText, "The server whose agent is meant."},
                   {"json", kBool, "Accepted for compatibility."}},
         .run = monitor});
}

void add_alloc_verbs(std::vector<Command>& all) {
    constexpr std::string_view kAllocArg = "This command takes one argument: <alloc-id>";
    const Flag job{"job", kBool, "The argument is a job: one of its running allocations is meant."};
    const Flag follow{"f", kBool, "Go on with what is written from now on."};
    const Flag tail{"tail", kBool, "Only the end, 10 lines if -n and -c do not say otherwise."};
    const Flag lines{"n", kInt, "How many lines of the end."};
    const Flag bytes{"c", kInt, "How many bytes of the end."};
    all.push_back({.name = "alloc status",
                   .synopsis = "Display allocation status information and metadata",
                   .usage = "[options] <allocation>",
                   .flags = {{"short", kBool, "Only the tasks and their last event."},
                             {"stats", kBool, "Detailed use of resources."},
                             kVerbose,
                             kJson,
                             kTemplate,
                             kUi},
                   .args_max = 1,
                   .args_error = kAllocArg,
                   .run = alloc_status});
    all.push_back({.name = "alloc logs",
                   .synopsis = "Streams the logs of a task",
                   .usage = "[options] <allocation> <task>",
                   .flags = {{"stderr", kBool, "The standard error."},
                             {"stdout", kBool, "The standard output (this is the default)."},
                             job,
                             kGroup,
                             kTask,
                             follow,
                             tail,
                             lines,
                             bytes,
                             kVerbose},
                   .args_max = 2,
                   .args_error = "This command takes one or two arguments: <allocation> <task>",
                   .run = alloc_logs});
    all.push_back({.name = "alloc fs",
                   .synopsis = "Inspect the contents of an allocation directory",
                   .usage = "[options] <allocation> <path>",
                   .description = "Lists a directory or prints a file below the allocation's directory.",
                   .flags = {{"stat", kBool, "What the path is, instead of what is in it."},
                             {"H", kBool, "Accepted for compatibility: sizes are always readable."},
                             job,
                             kGroup,
                             follow,
                             tail,
                             lines,
                             bytes,
                             kVerbose},
                   .args_max = 2,
                   .args_error = "This command takes one or two arguments: <allocation> <path>",
                   .run = alloc_fs});
    all.push_back({.name = "alloc exec",
                   .synopsis = "Execute commands in task",
                   .usage = "[options] <allocation> <command> [<args>...]",
                   .description = "Runs a command inside a running task, with this terminal as its own. The exit "
                                  "code is the command's; 1 when it could not be run or the connection was lost.",
                   .flags = {job,
                             kGroup,
                             kTask,
                             {"i", kBool, "Pass stdin on to the command. Default: true.", "true"},
                             {"t", kBool,
                              "Give the command a terminal. Default: when stdin and stdout are terminals."},
                             {"e", kText,
                              "The escape character of sessions with a terminal, or \"none\". At the beginning of a "
                              "line, followed by a dot, it closes the session. Default: ~.",
                              "~"},
                             kVerbose},
                   .args_max = -1,
                   .run = alloc_exec});
    all.push_back({.name = "alloc stop",
                   .synopsis = "Stop and reschedule a running allocation",
                   .usage = "[options] <allocation>",
                   .flags = {kDetach,
                             kVerbose,
                             {"no-shutdown-delay", kBool, "Ignore the shutdown_delay of group and tasks."}},
                   .args_min = 1,
                   .args_max = 1,
                   .args_error = kAllocArg,
                   .run = alloc_stop});
    all.push_back({.name = "alloc restart",
                   .synopsis = "Restart a running allocation",
                   .usage = "[options] <allocation> <task>",
                   .flags = {{"all-tasks", kBool, "All tasks, also those that have ended."}, kTask, kVerbose},
                   .args_min = 1,
                   .args_max = 2,
                   .args_error = "This command takes one or two arguments: <alloc-id> <task>",
                   .run = alloc_restart});
    all.push_back({.name = "alloc signal",
                   .synopsis = "Signal a running allocation",
                   .usage = "[options] <allocation> <task>",
                   .flags = {{"s", kText, "The signal. Default: SIGKILL.", "SIGKILL"}, kTask, kVerbose},
                   .args_min = 1,
                   .args_max = 2,
                   .args_error = "This command takes up to two arguments: <alloc-id> <task>",
                   .run = alloc_signal});
}

void add_cluster_verbs(std::vector<Command>& all) {
    all.push_back({.name = "eval list",
                   .synopsis = "List the set of evaluations tracked by the servers",
                   .usage = "[options]",
                   .flags = {kVerbose,
                             kJson,
                             kTemplate,
                             kUi,
                             kPerPage,
                             kPageToken,
                             kFilter,
                             {"job", kText, "Only those of this job."},
                             {"status", kText, "Only those with this status."}},
                   .run = eval_list});
    all.push_back({.name = "eval status",
                   .synopsis = "Display evaluation status and placement failure reasons",
                   .usage = "[options] <evaluation>",
                   .flags = {{"monitor", kBool, "Follow it until it is done."},
                             kVerbose,
                             kJson,
                             kTemplate,
                             kUi,
                             {"per-page", kInt, "See eval list."},
                             {"page-token", kText, "See eval list."},
                             {"filter", kText, "See eval list."},
                             {"job", kText, "See eval list."},
                             {"status", kText, "See eval list."}},
                   .args_max = 1,
                   .args_error = "This command takes one argument: <evaluation>",
                   .run = eval_status});
    all.push_back({.name = "deployment list",
                   .synopsis = "List all deployments",
                   .usage = "[options]",
                   .flags = {kVerbose, kJson, kTemplate, kFilter},
                   .run = deployment_list});
    all.push_back({.name = "deployment status",
                   .synopsis = "Display the status of a deployment",
                   .usage = "[options] <deployment id>",
                   .flags = {kVerbose,
                             kJson,
                             kTemplate,
                             kUi,
                             {"monitor", kBool, "Follow it until it is done."},
                             {"wait", kDuration, "Accepted for compatibility."},
                             {"filter", kText, "See deployment list."}},
                   .args_max = 1,
                   .args_error = "This command takes one argument: <deployment id>",
                   .run = deployment_status});
    all.push_back({.name = "server members",
                   .synopsis = "Display a list of known servers and their status",
                   .usage = "[options]",
                   .flags = {{"detailed", kBool, "As -verbose."}, kVerbose, kJson, kTemplate, kUi},
                   .run = server_members});
    all.push_back({.name = "namespace list",
                   .synopsis = "List namespaces",
                   .usage = "[options]",
                   .flags = {kJson, kTemplate},
                   .run = namespace_list});
    all.push_back(
        {.name = "plugin status",
         .synopsis = "Display the driver and device plugins of an agent",
         .usage = "[options] <name>",
         .description =
             "Shows the plugins of the agent that is asked: their state since when, how often each was "
             "started, and what is wrong with it. With a name all about that one.",
         .flags = {{"type", kText, "driver or device; csi for Container Storage Interface plugins."},
                   {"short", kBool, "The table, also for one plugin."},
                   kVerbose,
                   kJson,
                   kTemplate},
         .args_max = 1,
         .args_error = "This command takes either no arguments or one: <name>",
         .run = plugin_status});
    all.push_back(
        {.name = "plugin restart",
         .synopsis = "Replace a plugin's process by a new one",
         .usage = "[options] <name>",
         .description =
             "Shuts the plugin down and launches its file as it is now: after an upgrade, or when it had "
             "failed. Its tasks go on and are taken over by the new process. When that one does not come "
             "up, the reason is shown and the tasks are left as they are.",
         .args_min = 1,
         .args_max = 1,
         .args_error = "This command takes one argument: <name>",
         .run = plugin_restart});
    all.push_back(
        {.name = "plugin check",
         .synopsis = "Check that a plugin keeps the rules of the plugin protocol",
         .usage = "[options] <binary>",
         .description = "Starts the driver or device plugin, in any language, as an agent would, and tries each rule: "
                        "handshake, schemas, configuration errors, fingerprint, the life of a task, recovery after "
                        "kill -9, leaks over 200 tasks. Prints a line for each check, and exits with 1 when one has "
                        "failed. No agent is needed; what the plugin has started is cleaned up.",
         .general = General::None,
         .flags = {{"config", kText,
                    "An HCL file: plugin { } with the plugin's config; task \"running\" and task \"ending\" with "
                    "config { } for a task that runs until it is stopped and one that ends by itself (exit_code, "
                    "stdout, user); exec { } with a command to run in the running task. drover's own drivers of "
                    "processes need none."},
                   {"run", kText, "Only the checks whose name contains this."},
                   {"json", kBool, "Print the report as JSON."}},
         .args_min = 1,
         .args_max = 1,
         .args_error = "This command takes one argument: <binary>",
         .run = plugin_check});
    all.push_back(
        {.name = "plugin new",
         .synopsis = "Write the project of a new plugin",
         .usage = "<driver|device> <name>",
         .description = "Makes the directory drover-<kind>-<name> with a CMake project, its source, a test (drover "
                        "plugin check) and an example job. It builds against the installed SDK as it is.",
         .general = General::None,
         .args_min = 2,
         .args_max = 2,
         .args_error = "This command takes two arguments: <driver|device> <name>",
         .run = plugin_new});
    all.push_back(
        {.name = "system gc", .synopsis = "Run the system garbage collection process", .run = system_gc});
    all.push_back({.name = "system reconcile summaries",
                   .synopsis = "Reconciles the summaries of all registered jobs",
                   .run = system_reconcile});
    all.push_back({.name = "operator api",
                   .synopsis = "Query the HTTP API",
                   .usage = "[options] <path> [<body>]",
                   .flags = {{"X", kText, "The method. Default: GET, or PUT with a body."},
                             {"H", FlagKind::List, "A header: \"name: value\"."},
                             {"dryrun", kBool, "Print the request as a curl command instead."},
                             {"verbose", kBool, "Print the status too."},
                             kFilter},
                   .args_min = 1,
                   .args_max = 2,
                   .args_error = "This command takes one or two arguments: <path> [<body>]",
                   .run = operator_api});
    all.push_back({.name = "operator metrics",
                   .synopsis = "Retrieve metrics of an agent",
                   .usage = "[options]",
                   .flags = {{"pretty", kBool, "Indented."},
                             {"format", kText, "json or prometheus."},
                             kJson,
                             kTemplate},
                   .run = operator_metrics});
    all.push_back({.name = "operator scheduler get-config",
                   .synopsis = "Display the current scheduler configuration",
                   .usage = "[options]",
                   .flags = {kJson, kTemplate},
                   .run = operator_scheduler_get});
    all.push_back(
        {.name = "operator scheduler set-config",
         .synopsis = "Modify the current scheduler configuration",
         .usage = "[options]",
         .flags = {{"check-index", kInt, "Only when the configuration's modify index is this one."},
                   {"scheduler-algorithm", kText, "binpack or spread."},
                   {"memory-oversubscription", kBool, "Whether tasks may use more memory than they reserve."},
                   {"reject-job-registration", kBool, "Refuse new jobs."},
                   {"pause-eval-broker", kBool, "Stop scheduling."},
                   {"preempt-batch-scheduler", kBool, "Batch jobs may preempt."},
                   {"preempt-service-scheduler", kBool, "Service jobs may preempt."},
                   {"preempt-sysbatch-scheduler", kBool, "Sysbatch jobs may preempt."},
                   {"preempt-system-scheduler", kBool, "System jobs may preempt."},
                   {"node-limit-for-feasibility-checks", kInt, "0: no limit."}},
         .run = operator_scheduler_set});
}

void add_node_verbs(std::vector<Command>& all) {
    constexpr std::string_view kNodeArg = "This command takes one argument: <node>";
    all.push_back({.name = "node status",
                   .synopsis = "Display status information about nodes",
                   .usage = "[options] <node>",
                   .flags = {kSelf,
                             {"short", kBool, "Only the basic facts and the allocations."},
                             {"os", kBool, "Also the operating system."},
                             {"quiet", kBool, "Only the ids."},
                             {"stats", kBool, "Detailed use of the host's resources."},
                             {"allocs", kBool, "Also the number of running allocations."},
                             kVerbose,
                             kJson,
                             kTemplate,
                             kFilter,
                             kPerPage,
                             kPageToken,
                             kUi},
                   .args_max = 1,
                   .args_error = "This command takes either no arguments or one: <node>",
                   .run = node_status});
    all.push_back({.name = "node drain",
                   .synopsis = "Toggle drain mode on a given node",
                   .usage = "[options] <node>",
                   .flags = {{"enable", kBool, "Move the allocations away and place none."},
                             {"disable", kBool, "End it."},
                             {"monitor", kBool, "Only follow."},
                             kSelf,
                             kYes,
                             {"deadline", kDuration, "When what is left is stopped. Default: 1h.", "1h"},
                             {"force", kBool, "Stop everything now."},
                             {"no-deadline", kBool, "Wait for ever."},
                             {"ignore-system", kBool, "Leave system jobs running."},
                             {"keep-ineligible", kBool, "With -disable: still place nothing."},
                             {"detach", kBool, "Do not follow."},
                             {"m", kText, "A message that is kept with the drain."},
                             {"meta", FlagKind::Map, "key=value that is kept with the drain."},
                             kVerbose},
                   .args_max = 1,
                   .args_error = kNodeArg,
                   .run = node_drain});
    all.push_back(
        {.name = "node eligibility",
         .synopsis = "Toggle scheduling eligibility for a given node",
         .usage = "[options] <node>",
         .flags = {{"enable", kBool, "Allocations may be placed."}, {"disable", kBool, "None may."}, kSelf},
         .args_max = 1,
         .args_error = kNodeArg,
         .run = node_eligibility});
    all.push_back({.name = "node pool list",
                   .synopsis = "List node pools",
                   .usage = "[options]",
                   .flags = {kJson, kTemplate},
                   .run = node_pool_list});
}

void add_aliases(std::vector<Command>& all) {
    constexpr std::pair<std::string_view, std::string_view> kAliases[] = {
        {"run", "job run"},
        {"stop", "job stop"},
        {"plan", "job plan"},
        {"validate", "job validate"},
        {"init", "job init"},
        {"inspect", "job inspect"},
        {"logs", "alloc logs"},
        {"fs", "alloc fs"},
        {"exec", "alloc exec"},
        {"alloc-status", "alloc status"},
        {"eval-status", "eval status"},
        {"node-status", "node status"},
        {"node-drain", "node drain"},
        {"server-members", "server members"}};
    for (const auto& [name, of] : kAliases) all.push_back(alias(name, of));
}

}  // namespace

const std::vector<Command>& commands() {
    static const auto* table = [] {
        auto* all = new std::vector<Command>;
        add_groups(*all);
        add_agent(*all);
        add_job_file_verbs(*all);
        add_job_verbs(*all);
        add_alloc_verbs(*all);
        add_node_verbs(*all);
        add_cluster_verbs(*all);
        add_aliases(*all);
        return all;
    }();
    return *table;
}

}  // namespace drover::cli
