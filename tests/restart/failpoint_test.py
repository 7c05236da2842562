# SPDX-License-Identifier: Apache-2.0
"""The agent kills itself at each named place between two steps of a task's life (agent/task/failpoint.h). The next agent
goes on: one process for the task, no restart, the true exit code, the last line in the log, nothing left."""
import http.client
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from drover import Agent, job, task, wait_for  # noqa: E402

BEFORE_RUNNING = ["alloc_stored", "dirs_built", "before_intent", "after_intent", "start_sent", "after_start",
                  "after_handle"]
AT_THE_END = ["after_exit", "exit_stored", "logs_flushed", "after_destroy"]
WHEN_STOPPED = ["stop_sent"]
NEVER_AGAIN = dict(RestartPolicy={"Attempts": 0, "Mode": "fail", "Interval": 60 * 10**9, "Delay": 10**9},
                   ReschedulePolicy={"Attempts": 0, "Unlimited": False})
# Says which run it is, waits for the word, ends with 9: a second run would show in the log.
SCRIPT = "echo begun $$; while [ ! -e %s ]; do sleep 0.02; done; echo done $$; exit 9"


class Failpoints(unittest.TestCase):
    def run_case(self, name, driver):
        agent = Agent()
        try:
            agent.start()
            # The word is a file in the shared allocation directory: exec tasks see nothing else of the host that we write.
            go = "${NOMAD_ALLOC_DIR}/go"
            agent.stop()
            agent.start(env={"DROVER_FAILPOINT": name})
            try:
                agent.run_job(job("fp", [task(driver=driver, command="/bin/sh", args=["-c", SCRIPT % go])], kind="batch",
                                  **NEVER_AGAIN))
            except (OSError, http.client.HTTPException):
                pass  # it died before the answer was out; the job is in the log all the same
            if name in BEFORE_RUNNING:
                self.dies(agent)
                agent.start()
            alloc_id = wait_for("placed", lambda: agent.allocs("fp"))[0]["ID"]
            self.wait_begun(agent, alloc_id)
            word = os.path.join(agent.alloc_dir(alloc_id), "alloc", "go")
            if name in WHEN_STOPPED:
                agent.delete("/v1/job/fp")
                self.dies(agent)
                agent.start()
                alloc = agent.wait_status("fp", "complete")[0]
            else:
                open(word, "w").close()
                if name in AT_THE_END:
                    self.dies(agent)
                    agent.start()
                alloc = agent.wait_status("fp", "failed")[0]
            self.check_end(agent, alloc["ID"], name)
        finally:
            agent.destroy()

    @staticmethod
    def dies(agent):
        wait_for("the agent's end at its failpoint", lambda: agent.process.poll() is not None)

    @staticmethod
    def log_text(agent, alloc_id):
        text = b""
        for path in agent.log_files(alloc_id, "t"):
            with open(path, "rb") as f:
                text += f.read()
        return text.decode()

    def wait_begun(self, agent, alloc_id):
        wait_for("the task's first line", lambda: "begun" in self.log_text(agent, alloc_id))

    def check_end(self, agent, alloc_id, name):
        state = agent.get(f"/v1/allocation/{alloc_id}")["TaskStates"]["t"]
        self.assertEqual(state["Restarts"], 0, name)
        events = [e["Type"] for e in state["Events"]]
        self.assertEqual(events.count("Started"), 1, f"{name}: {events}")
        self.assertNotIn("Restarting", events, name)
        text = self.log_text(agent, alloc_id)
        self.assertEqual(len(re.findall(r"begun", text)), 1, f"{name}: it ran twice:\n{text}")
        terminated = [e for e in state["Events"] if e["Type"] == "Terminated"]
        self.assertEqual(len(terminated), 1, f"{name}: {events}")
        if name not in WHEN_STOPPED:
            self.assertEqual(terminated[0]["ExitCode"], 9, name)
            self.assertEqual(len(re.findall(r"done", text)), 1, f"{name}:\n{text}")
        wait_for("no process of the task", lambda: not agent.find_processes(r"begun|shim"))

        def collected():
            agent.put("/v1/system/gc")
            return not os.path.exists(agent.alloc_dir(alloc_id))
        agent.delete("/v1/job/fp?purge=true")
        wait_for("its directory collected", collected, every=0.1)


def add_case(name, driver):
    setattr(Failpoints, f"test_{driver}_{name}", lambda self: self.run_case(name, driver))


for each in BEFORE_RUNNING + AT_THE_END + WHEN_STOPPED:
    for kind in ("raw_exec", "exec"):
        add_case(each, kind)


if __name__ == "__main__":
    unittest.main(verbosity=2)
