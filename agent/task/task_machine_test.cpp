// SPDX-License-Identifier: Apache-2.0
// Goal: every path of the task's life, with the actions in their order, also when the agent is replaced at
// each step. Method: a text form of the actions; "restart" loads the last persisted record into a new
// machine.
#include "agent/task/task_machine.h"

#include <gtest/gtest.h>

#include "agent/task/events.h"
#include "base/clock.h"

namespace drover::agent {
namespace {

using namespace task_event;

std::string text_of(const TaskAction& action) {
    struct Visitor {
        std::string operator()(const task_action::Persist& a) {
            return "persist " + client::TaskPhase_Name(a.record->phase());
        }
        std::string operator()(const task_action::Report&) { return "report"; }
        std::string operator()(const task_action::RunSetup&) { return "setup"; }
        std::string operator()(const task_action::StartTask&) { return "start"; }
        std::string operator()(const task_action::RecoverTask&) { return "recover"; }
        std::string operator()(const task_action::WaitTask&) { return "wait"; }
        std::string operator()(const task_action::StopTask& a) {
            return fmt::format("stop {} {}", a.signal, format_duration(a.timeout_ns));
        }
        std::string operator()(const task_action::Destroy&) { return "destroy"; }
        std::string operator()(const task_action::AwaitDriver&) { return "await-driver"; }
        std::string operator()(const task_action::ArmTimer& a) {
            return "timer " + format_duration(a.delay_ns);
        }
        std::string operator()(const task_action::SendSignal& a) { return "signal " + a.signal; }
    };
    return std::visit(Visitor{}, action);
}

class Life {
 public:
    explicit Life(bool service = true) {
        TaskSpec spec;
        spec.alloc_id = "a1";
        spec.name = "web";
        spec.kill_signal = "SIGINT";
        spec.restart = {2, 30 * kMinute, 15 * kSecond, RestartMode::Fail, service};
        machine = std::make_unique<TaskMachine>(TaskMachine::fresh(spec, tick()));
    }

    std::string step(const TaskInput& input) {
        now += kSecond;
        std::string text;
        for (const auto& action : machine->step(input, tick())) {
            if (const auto* p = std::get_if<task_action::Persist>(&action)) stored = *p->record;
            if (!text.empty()) text += ", ";
            text += text_of(action);
        }
        return text;
    }

    // The agent is killed and a new one loads what was stored last.
    std::string restart() {
        machine = std::make_unique<TaskMachine>(TaskMachine::loaded(machine->spec(), stored));
        return step(Restarted{});
    }

    void run() {
        step(GateOpened{});
        step(SetupDone{});
        step(Started{});
    }

    std::vector<std::string> messages() const {
        std::vector<std::string> out;
        for (const auto& e : machine->record().state().events()) out.push_back(e.display_message());
        return out;
    }
    std::string last() const { return messages().back(); }
    const client::TaskRecord& record() const { return machine->record(); }
    TaskMachine::Tick tick() const { return {now, 0xabcdef01u}; }

