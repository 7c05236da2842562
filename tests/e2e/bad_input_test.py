# SPDX-License-Identifier: Apache-2.0
"""Bad input, each with an error that names the place and what was expected, the right exit code, and nothing lost."""
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from drover import Agent, ApiError, DROVER, job, task, wait_for  # noqa: E402


def read(path):
    with open(path, "rb") as f:
        return f.read()


class JobFiles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.agent = Agent(dev=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.agent.stop()
        cls.agent.destroy()

    def run_file(self, text):
        return self.agent.cli("job", "run", "-detach", self.agent.job_file(text), ok=False)

    def test_broken_syntax_names_line_and_column(self):
        done = self.run_file('job "x" {\n  group "g" {\n    count = \n  }\n}\n')
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout + done.stderr, r"job\.nomad\.hcl:3,\d+")

    def test_unknown_key_suggests(self):
        done = self.run_file('job "x" {\n  group "g" {\n    task "t" {\n      drivr = "exec"\n    }\n  }\n}\n')
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout + done.stderr, r"job\.nomad\.hcl:4,7")
        self.assertIn('"driver"', done.stdout + done.stderr)

    def test_missing_file(self):
        done = self.agent.cli("job", "run", "/nonexistent.nomad.hcl", ok=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nonexistent.nomad.hcl", done.stdout + done.stderr)

    def test_unknown_driver_is_not_placed_and_says_why(self):
        self.agent.run_job(job("nodriver", [task(driver="nosuch")]))
        evals = wait_for("blocked", lambda: [e for e in self.agent.get("/v1/job/nodriver/evaluations")
                                            if e.get("FailedTGAllocs")])
        metric = evals[0]["FailedTGAllocs"]["g"]
        self.assertIn("missing drivers", " ".join(metric["ConstraintFiltered"]))
        self.assertIn("missing drivers", self.agent.cli("job", "status", "nodriver").stdout)

    def test_missing_command_fails_the_task_with_its_path(self):
        for driver in ("raw_exec", "exec"):
            job_id = f"nocommand-{driver}"
            self.agent.run_job(job(job_id, [task(driver=driver, command="/no/such/binary", args=())],
                                   RestartPolicy={"Attempts": 0, "Mode": "fail", "Interval": 6 * 10**10, "Delay": 10**9},
                                   ReschedulePolicy={"Attempts": 0, "Unlimited": False}))
            alloc = self.agent.wait_status(job_id, "failed")[0]
            events = self.agent.get(f"/v1/allocation/{alloc['ID']}")["TaskStates"]["t"]["Events"]
            failure = [e for e in events if e["Type"] == "Driver Failure"]
            self.assertTrue(failure, events)
            self.assertIn("/no/such/binary", failure[0]["DisplayMessage"])

    def test_unknown_driver_option_is_named(self):
        t = task()
        t["Config"]["comand"] = "x"
        self.agent.run_job(job("badconfig", [t], ReschedulePolicy={"Attempts": 0, "Unlimited": False}))
        alloc = self.agent.wait_status("badconfig", "failed")[0]
        events = self.agent.get(f"/v1/allocation/{alloc['ID']}")["TaskStates"]["t"]["Events"]
        self.assertIn("comand", " ".join(e["DisplayMessage"] for e in events))

    def test_static_port_in_use_is_explained(self):
        networks = [{"Mode": "host", "ReservedPorts": [{"Label": "p", "Value": 23456}]}]
        self.agent.run_job(job("first", [task()], Networks=networks))
        self.agent.wait_running("first", 1)
        self.agent.run_job(job("second", [task()], Networks=networks))
        evals = wait_for("blocked", lambda: [e for e in self.agent.get("/v1/job/second/evaluations")
                                            if e.get("FailedTGAllocs")])
        text = str(evals[0]["FailedTGAllocs"]["g"]["DimensionExhausted"])
        self.assertIn("reserved port collision p=23456", text)

    def test_wrong_json_types_name_the_field(self):
        with self.assertRaises(ApiError) as caught:
            self.agent.put("/v1/jobs", {"Job": {"ID": "x", "TaskGroups": [{"Count": "three"}]}})
        self.assertEqual(caught.exception.code, 400)
        self.assertIn("TaskGroups[0].Count", caught.exception.body)

    def test_validation_lists_everything(self):
        with self.assertRaises(ApiError) as caught:
            self.agent.put("/v1/jobs", {"Job": {"ID": "x y", "Type": "service", "Datacenters": ["dc1"],
                                                "TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t"}]}]}})
        self.assertEqual(caught.exception.code, 500)
        self.assertIn("errors occurred", caught.exception.body)


