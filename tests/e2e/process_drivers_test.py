# SPDX-License-Identifier: Apache-2.0
"""raw_exec and exec as a user meets them: the example jobs, and tasks that cannot or will not behave. Each test counts
processes, cgroups, mounts and namespaces before and after."""
import os
import signal
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from drover import Agent, job, task, wait_for  # noqa: E402

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples")
ONE_TRY = {"Attempts": 0, "Mode": "fail", "Interval": 6 * 10**10, "Delay": 10**9}
NO_RESCHEDULE = {"Attempts": 0, "Unlimited": False}
SECOND = 10**9


def namespaces():
    found = set()
    for name in os.listdir("/proc"):
        for kind in ("mnt", "pid", "ipc", "net", "user") if name.isdigit() else ():
            try:
                found.add(os.readlink(f"/proc/{name}/ns/{kind}"))
            except OSError:
                pass
    return found


class ProcessDrivers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.agent = Agent(extra="""
plugin "exec" {
  config {
    denied_host_uids = "1"
  }
}
""").start()
        os.chmod(cls.agent.dir, 0o755)  # tasks of ordinary users have their working directory below it

    @classmethod
    def tearDownClass(cls):
        cls.agent.stop()
        cls.agent.destroy()

    def setUp(self):
        self.before = self.count()

    def tearDown(self):
        for known in self.agent.get("/v1/jobs"):
            self.agent.delete(f"/v1/job/{known['ID']}?purge=true")
        self.agent.put("/v1/system/gc")
        wait_for("nothing to be left", lambda: self.count() == self.before or None, 60)

    def count(self):
        """What tasks leave when they leave something; the agent's plugins and logd are there all the time."""
        tasks = os.path.join(self.agent.data_dir, "client", "tasks")
        return {
            "processes": len(self.agent.find_processes("drover-shim|sleep|/bin/sh")),
            "cgroups": [path for path in self.agent.cgroups() if "/t%2F" in path or "%2F" in path],
            "mounts": sorted(self.agent.mounts()),
            "tasks": sorted(n for n in os.listdir(tasks) if not n.startswith(".")) if os.path.isdir(tasks) else [],
            "bundles": sorted(os.listdir(os.path.join(tasks, ".exec")))
            if os.path.isdir(os.path.join(tasks, ".exec")) else [],
        }

    def events(self, job_id):
        states = [a["TaskStates"] or {} for a in self.agent.allocs(job_id)]
        return [event["DisplayMessage"] for state in states for t in state.values() for event in t["Events"]]

    def fails_with(self, job_id, text, **how):
        self.agent.run_job(job(job_id, [task(**how)], kind="batch", RestartPolicy=ONE_TRY,
                               ReschedulePolicy=NO_RESCHEDULE))
        self.agent.wait_status(job_id, "failed")
        self.assertIn(text, " | ".join(self.events(job_id)))

    def test_examples_run(self):
        for name, job_id, says in (("exec", "exec-example", "hello from uid 65534, no /home here"),
                                   ("raw_exec", "raw-exec-example", "hello from nobody in ")):
            with self.subTest(example=name):
                self.agent.cli("job", "run", "-detach", os.path.join(EXAMPLES, f"{name}.nomad.hcl"))
                alloc = self.agent.wait_running(job_id, 1)[0]["ID"]
                wait_for("its output", lambda: says in self.agent.cli("alloc", "logs", alloc).stdout)
                self.agent.cli("job", "stop", "-detach", job_id)
                self.agent.wait_status(job_id, "complete")

    def test_commands_that_cannot_be_run(self):
        script = os.path.join(self.agent.dir, "plain")
        with open(script, "w") as f:
            f.write("#!/bin/sh\n")
        self.fails_with("notexec", f'command "{script}": is not executable (mode 06', command=script, args=())
        for driver in ("raw_exec", "exec"):
            self.fails_with(f"missing-{driver}", 'command "no-such": not found (looked in ', driver=driver,
                            command="no-such", args=())
            self.fails_with(f"outside-{driver}", "leads out of the task's directory", driver=driver,
                            command="../../../../bin/true", args=())
            self.fails_with(f"user-{driver}", '"no-such-user"', driver=driver,
                            User="no-such-user")
        self.fails_with("denied", "(denied_host_uids) refuses uid 1", driver="exec", User="daemon")
        self.fails_with("workdir", "/usr/nowhere", driver="exec",
                        Config={"command": "/bin/true", "work_dir": "/usr/nowhere"})

    def test_a_task_deaf_to_signals_is_killed_after_its_patience(self):
        for driver in ("raw_exec", "exec"):
            deaf = task(driver=driver, command="/bin/sh", KillTimeout=SECOND,
                        args=("-c", "trap '' INT TERM HUP; setsid sleep 3600 & sleep 3600; sleep 3600"))
            self.agent.run_job(job(f"deaf-{driver}", [deaf]))
            self.agent.wait_running(f"deaf-{driver}", 1)
            self.agent.delete(f"/v1/job/deaf-{driver}")
            self.agent.wait_status(f"deaf-{driver}", "complete")

    def test_a_fork_bomb_is_held_and_stopped(self):
        bomb = "bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 3600"
        for driver in ("raw_exec", "exec"):
            self.agent.run_job(job(f"bomb-{driver}", [task(driver=driver, KillTimeout=SECOND, Config={
                "command": "/bin/sh", "args": ["-c", bomb], "pids_limit": 40})]))
            self.agent.wait_running(f"bomb-{driver}", 1)
            self.agent.delete(f"/v1/job/bomb-{driver}")
            self.agent.wait_status(f"bomb-{driver}", "complete")

    def test_a_task_whose_shim_is_killed_goes_on_and_ends(self):
        for driver in ("raw_exec", "exec"):
            self.agent.run_job(job(f"orphan-{driver}", [task(driver=driver, KillTimeout=SECOND)]))
            self.agent.wait_running(f"orphan-{driver}", 1)
            for _ in range(3):
                shims = self.agent.find_processes("^drover-shim")
                self.assertEqual(len(shims), 1)
                os.kill(shims[0], signal.SIGKILL)
                wait_for("another shim", lambda old=shims: self.agent.find_processes("^drover-shim") not in ([], old))
            self.assertEqual(len(self.agent.wait_running(f"orphan-{driver}", 1)), 1)
            self.agent.delete(f"/v1/job/orphan-{driver}")
            self.agent.wait_status(f"orphan-{driver}", "complete")
            wait_for("no shim", lambda: not self.agent.find_processes("^drover-shim"))

    def test_namespaces_go_with_their_tasks(self):
        self.agent.run_job(job("spaces", [task(driver="exec", KillTimeout=SECOND)], count=5))
        self.agent.wait_running("spaces", 5)
        spaces = {os.readlink(f"/proc/{pid}/ns/{kind}") for pid in self.agent.find_processes("^/bin/sleep 3600")
                  for kind in ("mnt", "pid", "ipc")}
        self.assertEqual(len(spaces), 15, spaces)
        self.agent.delete("/v1/job/spaces")
        self.agent.wait_status("spaces", "complete", 5)
        wait_for("their namespaces gone", lambda: not namespaces() & spaces)


if __name__ == "__main__":
    unittest.main(verbosity=2)
