// SPDX-License-Identifier: Apache-2.0
// Goal: what the scheduler decides, as text. Method: each file of tests/golden/scheduler is a story, told
// command by command on one state; tests/support/golden.h has the format.
#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/strings.h"
#include "model/status.h"
#include "server-lite/broker/plan_check.h"
#include "server-lite/fsm/apply.h"
#include "server-lite/scheduler/feasible.h"
#include "server-lite/scheduler/scheduler.h"
#include "tests/support/golden.h"

namespace drover::server {
namespace {

using Args = std::map<std::string, std::string>;

// A cluster of one thread: state, and a clock that only the story moves.
class Story {
 public:
    std::string run(const std::string& verb, const std::vector<std::string>& words) {
        Args args;
        const std::string name = words.empty() ? "" : words[0];
        for (size_t i = 1; i < words.size(); ++i) {
            const auto eq = words[i].find('=');
            args[words[i].substr(0, eq)] = eq == std::string::npos ? "" : words[i].substr(eq + 1);
        }
        const std::string out = act(verb, name, args);
        return out.empty() ? "ok\n" : out;
    }

 private:
    std::string act(const std::string& verb, const std::string& name, Args& args) {
        if (verb == "node") return node(name, args);
        if (verb == "job") return job(name, args);
        if (verb == "stop") return stop(name);
        if (verb == "client") return client(name, args);
        if (verb == "eval") return eval(name, args.contains("trigger") ? args["trigger"] : "job-register");
        if (verb == "unblock") return unblock(name);
        if (verb == "migrate") return migrate(name);
        if (verb == "wait") return now_ += *parse_duration(name), "";
        if (verb == "allocs") return allocs(name);
        return "unknown command " + verb + "\n";
    }

    uint64_t apply(cmd::Command command) {
        command.set_time(now_);
        Effects effects;
        auto status = apply_command(state_, state_.index + 1, command, effects);
        EXPECT_TRUE(status) << status.error().message();
        return state_.index;
    }
    std::string id(const char* kind) { return fmt::format("{}-{}", kind, ++ids_); }

