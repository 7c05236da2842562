# SPDX-License-Identifier: Apache-2.0
"""Plugins as an operator meets them: status, restart, reload of plugin_dir; a new version that is no good.

The task under test is a real process that must stay the same one throughout.
"""
import json
import os
import shutil
import signal
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from drover import BUILD, Agent, job, process_start, task, wait_for  # noqa: E402

RAW_EXEC = os.path.join(BUILD, "lib", "drover", "plugins", "drover-driver-raw_exec")
MOCK = os.path.join(BUILD, "lib", "drover", "test-plugins", "drover-driver-mock")


class Plugins(unittest.TestCase):
    def setUp(self):
        self.agent = Agent()
        self.own = os.path.join(self.agent.data_dir, "plugins", "drover-driver-raw_exec")

    def tearDown(self):
        self.agent.stop()
        self.agent.destroy()

    def install(self, source=None, script=None):
        """Puts a new file in place of the old one, as a package manager does."""
        os.makedirs(os.path.dirname(self.own), exist_ok=True)
        if source:
            shutil.copy(source, self.own + ".new")
        else:
            with open(self.own + ".new", "w") as f:
                f.write("#!/bin/sh\n" + script)
            os.chmod(self.own + ".new", 0o755)
        os.rename(self.own + ".new", self.own)

    def plugin(self, name):
        for one in self.agent.get("/v1/plugins")["Plugins"]:
            if one["Name"] == name or one["File"].endswith("/" + name):
                return one
        return None

    def healthy(self, name):
        one = self.plugin(name)
        return one if one and one["State"] == "healthy" else None

    def hang_up(self):
        before = self.agent.log().count("configuration reloaded")
        self.agent.process.send_signal(signal.SIGHUP)
        wait_for("reloaded", lambda: self.agent.log().count("configuration reloaded") > before)

    def task_process(self):
        pids = self.agent.find_processes(r"^/bin/sleep 3600")
        self.assertEqual(len(pids), 1, pids)
        return pids[0], process_start(pids[0])

    def events(self, job_id):
        return [e["Type"] for e in self.agent.allocs(job_id)[0]["TaskStates"]["t"]["Events"]]

    def test_status_and_restart(self):
        agent = self.agent.start()
        agent.run_job(job("j", [task()]))
        agent.wait_running("j", 1)
        process = self.task_process()
        before = self.healthy("raw_exec")
        self.assertTrue(before["Bundled"])
        table = agent.cli("plugin", "status").stdout
        self.assertRegex(table, r"raw_exec +driver +healthy")
        self.assertIn("drover-driver-exec", agent.cli("plugin", "status", "-verbose", "-type", "driver").stdout)
        self.assertIn("No plugins", agent.cli("plugin", "status", "-type", "device").stdout)
        shown = json.loads(agent.cli("plugin", "status", "-json", "raw_exec").stdout)
        self.assertEqual([one["PID"] for one in shown], [before["PID"]])
        node = agent.get("/v1/nodes")[0]["ID"]
        self.assertRegex(agent.cli("node", "status", "-verbose", node).stdout,
                         rf"Plugins\n(.*\n)+.*raw_exec +driver +\S+ +healthy +.* {before['PID']} ")

        done = agent.cli("plugin", "restart", "raw_exec")
        self.assertIn('Plugin "raw_exec" was restarted', done.stdout)
        after = self.healthy("raw_exec")
        self.assertNotEqual(after["PID"], before["PID"])
        self.assertEqual(after["Launches"], 2)
        self.assertEqual(self.task_process(), process)
        # The new instance has the task: it can stop it.
        agent.delete("/v1/job/j")
        wait_for("stopped", lambda: process_start(process[0]) != process[1])
        agent.wait_status("j", "complete")
        failed = agent.cli("plugin", "restart", "nosuch", ok=False)
        self.assertEqual(failed.returncode, 1)
        self.assertIn('unknown plugin "nosuch"', failed.stderr)

    def test_a_new_version_by_reload_and_one_that_is_no_good(self):
        self.install(RAW_EXEC)
        agent = self.agent.start()
        agent.run_job(job("j", [task()]))
        agent.wait_running("j", 1)
        process = self.task_process()
        first = self.healthy("raw_exec")
        self.assertEqual(first["File"], self.own)
        events = self.events("j")

        self.hang_up()  # nothing has changed
        self.assertEqual(self.healthy("raw_exec")["PID"], first["PID"])
        self.install(RAW_EXEC)
        self.hang_up()
        second = wait_for("the new version", lambda: (p := self.healthy("raw_exec")) and p["PID"] != first["PID"] and p)
        self.assertEqual(self.task_process(), process)

        self.install(script="echo 'libfoo.so.7 is missing' >&2; exit 3\n")
        failed = agent.cli("plugin", "restart", "raw_exec", ok=False)
        self.assertEqual(failed.returncode, 1)
        self.assertIn("libfoo.so.7 is missing", failed.stderr)
        self.assertIn("libfoo.so.7 is missing", agent.cli("plugin", "status", "raw_exec").stdout)
        wait_for("the driver's health says why", lambda: "libfoo.so.7 is missing" in
                 agent.get("/v1/node/" + agent.get("/v1/nodes")[0]["ID"])["Drivers"]["raw_exec"]["HealthDescription"])
        self.assertIsNone(process_start(second["PID"]))
        self.assertEqual(self.task_process(), process)
        self.assertEqual(agent.wait_running("j", 1)[0]["ClientStatus"], "running")

        # Neither an agent that is killed nor one that starts with that file changes anything for the task.
        for _ in range(2):
            agent.kill9()
            agent.start(ready=False)
            wait_for("the reason", lambda: "libfoo.so.7" in (self.plugin("raw_exec") or
                                                            self.plugin("drover-driver-raw_exec"))["Reason"])
            self.assertEqual(self.task_process(), process)
            self.assertEqual([a["ClientStatus"] for a in agent.allocs("j")], ["running"])

        self.install(RAW_EXEC)
        agent.cli("plugin", "restart", "raw_exec")
        self.assertEqual(self.task_process(), process)
        agent.wait_ready()
        left = [e for e in self.events("j") if e not in events]
        self.assertTrue(set(left) <= {"Failed Restoring Task"}, left)
        agent.delete("/v1/job/j")
        wait_for("stopped", lambda: process_start(process[0]) != process[1])
        agent.wait_status("j", "complete")

    def test_plugins_come_and_go_with_a_reload(self):
        agent = self.agent.start()
        folder = os.path.join(agent.data_dir, "plugins")
        os.makedirs(folder, exist_ok=True)
        shutil.copy(MOCK, os.path.join(folder, "drover-driver-mock"))
        self.hang_up()
        self.assertIsNone(self.plugin("mock_driver"))  # no block: not run
        with open(agent.config) as f:
            text = f.read()
        with open(agent.config, "w") as f:
            f.write(text + 'plugin "mock" {\n  config {\n    healthy = false\n  }\n}\n')
        self.hang_up()
        node = agent.get("/v1/nodes")[0]["ID"]
        info = wait_for("the node has it", lambda: (agent.get("/v1/node/" + node)["Drivers"] or {}).get("mock_driver"))
        self.assertFalse(info["Healthy"])
        with open(agent.config, "w") as f:
            f.write(text + 'plugin "mock" {\n}\n')
        self.hang_up()
        wait_for("the new block counts", lambda: agent.driver_healthy(agent.get("/v1/node/" + node), "mock_driver"))
        pid = self.plugin("mock_driver")["PID"]
        with open(agent.config, "w") as f:
            f.write(text)
        self.hang_up()
        wait_for("it is ended", lambda: process_start(pid) is None)
        wait_for("the node has it no more",
                 lambda: not agent.get("/v1/node/" + node)["Drivers"].get("mock_driver", {}).get("Detected"))
        self.assertIsNone(self.plugin("mock_driver"))


if __name__ == "__main__":
    unittest.main()