class AgentStart(unittest.TestCase):
    def agent_output(self, config_text, extra_args=()):
        with tempfile.TemporaryDirectory(prefix="drover-bad-") as folder:
            path = os.path.join(folder, "agent.hcl")
            with open(path, "w") as f:
                f.write(config_text.replace("@DIR@", folder))
            done = subprocess.run([DROVER, "agent", "-config", path, *extra_args], capture_output=True, text=True,
                                  timeout=30)
            return done.returncode, done.stdout + done.stderr

    def test_unknown_key(self):
        code, text = self.agent_output('data_dir = "@DIR@/d"\nserver {\n  enabled = true\n  bootstrap_expct = 1\n}\n')
        self.assertEqual(code, 1)
        self.assertRegex(text, r"agent\.hcl:4,3")
        self.assertIn("bootstrap_expct", text)
        self.assertIn("bootstrap_expect", text.replace("bootstrap_expct", ""))

    def test_nothing_enabled(self):
        code, text = self.agent_output('data_dir = "@DIR@/d"\n')
        self.assertEqual(code, 1)
        self.assertIn("Must specify either server, client or dev mode for the agent.", text)

    def test_unknown_flag(self):
        code, text = self.agent_output("", ["-bogus"])
        self.assertEqual(code, 1)
        self.assertIn("-bogus", text)

    def test_port_in_use(self):
        """Named, exit code 1, and found out before anything was started: no plugin, logd, cgroup or client state."""
        for port, says in (("http", "address already in use"), ("rpc", "in use, or no address of this machine")):
            with self.subTest(port=port), socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                taken.listen()
                number = taken.getsockname()[1]
                agent = Agent()
                try:
                    with open(agent.config) as f:
                        text = f.read()
                    with open(agent.config, "w") as f:
                        f.write(re.sub(rf"{port}( *)= \d+", rf"{port}\1= {number}", text))
                    agent.start(ready=False)
                    self.assertEqual(agent.process.wait(20), 1)
                    self.assertIn(f"127.0.0.1:{number}", agent.log())
                    self.assertIn(says, agent.log().lower())
                    self.assertEqual(agent.processes(), [])
                    self.assertEqual(agent.cgroups(), [])
                    self.assertFalse(os.path.exists(os.path.join(agent.data_dir, "client")))
                finally:
                    agent.destroy()

    def test_no_server_reachable(self):
        agent = Agent(server=False, servers=["127.0.0.1:1"])
        try:
            agent.start(ready=False)
            wait_for("a warning that names the server", lambda: "127.0.0.1:1" in agent.log() and
                     "no server reachable" in agent.log())
            with self.assertRaises(ApiError) as caught:
                agent.get("/v1/jobs")
            self.assertIn(caught.exception.code, (500, 503))
            self.assertIn("no server reachable", caught.exception.body)
        finally:
            agent.stop()
            agent.destroy()

    def test_cli_without_an_agent(self):
        done = subprocess.run([DROVER, "job", "status", "-address", "http://127.0.0.1:1"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("connection refused", done.stdout + done.stderr)


class Disk(unittest.TestCase):
    def test_corrupt_client_state_is_set_aside_and_tasks_stay(self):
        with Agent() as agent:
            agent.run_job(job("keep", [task()]))
            agent.wait_running("keep", 1)
            before = agent.find_processes(r"sleep 3600")
            self.assertTrue(before)
            agent.kill9()
            state = [os.path.join(root, name) for root, _, names in os.walk(os.path.join(agent.data_dir, "client"))
                     for name in names if name.endswith(".db")]
            self.assertEqual(len(state), 1, state)
            for suffix in ("-wal", "-shm"):
                if os.path.exists(state[0] + suffix):
                    os.unlink(state[0] + suffix)
            with open(state[0], "r+b") as f:
                f.write(b"this is no database" * 100)
            agent.start()
            self.assertIn(state[0], agent.log())
            kept = [n for n in os.listdir(os.path.dirname(state[0])) if "corrupt" in n]
            self.assertTrue(kept, os.listdir(os.path.dirname(state[0])))

    def test_corrupt_server_log_stops_with_its_name(self):
        agent = Agent(client=False)
        try:
            agent.start(ready=False)
            wait_for("leader", lambda: agent.get("/v1/status/leader"))
            agent.kill9()
            logs = [os.path.join(root, name) for root, _, names in os.walk(os.path.join(agent.data_dir, "server"))
                    for name in names if name.endswith(".db")]
            self.assertEqual(len(logs), 1, logs)
            for suffix in ("-wal", "-shm"):
                if os.path.exists(logs[0] + suffix):
                    os.unlink(logs[0] + suffix)
            with open(logs[0], "r+b") as f:
                f.write(b"this is no database" * 100)
            agent.start(ready=False)
            self.assertEqual(agent.process.wait(20), 1)
            self.assertIn(logs[0], agent.log())
            with open(logs[0], "rb") as f:
                self.assertTrue(f.read(19) == b"this is no database")
        finally:
            agent.destroy()

    def test_full_disk_holds_tasks_back_and_goes_on(self):
        with tempfile.TemporaryDirectory(prefix="drover-full-") as mount:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", mount], check=True)
            agent = Agent(extra=f'client {{\n  alloc_dir = "{mount}/alloc"\n}}')
            agent.alloc_dir = lambda alloc_id: os.path.join(mount, "alloc", alloc_id)
            try:
                agent.start()
                writer = ("$|=1; my $i=0; my $p='x'x84; while(1){ my $o=''; for(1..100){$o.=sprintf(\"%014d %s\\n\",$i,$p);"
                          "$i++} print $o; select(undef,undef,undef,0.001) }")
                ballast = os.path.join(mount, "ballast")
                agent.run_job(job("full", [task(command="/usr/bin/perl", args=["-e", writer],
                                                LogConfig={"MaxFiles": 2, "MaxFileSizeMB": 4})],
                                  EphemeralDisk={"SizeMB": 10}))
                alloc = agent.wait_running("full", 1)[0]
                with open(ballast, "wb") as f:
                    try:
                        while True:
                            f.write(b"\0" * 65536)
                            f.flush()
                    except OSError:
                        pass

                def told():
                    events = agent.get(f"/v1/allocation/{alloc['ID']}")["TaskStates"]["t"]["Events"]
                    return [e for e in events if "is full" in e["DisplayMessage"]]
                self.assertEqual(len(wait_for("an event about the full disk", told)), 1)
                os.unlink(ballast)

                def size():
                    return sum(os.path.getsize(p) for p in agent.log_files(alloc["ID"], "t"))
                before = size()
                wait_for("the log goes on", lambda: size() != before)
                self.assertEqual(len(told()), 1)
                lines = b""
                end = time.monotonic() + 10
                while time.monotonic() < end:
                    paths = agent.log_files(alloc["ID"], "t")
                    try:
                        lines = b"".join(read(p) for p in paths)
                    except FileNotFoundError:
                        continue
                    if agent.log_files(alloc["ID"], "t") == paths:
                        break
                numbers = [int(line[:14]) for line in lines.split(b"\n")[:-1]]
                self.assertEqual(numbers, list(range(numbers[0], numbers[0] + len(numbers))))
            finally:
                agent.destroy()
                subprocess.run(["umount", mount], check=False)


if __name__ == "__main__":
    unittest.main(verbosity=2)