    std::string node(const std::string& name, Args args) {
        cmd::Command command;
        auto& n = *command.mutable_node_upsert()->mutable_node();
        if (auto old = state_.node(name)) n = *old;
        n.set_id(name);
        n.set_name(name);
        if (n.datacenter().empty() || args.contains("dc"))
            n.set_datacenter(args.contains("dc") ? args["dc"] : "dc1");
        n.set_node_pool("default");
        n.set_status(args.contains("status") ? args["status"] : "ready");
        n.set_scheduling_eligibility("eligible");
        auto& r = *n.mutable_node_resources();
        if (args.contains("cpu") || r.cpu().cpu_shares() == 0)
            r.mutable_cpu()->set_cpu_shares(number(args, "cpu", 1000));
        if (args.contains("mem") || r.memory().memory_mb() == 0)
            r.mutable_memory()->set_memory_mb(number(args, "mem", 1000));
        r.mutable_disk()->set_disk_mb(100'000);
        r.mutable_cpu()->set_total_cpu_cores(2);
        r.mutable_cpu()->clear_reservable_cpu_cores();
        r.mutable_cpu()->add_reservable_cpu_cores(0);
        r.mutable_cpu()->add_reservable_cpu_cores(1);
        if (r.node_networks().empty()) {
            auto& network = *r.add_node_networks();
            network.set_mode("host");
            auto& address = *network.add_addresses();
            address.set_alias("default");
            address.set_address("192.0.2.1");
        }
        if (args.contains("class")) n.set_node_class(args["class"]);
        if (args.contains("reserved"))
            n.mutable_reserved_resources()->mutable_networks()->set_reserved_host_ports(args["reserved"]);
        for (const auto& [key, value] : args)
            if (key.starts_with("meta.")) (*n.mutable_meta())[key.substr(5)] = value;
        auto& driver = (*n.mutable_drivers())["mock"];
        driver.set_detected(true);
        driver.set_healthy(!args.contains("sick"));
        n.set_computed_class(computed_class(n));
        apply(std::move(command));
        return "";
    }

    static int64_t number(Args& args, const std::string& key, int64_t otherwise) {
        return args.contains(key) ? *parse_int(args[key]) : otherwise;
    }

    std::string job(const std::string& name, Args args) {
        cmd::Command command;
        auto& upsert = *command.mutable_job_upsert();
        upsert.set_versions_kept(6);
        auto& j = *upsert.mutable_job();
        j.set_id(name);
        j.set_name(name);
        j.set_namespace_("default");
        j.set_node_pool("default");
        j.set_type(args.contains("type") ? args["type"] : "service");
        j.set_priority(number(args, "priority", 50));
        j.add_datacenters(args.contains("dc") ? args["dc"] : "*");
        auto& g = *j.add_task_groups();
        g.set_name("g");
        g.set_count(number(args, "count", 1));
        g.mutable_ephemeral_disk()->set_size_mb(100);
        auto& t = *g.add_tasks();
        t.set_name("t");
        t.set_driver(args.contains("driver") ? args["driver"] : "mock");
        t.mutable_resources()->set_cpu(number(args, "cpu", 100));
        t.mutable_resources()->set_memory_mb(number(args, "mem", 100));
        if (args.contains("cores")) t.mutable_resources()->set_cores(number(args, "cores", 1));
        if (args.contains("env")) (*t.mutable_env())["V"] = args["env"];
        if (args.contains("constraint")) fill(*g.add_constraints(), args["constraint"]);
        if (args.contains("distinct_hosts")) fill(*j.add_constraints(), "|distinct_hosts|true");
        if (args.contains("distinct_property"))
            fill(*j.add_constraints(), args["distinct_property"] + "|distinct_property|1");
        if (args.contains("affinity")) {
            fill(*g.add_affinities(), args["affinity"]);
            g.mutable_affinities(0)->set_weight(static_cast<int32_t>(number(args, "weight", 50)));
        }
        if (args.contains("spread")) g.add_spreads()->set_attribute(args["spread"]);
        if (args.contains("static") || args.contains("dynamic")) {
            auto& network = *g.add_networks();
            if (args.contains("static")) {
                auto& port = *network.add_reserved_ports();
                port.set_label("s");
                port.set_value(number(args, "static", 0));
            }
            if (args.contains("dynamic")) {
                auto& port = *network.add_dynamic_ports();
                port.set_label("d");
                port.set_to(-1);
            }
        }
        if (args.contains("max_parallel")) {
            g.mutable_update()->set_max_parallel(number(args, "max_parallel", 1));
            g.mutable_update()->set_progress_deadline(10 * kMinute);
        }
        if (args.contains("attempts") || args.contains("unlimited")) {
            auto& policy = *g.mutable_reschedule_policy();
            policy.set_attempts(number(args, "attempts", 0));
            policy.set_unlimited(args.contains("unlimited"));
            policy.set_interval(kHour);
            policy.set_delay(30 * kSecond);
            policy.set_delay_function("constant");
        }
        apply(std::move(command));
        return fmt::format("version {}\n", state_.job("default", name)->version());
    }

    template <class T>
    static void fill(T& constraint, const std::string& text) {
        const auto parts = split(text, '|');
        constraint.set_l_target(parts[0]);
        constraint.set_operand(parts[1]);
        constraint.set_r_target(parts.size() > 2 ? parts[2] : "");
    }

    std::string stop(const std::string& name) {
        cmd::Command command;
        command.mutable_job_deregister()->set_namespace_("default");
        command.mutable_job_deregister()->set_job_id(name);
        apply(std::move(command));
        return "";
    }

    std::vector<AllocPtr> named(const std::string& name) {
        std::vector<AllocPtr> out;
        for (const auto& record : state_.job_allocs("default", name.substr(0, name.find('.'))))
            if (record->alloc->name() == name && !model::client_terminal(*record->alloc))
                out.push_back(record);
        return out;
    }

    std::string client(const std::string& name, Args args) {
        cmd::Command command;
        for (const auto& record : named(name)) {
            auto& update = *command.mutable_alloc_client_update()->add_allocs();
            update.set_id(record->alloc->id());
            const std::string status =
                args.contains("healthy") || args.contains("unhealthy") ? "running" : args.begin()->first;
            update.set_client_status(status);
            if (args.contains("healthy") || args.contains("unhealthy")) {
                update.mutable_deployment_status()->set_healthy(args.contains("healthy"));
                update.mutable_deployment_status()->set_timestamp(now_);
            }
            (*update.mutable_task_states())["t"].set_finished_at(status == "running" ? 0 : now_);
        }
        if (command.alloc_client_update().allocs().empty()) return "no such allocation\n";
        apply(std::move(command));
        return "";
    }

    std::string migrate(const std::string& name) {
        cmd::Command command;
        for (const auto& record : named(name))
            (*command.mutable_alloc_transition()->mutable_transitions())[record->alloc->id()].set_migrate(
                true);
        apply(std::move(command));
        return "";
    }

    std::string eval(const std::string& name, const std::string& trigger) {
        const auto job = state_.job("default", name);
        cmd::Command command;
        auto& e = *command.mutable_eval_upsert()->add_evals();
        e.set_id(id("eval"));
        e.set_namespace_("default");
        e.set_job_id(name);
        e.set_type(job ? job->type() : "service");
        e.set_priority(50);
        e.set_status("pending");
        e.set_triggered_by(trigger);
        const std::string eval_id = e.id();
        apply(std::move(command));
        return process(eval_id);
    }

    std::string unblock(const std::string& name) {
        for (const auto& eval : state_.job_evals("default", name))
            if (eval->status() == "blocked") return process(eval->id());
        return "nothing is blocked\n";
    }

    std::string process(const std::string& eval_id) {
        auto snapshot = std::make_shared<const State>(state_);
        auto decision = schedule({snapshot, snapshot->eval(eval_id), now_, 42 + state_.index});
        auto checked = check_plan(state_, decision.plan);
        std::string out;
        for (const auto& [node, reason] : checked.refused)
            out += fmt::format("refused {}: {}\n", node, reason);
        out += describe(decision);
        cmd::Command command;
        *command.mutable_plan() = checked.accepted;
        apply(std::move(command));
        return out;
    }

    std::string describe(const Decision& decision) {
        std::vector<std::string> lines;
        for (const auto& a : decision.plan.placements()) {
            std::string line = fmt::format("place {} on {}", a.name(), a.node_id());
            if (!a.metrics().score_meta_data().empty())
                for (const auto& score : a.metrics().score_meta_data())
                    if (score.node_id() == a.node_id())
                        line += fmt::format(" score {:.3f}", score.norm_score());
            if (!a.previous_allocation().empty()) line += " instead of the one before";
            for (const auto& port : a.allocated_resources().shared().ports())
                line += port.label() == "s"
                            ? fmt::format(" {}={}:{}", port.label(), port.host_ip(), port.value())
                            : fmt::format(" {} in range, to it: {}", port.label(),
                                          port.to() == port.value() && port.value() >= 20000 &&
                                              port.value() <= 32000);
            for (const auto& [task, given] : a.allocated_resources().tasks())
                for (auto core : given.cpu().reserved_cores()) line += fmt::format(" core {}", core);
            lines.push_back(line);
        }
        for (const auto& s : decision.plan.stops())
            lines.push_back(fmt::format("stop {} {}({})", state_.alloc(s.alloc_id())->alloc->name(),
                                        s.client_status().empty() ? "" : s.client_status() + " ",
                                        s.description()));
        for (const auto& a : decision.plan.updates()) lines.push_back(fmt::format("in place {}", a.name()));
        std::sort(lines.begin(), lines.end());
        for (const auto& e : decision.plan.evals())
            lines.push_back(
                fmt::format("later: {} in {}", e.triggered_by(), format_duration(e.wait_until() - now_)));
        for (const auto& [name, m] : decision.eval.failed_tg_allocs()) {
            std::string line = fmt::format("no room for {}: {} evaluated", name, m.nodes_evaluated());
            for (const auto& [why, count] : std::map<std::string, int64_t>(m.constraint_filtered().begin(),
                                                                           m.constraint_filtered().end()))
                line += fmt::format(", filtered {} ({})", count, why);
            for (const auto& [why, count] : std::map<std::string, int64_t>(m.dimension_exhausted().begin(),
                                                                           m.dimension_exhausted().end()))
                line += fmt::format(", exhausted {} ({})", count, why);
            line += fmt::format(", {} more", m.coalesced_failures());
            lines.push_back(line);
        }
        if (decision.plan.has_deployment())
            for (const auto& [name, group] : decision.plan.deployment().task_groups())
                lines.push_back(fmt::format("deployment of version {}: {} of {}",
                                            decision.plan.deployment().job_version(), name,
                                            group.desired_total()));
        for (const auto& update : decision.plan.deployment_updates())
            lines.push_back(fmt::format("deployment {}: {}", update.status(), update.description()));
        lines.push_back(fmt::format("eval {}{}", decision.eval.status(),
                                    decision.blocked ? ", a blocked one waits" : ""));
        return join(lines, "\n") + "\n";
    }

    std::string allocs(const std::string& name) {
        std::vector<std::string> lines;
        for (const auto& record : state_.job_allocs("default", name))
            lines.push_back(fmt::format("{} v{} on {}: {}, {}", record->alloc->name(), record->job->version(),
                                        record->alloc->node_id(), record->alloc->desired_status(),
                                        record->alloc->client_status()));
        std::sort(lines.begin(), lines.end());
        const auto job = state_.job("default", name);
        lines.push_back(fmt::format("job {}", job ? job->status() : "gone"));
        return join(lines, "\n") + "\n";
    }

    State state_;
    int64_t now_ = 1000 * kHour;
    int ids_ = 0;
};

TEST(SchedulerGolden, StoriesReadAsWritten) {
    std::string file;
    std::unique_ptr<Story> story;
    testing::run_golden_files("tests/golden/scheduler", [&](const testing::GoldenCase& golden) {
        if (auto of = golden.place.substr(0, golden.place.rfind(':'));
            of != file) {  // each file begins with nothing
            file = of;
            story = std::make_unique<Story>();
        }
        return story->run(golden.command, golden.arguments);
    });
}

}  // namespace
}  // namespace drover::server