    std::unique_ptr<TaskMachine> machine;
    client::TaskRecord stored;
    int64_t now = 100 * kSecond;
};

Exited exited(int code) {
    Exited e;
    e.exit.set_exit_code(code);
    return e;
}

TEST(TaskMachine, StoresTheIntentBeforeTheStartAndTheHandleAfterIt) {
    Life life;
    EXPECT_EQ(life.step(GateOpened{}), "setup");
    EXPECT_EQ(life.step(SetupDone{}), "persist STARTING, start");
    EXPECT_EQ(life.stored.task_id(), "a1/web/abcdef01");
    EXPECT_EQ(life.step(Started{}), "report, wait, persist RUNNING");
    EXPECT_EQ(life.record().state().state(), "running");
    EXPECT_EQ(life.messages(), (std::vector<std::string>{"Task received by client", "Building Task Directory",
                                                         "Task started by client"}));
}

TEST(TaskMachine, ServiceRestartsAfterAnExitWithinThePolicyAndThenFails) {
    Life life;
    life.run();
    for (int i = 0; i < 2; ++i) {
        EXPECT_EQ(life.step(exited(1)), "persist EXITED, report, destroy");
        EXPECT_EQ(life.last(), "Exit Code: 1");
        EXPECT_EQ(life.step(Destroyed{}), "persist DELAY, timer 15s, report");
        EXPECT_EQ(life.last(), "Task restarting in 15s");
        EXPECT_EQ(life.record().state().state(), "pending");
        EXPECT_EQ(life.step(TimerFired{}), "setup, persist SETUP");
        EXPECT_EQ(life.step(SetupDone{}), "persist STARTING, start");
        life.step(Started{});
    }
    life.step(exited(1));
    EXPECT_EQ(life.step(Destroyed{}), "persist DEAD, report");
    EXPECT_TRUE(life.machine->failed());
    EXPECT_EQ(life.record().state().restarts(), 2u);
    EXPECT_EQ(life.last(), "Exceeded allowed attempts 2 in interval 30m0s and mode is \"fail\"");
}

TEST(TaskMachine, BatchIsDoneAfterSuccess) {
    Life life(false);
    life.run();
    life.step(exited(0));
    EXPECT_EQ(life.step(Destroyed{}), "persist DEAD, report");
    EXPECT_FALSE(life.machine->failed());
    EXPECT_EQ(life.last(), "Exit Code: 0");
    EXPECT_NE(life.record().state().finished_at(), 0);
}

TEST(TaskMachine, KillStopsThenDestroysAndIsNotAFailure) {
    Life life;
    life.run();
    EXPECT_EQ(life.step(Kill{}), "persist STOPPING, report, stop SIGINT 5s");
    EXPECT_EQ(life.last(), "Sent interrupt. Waiting 5s before force killing");
    EXPECT_EQ(life.step(exited(130)), "persist EXITED, report, destroy");
    EXPECT_EQ(life.step(Destroyed{}), "persist DEAD, report");
    EXPECT_EQ(life.last(), "Task successfully killed");
    EXPECT_FALSE(life.machine->failed());
}

TEST(TaskMachine, KillDuringTheStartEndsItAsSoonAsItRuns) {
    Life life;
    life.step(GateOpened{});
    life.step(SetupDone{});
    EXPECT_EQ(life.step(Kill{}), "persist STARTING, report");
    EXPECT_EQ(life.step(Started{}),
              "report, wait, persist RUNNING, persist STOPPING, report, stop SIGINT 5s");
}

TEST(TaskMachine, KillBeforeTheStartNeverStarts) {
    Life life;
    EXPECT_EQ(life.step(Kill{}), "persist DEAD, report");
    EXPECT_EQ(life.step(GateOpened{}), "");
    Life in_setup;
    in_setup.step(GateOpened{});
    in_setup.step(Kill{});
    EXPECT_EQ(in_setup.step(SetupDone{}), "persist DEAD, report");
}

TEST(TaskMachine, ShutdownDelayIsWaitedForOnce) {
    Life life;
    auto spec = life.machine->spec();
    spec.shutdown_delay_ns = 3 * kSecond;
    life.machine->set_spec(spec);
    life.run();
    EXPECT_EQ(life.step(Kill{}), "persist STOPPING, report, timer 3s");
    EXPECT_EQ(life.last(), "Waiting for shutdown_delay of 3s before killing the task.");
    EXPECT_EQ(life.step(TimerFired{}), "stop SIGINT 5s");
}

TEST(TaskMachine, AFailingStopIsRepeatedAndThenForced) {
    Life life;
    life.run();
    life.step(Kill{});
    EXPECT_EQ(life.step(StopFailed{"busy"}), "timer 5s");
    EXPECT_EQ(life.step(TimerFired{}), "stop SIGINT 5s");
    EXPECT_EQ(life.step(StopFailed{"busy"}), "timer 20s");
    EXPECT_EQ(life.step(StopFailed{"busy"}), "timer 1m20s");
    EXPECT_EQ(life.step(StopFailed{"busy"}), "timer 2m0s");
    EXPECT_EQ(life.step(StopFailed{"busy"}), "persist EXITED, report, destroy");
    EXPECT_EQ(life.step(Destroyed{}), "persist DEAD, report");
    EXPECT_EQ(life.last(), "failed to stop task: busy");
}

TEST(TaskMachine, AStartThatFailsForGoodFailsTheTask) {
    Life life;
    life.step(GateOpened{});
    life.step(SetupDone{});
    EXPECT_EQ(life.step(StartFailed{"no such command", Retry::No}), "persist EXITED, report, destroy");
    EXPECT_EQ(life.step(Destroyed{}), "persist DEAD, report");
    EXPECT_EQ(life.last(), "Error was unrecoverable");
    EXPECT_TRUE(life.machine->failed());
}

TEST(TaskMachine, ARecoverableStartFailureIsTriedAgainAlsoForBatch) {
    Life life(false);
    life.step(GateOpened{});
    life.step(SetupDone{});
    life.step(StartFailed{"registry is down", Retry::Yes});
    EXPECT_EQ(life.step(Destroyed{}), "persist DELAY, timer 15s, report");
}

TEST(TaskMachine, RestartOfTheAgentWhileRunningOnlyRecovers) {
    Life life;
    life.run();
    EXPECT_EQ(life.restart(), "recover, report");
    EXPECT_EQ(life.step(Recovered{}), "wait, report");
    EXPECT_EQ(life.record().state().events_size(), 3);
    EXPECT_EQ(life.record().state().restarts(), 0u);
}

TEST(TaskMachine, RestartBetweenIntentAndHandleFindsTheTaskByItsId) {
    Life life;
    life.step(GateOpened{});
    life.step(SetupDone{});
    EXPECT_EQ(life.restart(), "recover, report");
    EXPECT_EQ(life.step(Recovered{}), "persist RUNNING, wait, report");
    EXPECT_EQ(life.stored.task_id(), "a1/web/abcdef01");
    EXPECT_EQ(life.last(), "Task started by client");
}

TEST(TaskMachine, RestartBetweenIntentAndStartTaskDestroysAndStartsWithoutARestartEvent) {
    Life life;
    life.step(GateOpened{});
    life.step(SetupDone{});
    life.restart();
    EXPECT_EQ(life.step(RecoverFailed{"unknown"}), "persist EXITED, report, destroy");
    EXPECT_EQ(life.step(Destroyed{}), "setup, persist SETUP, report");
    EXPECT_EQ(life.record().state().restarts(), 0u);
    EXPECT_EQ(life.step(SetupDone{}), "persist STARTING, start");
}

TEST(TaskMachine, RestartAfterTheExitCleansUpAgainAndDecides) {
    Life life(false);
    life.run();
    life.step(exited(3));
    EXPECT_EQ(life.restart(), "destroy, report");
    EXPECT_EQ(life.step(Destroyed{}), "persist DELAY, timer 15s, report");
}

TEST(TaskMachine, RestartInTheDelayWaitsForTheRest) {
    Life life;
    life.run();
    life.step(exited(1));
    life.step(Destroyed{});
    life.now += 4 * kSecond;
    EXPECT_EQ(life.restart(), "timer 10s, report");
}

TEST(TaskMachine, RestartInTheStopStopsAgain) {
    Life life;
    life.run();
    life.step(Kill{});
    EXPECT_EQ(life.restart(), "recover, report");
    EXPECT_EQ(life.step(Recovered{}), "wait, report, stop SIGINT 5s");
}

TEST(TaskMachine, LossOfThePluginIsInvisible) {
    Life life;
    life.run();
    const auto events = life.record().state().events_size();
    EXPECT_EQ(life.step(DriverLost{}), "await-driver");
    EXPECT_EQ(life.step(DriverLost{}), "");
    EXPECT_EQ(life.step(DriverReady{}), "recover");
    EXPECT_EQ(life.step(DriverLost{}), "await-driver");
    EXPECT_EQ(life.step(DriverReady{}), "recover");
    EXPECT_EQ(life.step(Recovered{}), "wait, report");
    EXPECT_EQ(life.record().state().events_size(), events);
}

TEST(TaskMachine, AnotherExecutableThatCannotTakeItOverLeavesItAlone) {
    Life life;
    life.run();
    life.step(DriverLost{});
    life.step(DriverReady{});
    EXPECT_EQ(life.step(RecoverRefused{"handle version 2"}), "persist RUNNING, await-driver, report");
    EXPECT_EQ(life.record().state().state(), "running");
    EXPECT_NE(life.last().find("left as it is: handle version 2"), std::string::npos) << life.last();
    EXPECT_EQ(life.step(DriverLost{}), "");
    EXPECT_EQ(life.step(DriverReady{}), "recover");
    EXPECT_EQ(life.step(Recovered{"build-3"}), "persist RUNNING, wait, report");
    EXPECT_EQ(life.record().handle().plugin_build(), "build-3");
    life.step(DriverLost{});
    life.step(DriverReady{});
    EXPECT_EQ(life.step(Recovered{"build-3"}), "wait, report");
}

TEST(TaskMachine, WhatWasLeftAloneIsEndedByForceWhenAsked) {
    for (const bool kill : {true, false}) {
        Life life;
        life.run();
        life.step(DriverLost{});
        life.step(DriverReady{});
        life.step(RecoverRefused{"x"});
        EXPECT_EQ(kill ? life.step(Kill{}) : life.step(Restart{}), "persist EXITED, report, destroy");
        EXPECT_EQ(life.step(Destroyed{}), kill ? "persist DEAD, report" : "setup, persist SETUP, report");
    }
    Life life;  // asked before it was refused
    life.run();
    life.step(DriverLost{});
    life.step(Kill{});
    life.step(DriverReady{});
    EXPECT_EQ(life.step(RecoverRefused{"x"}), "persist EXITED, report, destroy");
    life.step(Destroyed{});
    EXPECT_TRUE(life.machine->dead());
}

TEST(TaskMachine, AKillDuringTheLossIsDoneAfterIt) {
    Life life;
    life.run();
    life.step(DriverLost{});
    EXPECT_EQ(life.step(Kill{}), "persist RUNNING, report");
    life.step(DriverReady{});
    EXPECT_EQ(life.step(Recovered{}), "wait, report, persist STOPPING, report, stop SIGINT 5s");
}

TEST(TaskMachine, APluginThatDiesDuringTheStartIsAskedByTheId) {
    Life life;
    life.step(GateOpened{});
    life.step(SetupDone{});
    EXPECT_EQ(life.step(StartUnknown{}), "recover");
    EXPECT_EQ(life.step(Recovered{}), "persist RUNNING, wait, report");
}

TEST(TaskMachine, WhatNobodyKnowsAfterARebootWaitsForAServerThenFollowsThePolicy) {
    Life life;
    life.run();
    life.restart();
    EXPECT_EQ(life.step(RecoverFailed{"no such task"}), "persist EXITED, report, destroy");
    EXPECT_EQ(life.record().state().state(), "pending");
    EXPECT_EQ(life.last(), "failed to restore task; will not run until server is contacted: no such task");
    EXPECT_EQ(life.step(Destroyed{}), "persist LOST, report");
    EXPECT_EQ(life.restart(), "report");
    EXPECT_EQ(life.step(ServerContact{}), "persist DELAY, timer 15s, report");
    EXPECT_EQ(life.record().state().restarts(), 1u);
}

TEST(TaskMachine, AnOperatorsRestartIsImmediateAndCountsNotAsAFailure) {
    Life life;
    life.run();
    EXPECT_EQ(life.step(Restart{"User requested running tasks to restart", false}),
              "persist STOPPING, report, stop SIGINT 5s");
    life.step(exited(130));
    EXPECT_EQ(life.step(Destroyed{}), "setup, persist SETUP, report");
    EXPECT_EQ(life.last(), "Task restarting in 0s");
    EXPECT_EQ(life.record().window_count(), 0);
}

TEST(TaskMachine, ADeadTaskRestartsOnlyWhenAllTasksAreMeant) {
    Life life(false);
    life.run();
    life.step(exited(0));
    life.step(Destroyed{});
    EXPECT_EQ(life.step(Restart{"x", false}), "");
    EXPECT_EQ(life.step(Restart{"x", true}), "setup, persist SETUP, report");
}

TEST(TaskMachine, KeepsTenEventsAndTheNewest) {
    Life life;
    life.run();
    for (int i = 0; i < 20; ++i) life.step(Note{events::driver_message(life.now, fmt::format("m{}", i))});
    EXPECT_EQ(life.record().state().events_size(), 10);
    EXPECT_EQ(life.last(), "m19");
}

// Whatever arrives in whatever state, the machine must stay consistent: dead stays dead without an operator,
// and no start happens without a stored intent before it.
TEST(TaskMachine, RandomEventsNeverStartWithoutIntent) {
    uint64_t seed = 42;
    const auto next = [&seed] {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        return seed >> 33;
    };
    for (int round = 0; round < 300; ++round) {
        Life life(round % 2 == 0);
        for (int i = 0; i < 60; ++i) {
            TaskInput input;
            switch (next() % 18) {
                case 0:
                    input = GateOpened{};
                    break;
                case 1:
                    input = SetupDone{};
                    break;
                case 2:
                    input = SetupFailed{events::setup_failure(life.now, "x"), Retry::Yes};
                    break;
                case 3:
                    input = Started{};
                    break;
                case 4:
                    input = StartFailed{"x", next() % 2 == 0 ? Retry::Yes : Retry::No};
                    break;
                case 5:
                    input = StartUnknown{};
                    break;
                case 6:
                    input = Recovered{};
                    break;
                case 7:
                    input = RecoverFailed{"x"};
                    break;
                case 8:
                    input = DriverLost{};
                    break;
                case 17:
                    input = RecoverRefused{"x"};
                    break;
                case 9:
                    input = DriverReady{};
                    break;
                case 10:
                    input = exited(static_cast<int>(next() % 3));
                    break;
                case 11:
                    input = Destroyed{};
                    break;
                case 12:
                    input = TimerFired{};
                    break;
                case 13:
                    input = StopFailed{"x"};
                    break;
                case 14:
                    input = next() % 8 == 0 ? TaskInput(Kill{}) : TaskInput(DriverReady{});
                    break;
                case 15:
                    input = ServerContact{};
                    break;
                default:
                    life.restart();
                    continue;
            }
            const auto text = life.step(input);
            const auto start = text.find("start");
            if (start != std::string::npos) {
                EXPECT_LT(text.find("persist STARTING"), start) << text;
            }
            if (life.record().phase() == client::DEAD) {
                EXPECT_EQ(life.record().state().state(), "dead");
            }
        }
    }
}

}  // namespace
}  // namespace drover::agent
