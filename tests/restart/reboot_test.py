# SPDX-License-Identifier: Apache-2.0
"""A reboot as the agent sees it: another boot id, the processes gone, cgroups empty. States end honest, and tasks are
restarted by policy after the first contact with a server; a task that had ended before is believed."""
import os
import sys
import unittest
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from drover import Agent, job, task, wait_for  # noqa: E402


class Reboot(unittest.TestCase):
    def setUp(self):
        self.agent = Agent()
        self.boot_id = os.path.join(self.agent.dir, "boot_id")
        self.new_boot()
        self.agent.env["DROVER_BOOT_ID_FILE"] = self.boot_id
        self.agent.start()

    def tearDown(self):
        self.agent.destroy()

    def new_boot(self):
        with open(self.boot_id, "w") as f:
            f.write(str(uuid.uuid4()) + "\n")

    def reboot(self):
        """Everything dies, and nobody writes a record of it."""
        if self.agent.process.poll() is None:
            self.agent.kill9()
        self.agent.kill_the_rest()
        self.new_boot()

    def test_tasks_are_restarted_by_policy(self):
        policy = {"Attempts": 2, "Mode": "fail", "Interval": 60 * 10**9, "Delay": 10**8}
        for driver in ("raw_exec", "exec"):
            self.agent.run_job(job(f"again-{driver}", [task(driver=driver)], RestartPolicy=policy))
            self.agent.wait_running(f"again-{driver}", 1)
        self.reboot()
        self.agent.start()
        for driver in ("raw_exec", "exec"):
            def restarted(driver=driver):
                allocs = [a for a in self.agent.allocs(f"again-{driver}") if a["ClientStatus"] == "running"]
                if not allocs:
                    return None
                state = self.agent.get(f"/v1/allocation/{allocs[0]['ID']}")["TaskStates"]["t"]
                return state if state["State"] == "running" and state["Restarts"] == 1 else None
            state = wait_for(f"{driver} restarted", restarted)
            terminated = [e for e in state["Events"] if e["Type"] == "Terminated"]
            self.assertEqual(len(terminated), 1, state["Events"])
            self.assertNotEqual((terminated[0]["ExitCode"], terminated[0]["Signal"]), (0, 0),
                                "a task that a reboot killed did not succeed")
            wait_for("one process", lambda: len(self.agent.find_processes(r"sleep 3600")) == 2)

    def test_no_restarts_left_means_failed(self):
        policy = {"Attempts": 0, "Mode": "fail", "Interval": 60 * 10**9, "Delay": 10**9}
        self.agent.run_job(job("once", [task()], kind="batch", RestartPolicy=policy,
                               ReschedulePolicy={"Attempts": 0, "Unlimited": False}))
        self.agent.wait_running("once", 1)
        self.reboot()
        self.agent.start()
        self.agent.wait_status("once", "failed")
        self.assertEqual(self.agent.find_processes(r"sleep 3600"), [])

    def test_an_exit_before_the_reboot_is_believed(self):
        go = os.path.join(self.agent.dir, "go")
        self.agent.run_job(job("ended", [task(command="/bin/sh",
                                              args=["-c", f"while [ ! -e {go} ]; do sleep 0.01; done; exit 5"])],
                               kind="batch", RestartPolicy={"Attempts": 0, "Mode": "fail", "Interval": 6 * 10**10,
                                                            "Delay": 10**9},
                               ReschedulePolicy={"Attempts": 0, "Unlimited": False}))
        self.agent.wait_running("ended", 1)
        self.agent.kill9()
        open(go, "w").close()
        wait_for("the task's end", lambda: not self.agent.find_processes("sleep 0.01|while"))
        wait_for("its shim's end", lambda: not self.agent.find_processes("shim"))
        self.reboot()
        self.agent.start()
        alloc = self.agent.wait_status("ended", "failed")[0]
        events = self.agent.get(f"/v1/allocation/{alloc['ID']}")["TaskStates"]["t"]["Events"]
        self.assertEqual([e["ExitCode"] for e in events if e["Type"] == "Terminated"], [5], events)


if __name__ == "__main__":
    unittest.main(verbosity=2)
