# SPDX-License-Identifier: Apache-2.0
"""-dev leaves nothing behind; a client apart from its server; reload; restarts of tasks; log rotation and its link."""
import os
import re
import signal
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from drover import Agent, job, task, wait_for  # noqa: E402


class AgentLife(unittest.TestCase):
    def test_dev_leaves_nothing(self):
        agent = Agent(dev=True).start()
        try:
            before = set(os.listdir("/tmp"))
            agent.run_job(job("raw", [task()], count=3))
            agent.run_job(job("iso", [task(driver="exec")], count=3))
            agent.wait_running("raw", 3)
            agent.wait_running("iso", 3)
            data_dir = agent.get("/v1/agent/self")["config"]["DataDir"]
            self.assertEqual(agent.stop(signal.SIGINT), 0)
            self.assertEqual(agent.processes(), [])
            self.assertEqual(agent.cgroups(), [])
            self.assertFalse(os.path.exists(data_dir))
            with open("/proc/self/mountinfo") as f:
                self.assertNotIn(data_dir, f.read())
            self.assertFalse({n for n in set(os.listdir("/tmp")) - before if n.startswith("drover-dev")})
        finally:
            agent.destroy()

    def test_client_apart_from_its_server(self):
        server = Agent(client=False)
        client = None
        try:
            server.start(ready=False)
            wait_for("leader", lambda: server.get("/v1/status/leader"))
            client = Agent(server=False, servers=[f"127.0.0.1:{server.rpc}"])
            client.start()
            server.run_job(job("there", [task(driver="exec")], count=2))
            server.wait_running("there", 2)
            alloc = client.allocs("there")[0]
            self.assertIn("there.g", alloc["Name"])
            # A server that goes away does not touch the tasks; when it is back, things go on.
            tasks = client.find_processes(r"sleep 3600")
            server.kill9()
            server.start(ready=False)
            server.wait_running("there", 2)
            self.assertEqual(client.find_processes(r"sleep 3600"), tasks)
            server.delete("/v1/job/there")
            wait_for("stopped", lambda: not client.find_processes(r"sleep 3600"))
        finally:
            if client:
                client.stop()
                client.destroy()
            server.stop()
            server.destroy()

    def test_reload_changes_the_log_level_and_survives_a_broken_file(self):
        with Agent() as agent:
            with open(agent.config) as f:
                text = f.read()
            with open(agent.config, "w") as f:
                f.write(text + '\nlog_level = "TRACE"\n')
            agent.process.send_signal(signal.SIGHUP)
            wait_for("reloaded", lambda: "configuration reloaded" in agent.log())
            with open(agent.config, "w") as f:
                f.write("nonsense {")
            agent.process.send_signal(signal.SIGHUP)
            wait_for("refused", lambda: "configuration not reloaded" in agent.log())
            self.assertTrue(agent.get("/v1/status/leader"))
            with open(agent.config, "w") as f:
                f.write(text)

    def test_restart_policy_and_exit_codes(self):
        with Agent() as agent:
            agent.run_job(job("fails", [task(command="/bin/sh", args=["-c", "echo out; echo err >&2; exit 3"])],
                              kind="batch", RestartPolicy={"Attempts": 1, "Mode": "fail", "Interval": 60 * 10**9,
                                                           "Delay": 10**8},
                              ReschedulePolicy={"Attempts": 0, "Unlimited": False}))
            alloc = agent.wait_status("fails", "failed")[0]
            state = agent.get(f"/v1/allocation/{alloc['ID']}")["TaskStates"]["t"]
            self.assertEqual(state["Restarts"], 1)
            self.assertTrue(state["Failed"])
            types = [e["Type"] for e in state["Events"]]
            self.assertEqual(types, ["Received", "Task Setup", "Started", "Terminated", "Restarting", "Started",
                                     "Terminated", "Not Restarting"])
            self.assertEqual([e["ExitCode"] for e in state["Events"] if e["Type"] == "Terminated"], [3, 3])
            self.assertEqual(agent.cli("alloc", "logs", alloc["ID"][:8]).stdout, "out\nout\n")
            self.assertEqual(agent.cli("alloc", "logs", "-stderr", alloc["ID"][:8]).stdout, "err\nerr\n")

    def test_kill_timeout_and_signal(self):
        with Agent() as agent:
            stubborn = "trap '' INT; echo ready; while :; do sleep 0.1; done"
            agent.run_job(job("stubborn", [task(command="/bin/sh", args=["-c", stubborn], KillTimeout=10**9)]))
            agent.run_job(job("polite", [task(driver="exec", command="/bin/sh", KillSignal="SIGTERM",
                                              args=["-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done"])]))
            for name in ("stubborn", "polite"):
                alloc = agent.wait_running(name, 1)[0]
                wait_for(f"the trap of {name}", lambda alloc=alloc: "ready" in agent.cli("alloc", "logs", alloc["ID"]).stdout)
            for name in ("stubborn", "polite"):
                agent.delete(f"/v1/job/{name}")
            for name, code in (("stubborn", 137), ("polite", 0)):
                alloc = agent.wait_status(name, "complete")[0]
                events = agent.get(f"/v1/allocation/{alloc['ID']}")["TaskStates"]["t"]["Events"]
                terminated = [e for e in events if e["Type"] == "Terminated"]
                self.assertEqual([e["ExitCode"] for e in terminated], [code], events)
                self.assertTrue([e for e in events if e["Type"] == "Killed"], events)

    def test_environment_and_ports(self):
        with Agent() as agent:
            agent.run_job(job("env", [task(driver="exec", command="/bin/sh", args=["-c", "env; sleep 3600"],
                                           Env={"MINE": "${NOMAD_JOB_NAME}-${attr.kernel.name}"})],
                              Networks=[{"Mode": "host", "DynamicPorts": [{"Label": "http"}]}]))
            alloc = agent.wait_running("env", 1)[0]
            text = wait_for("output", lambda: agent.cli("alloc", "logs", alloc["ID"][:8]).stdout)
            env = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
            self.assertEqual(env["NOMAD_ALLOC_ID"], alloc["ID"])
            self.assertEqual(env["NOMAD_TASK_NAME"], "t")
            self.assertEqual(env["MINE"], "env-linux")
            self.assertTrue(20000 <= int(env["NOMAD_PORT_http"]) <= 32000)
            self.assertEqual(env["NOMAD_TASK_DIR"], "/local")
            self.assertNotIn(agent.dir, env["NOMAD_ALLOC_DIR"])

    def test_rotation_keeps_the_link_on_the_active_file(self):
        with Agent() as agent:
            line = "x" * 99
            agent.run_job(job("rotate", [task(command="/bin/sh", args=["-c", f"yes {line} | head -n 50000; sleep 3600"],
                                              LogConfig={"MaxFiles": 3, "MaxFileSizeMB": 1})]))
            alloc = agent.wait_running("rotate", 1)[0]
            folder = os.path.join(agent.alloc_dir(alloc["ID"]), "alloc", "logs")

            def rotated():
                names = sorted(n for n in os.listdir(folder) if re.match(r"t\.stdout\.\d+$", n))
                return names if "t.stdout.4" in names else None
            names = wait_for("five megabytes in", rotated)
            self.assertLessEqual(len(names), 3)
            self.assertEqual(os.readlink(os.path.join(folder, "t.stdout")), "t.stdout.4")
            for name in names[:-1]:
                with open(os.path.join(folder, name), "rb") as f:
                    content = f.read()
                self.assertTrue(content.endswith(b"\n"))
                self.assertLessEqual(len(content), 1 << 20)


if __name__ == "__main__":
    unittest.main(verbosity=2)
