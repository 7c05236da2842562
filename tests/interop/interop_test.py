# SPDX-License-Identifier: Apache-2.0
"""Plugins both ways. A driver and a device plugin written in Go on go-plugin run under drover unmodified: a task starts,
logs, is signalled, measured, survives kill -9 of the agent and of its plugin, and stops. And go-plugin's own client,
with Nomad's handshake and plugin map, drives drover's plugins (host/host_test.go).
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, HERE)
import build  # noqa: E402
from drover import BUILD, Agent, job, process_start, task, wait_for  # noqa: E402

PLUGINS = os.path.join(BUILD, "lib", "drover", "plugins")
# Numbered lines; on USR1 the exit code 7, on TERM one of 9.
WRITER = ("trap 'echo usr1; exit 7' USR1; trap 'echo term; exit 9' TERM; i=0; "
          "while :; do echo \"line $i from $GREETING\"; i=$((i+1)); sleep 0.02; done")


def go_job(name, **more):
    t = task("w", "go-process", "/bin/sh", ["-c", WRITER], Env={"GREETING": "go"}, **more)
    return job(name, [t], RestartPolicy={"Attempts": 0, "Mode": "fail", "Interval": 60 * 10**9, "Delay": 10**9},
               ReschedulePolicy={"Attempts": 0, "Unlimited": False})


class GoPluginsUnderDrover(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.state = tempfile.mkdtemp(prefix="drover-interop-")
        cls.agent = Agent(extra=f"""
