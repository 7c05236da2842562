// SPDX-License-Identifier: Apache-2.0
// What the tasks of one allocation mean to one another, as pure functions over their states: whose turn it is
// (lifecycle), who must end because another ended (leader, siblings, main tasks), in which order, and what
// the allocation is to the outside. Called by alloc_runner after every change of a task.
#pragma once
#include <string>
#include <vector>

namespace drover::agent {

enum class TaskRole { Main, Prestart, PrestartSidecar, Poststart, PoststartSidecar, Poststop };

struct TaskView {
    std::string name;
    TaskRole role = TaskRole::Main;
    bool leader = false;
    bool begun = false;    // it left WAITING once
    bool running = false;  // shown as running
    bool dead = false;
    bool failed = false;
    bool killing = false;  // already asked to end
};

struct KillOrder {
    enum class Why { Stop, SiblingFailed, LeaderDead, MainDead };
    std::string task;
    Why why = Why::Stop;
    std::string sibling;  // SiblingFailed: which one

    friend bool operator==(const KillOrder&, const KillOrder&) = default;
};

struct Coordination {
    std::vector<std::string> start;  // their gate opens now
    std::vector<KillOrder> kill;     // to be asked to end now; later ones follow when these are dead

    friend bool operator==(const Coordination&, const Coordination&) = default;
};

enum class Wanted {
    Run,
    Stop,     // end all; poststop tasks then run
    Abandon,  // end all, poststop tasks too: the allocation is being destroyed
};

Coordination coordinate(const std::vector<TaskView>& tasks, Wanted wanted);

bool all_dead(const std::vector<TaskView>& tasks);

// "pending" "running" "complete" "failed" and its description.
struct ClientStatus {
    std::string status;
    std::string description;

    friend bool operator==(const ClientStatus&, const ClientStatus&) = default;
};
ClientStatus client_status(const std::vector<TaskView>& tasks);

TaskRole task_role(const std::string& hook, bool sidecar);

}  // namespace drover::agent