plugin_dir = "{BIN}/plugins"
plugin "interop-driver" {{
  config {{
    state_dir = "{cls.state}"
  }}
}}
plugin "interop-device" {{
  config {{
    slots = 2
  }}
}}
""")
        try:
            cls.agent.start()
            wait_for("driver go-process healthy", lambda: cls.agent.driver_healthy(cls.node(), "go-process"))
        except BaseException:
            print(cls.agent.log()[-6000:])
            cls.agent.destroy()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.agent.destroy()
        shutil.rmtree(cls.state, ignore_errors=True)

    @classmethod
    def node(cls):
        return cls.agent.get("/v1/nodes")[0]

    def start(self, name, **more):
        self.agent.run_job(go_job(name, **more))
        alloc = self.agent.wait_running(name, 1)[0]
        wait_for("first lines", lambda: "line 3 from go" in self.lines(alloc))
        return alloc

    def lines(self, alloc):
        return self.agent.cli("alloc", "logs", alloc["ID"], "w").stdout

    def writer(self, alloc):
        """(pid, start time) of the task's shell: what a restart would change."""
        found = [pid for pid in self.agent.find_processes(r"^/bin/sh -c trap") if alloc["ID"] in environment(pid)]
        self.assertEqual(len(found), 1, found)
        return found[0], process_start(found[0])

    def plugin(self):
        found = self.agent.find_processes(r"plugins/interop-driver$|plugins/interop-driver ")
        return found[0] if len(found) == 1 else None

    def check_unbroken(self, alloc, writer):
        """The same process, no restart, and every line once and in order."""
        self.assertEqual(self.writer(alloc), writer)
        state = wait_for("still running", lambda: self.running_state(alloc))
        self.assertEqual(state["Restarts"], 0)
        count = len(self.lines(alloc).splitlines())
        wait_for("more lines", lambda: len(self.lines(alloc).splitlines()) > count + 3)
        for i, line in enumerate(self.lines(alloc).splitlines()):
            self.assertEqual(line, f"line {i} from go")

    def running_state(self, alloc):
        state = self.agent.get(f"/v1/allocation/{alloc['ID']}")["TaskStates"]["w"]
        return state if state["State"] == "running" else None

    def finish(self, alloc, name, code):
        def dead():
            state = self.agent.get(f"/v1/allocation/{alloc['ID']}")["TaskStates"]["w"]
            return state if state["State"] == "dead" else None
        state = wait_for("the task's end", dead)
        ended = [event for event in state["Events"] if event["Type"] == "Terminated"]
        self.assertEqual([event["ExitCode"] for event in ended], [code], state["Events"])
        self.agent.delete(f"/v1/job/{name}?purge=true")

    def test_attributes_and_stats(self):
        node = self.agent.get(f"/v1/node/{self.node()['ID']}")
        self.assertEqual(node["Attributes"]["driver.go-process.language"], "go")
        self.assertEqual(node["Attributes"]["driver.go-process.buffer"], "4MiB")
        alloc = self.start("stats")
        usage = wait_for("a sample", lambda: self.agent.get(f"/v1/client/allocation/{alloc['ID']}/stats")["Tasks"].get("w"))
        self.assertGreater(usage["ResourceUsage"]["MemoryStats"]["RSS"], 0)
        self.agent.cli("job", "stop", "-detach", "stats")
        self.finish(alloc, "stats", 9)

    def test_device(self):
        """The scheduler gives one of the two slots, Reserve's environment reaches the task, figures reach the API."""
        wait_for("the devices", lambda: [d for d in self.node_now()["NodeResources"]["Devices"] or []
                                         if (d["Vendor"], d["Type"], d["Name"]) == ("acme", "slot", "model1")])
        t = task("d", command="/bin/sh", args=["-c", "echo \"slots: $ACME_SLOTS\"; exec sleep 3600"])
        t["Resources"]["Devices"] = [{"Name": "acme/slot", "Count": 1}]
        self.agent.run_job(job("with-device", [t]))
        alloc = self.agent.wait_running("with-device", 1)[0]
        text = wait_for("a line", lambda: self.agent.cli("alloc", "logs", alloc["ID"], "d").stdout)
        self.assertRegex(text, r"^slots: slot-[01]\n$")
        stats = self.agent.get("/v1/client/stats")["DeviceStats"]
        self.assertEqual(sorted(stats[0]["InstanceStats"]), ["slot-0", "slot-1"], stats)
        self.agent.delete("/v1/job/with-device?purge=true")

    def node_now(self):
        return self.agent.get(f"/v1/node/{self.node()['ID']}")

    def test_exec(self):
        alloc = self.start("executed")
        done = self.agent.cli("alloc", "exec", "-i", "-t=false", alloc["ID"], "/bin/sh", "-c",
                              "cat; echo $GREETING; echo oops >&2; exit 5", stdin="typed\n", ok=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (5, "typed\ngo\n", "oops\n"))
        self.agent.cli("job", "stop", "-detach", "executed")
        self.finish(alloc, "executed", 9)

    def test_signal(self):
        alloc = self.start("signalled")
        self.agent.cli("alloc", "signal", "-s", "SIGUSR1", alloc["ID"], "w")
        self.finish(alloc, "signalled", 7)

    def test_the_agent_is_killed(self):
        alloc = self.start("agent-killed")
        writer, plugin = self.writer(alloc), self.plugin()
        self.agent.kill9()
        self.agent.start()
        wait_for("driver healthy again", lambda: self.agent.driver_healthy(self.node(), "go-process"))
        self.assertEqual(self.plugin(), plugin, "the plugin was launched anew")
        self.check_unbroken(alloc, writer)
        self.agent.cli("job", "stop", "-detach", "agent-killed")
        self.finish(alloc, "agent-killed", 9)

    def test_the_plugin_is_killed(self):
        alloc = self.start("plugin-killed")
        writer, plugin = self.writer(alloc), self.plugin()
        os.kill(plugin, signal.SIGKILL)
        wait_for("a new plugin", lambda: self.plugin() not in (None, plugin))
        wait_for("driver healthy again", lambda: self.agent.driver_healthy(self.node(), "go-process"))
        self.check_unbroken(alloc, writer)
        self.agent.cli("job", "stop", "-detach", "plugin-killed")
        self.finish(alloc, "plugin-killed", 9)

    def test_zz_nothing_is_left(self):
        """Runs last (by name): all jobs are gone, so are their processes and what the driver kept of them."""
        wait_for("no task left", lambda: not self.agent.find_processes(r"^/bin/sh -c"))
        wait_for("no task directory left", lambda: os.listdir(self.state) == [])


def environment(pid):
    with open(f"/proc/{pid}/environ", "rb") as f:
        return f.read().decode(errors="replace")


class DroverPluginsUnderGoPlugin(unittest.TestCase):
    def run_host(self, driver, **env):
        done = subprocess.run([os.path.join(BIN, "host.test"), "-test.v", "-test.timeout=120s"], capture_output=True,
                              text=True, env=dict(os.environ, DROVER_INTEROP_DRIVER=driver, **env))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("--- PASS: TestDriverFromStartToDestroy", done.stdout)

    def test_raw_exec(self):
        self.run_host(os.path.join(PLUGINS, "drover-driver-raw_exec"), DROVER_INTEROP_ENABLE="1")

    def test_exec(self):
        self.run_host(os.path.join(PLUGINS, "drover-driver-exec"))


if __name__ == "__main__":
    BIN = build.build()
    unittest.main(verbosity=2)
