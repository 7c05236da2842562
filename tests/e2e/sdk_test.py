# SPDX-License-Identifier: Apache-2.0
"""The plugin SDK as an author has it: installed somewhere, found by find_package, the example plugins built outside of
the tree with it, run under a host that is not drover, and then by a real agent."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))
import build as interop_build  # noqa: E402
from drover import BUILD, Agent, job, task, wait_for  # noqa: E402

SOURCE = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD_DIR = os.path.abspath(BUILD)


def cache(name):
    with open(os.path.join(BUILD_DIR, "CMakeCache.txt")) as f:
        return re.search(rf"^{name}:\w+=(.*)$", f.read(), re.M).group(1)


class Sdk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="drover-sdk-")
        cls.prefix = os.path.join(cls.dir, "prefix")
        cls.out = os.path.join(cls.dir, "out")
        cls.run_ok(cls, "cmake", "--install", BUILD_DIR, "--prefix", cls.prefix, "--component", "plugin-sdk")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)

    def run_ok(self, *args, env=None):
        done = subprocess.run(args, capture_output=True, text=True, env=dict(os.environ, **(env or {})))
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(args)} exited {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-6000:]}")
        return done.stdout

    def headers(self):
        for folder, _, names in os.walk(os.path.join(self.prefix, "include")):
            for name in names:
                yield os.path.relpath(os.path.join(folder, name), os.path.join(self.prefix, "include"))

    def test_1_headers(self):
        names = sorted(self.headers())
        self.assertIn("drover/driver.h", names)
        self.assertIn("drover/device.h", names)
        self.assertEqual([n for n in names if not n.startswith("drover/")], [])
        for name in names:
            with open(os.path.join(self.prefix, "include", name)) as f:
                text = f.read()
            for include in re.findall(r'^#include ["<]([^">]+)', text, re.M):
                self.assertNotRegex(include, r"pb\.h|grpc|google/|spdlog|asio|boost", name)
            for include in re.findall(r'^#include "([^"]+)"', text, re.M):
                self.assertIn(include, names, f"{name} includes what is not installed")
        # Each by itself, and none that needs another before it.
        each = os.path.join(self.dir, "each.cpp")
        for name in names:
            with open(each, "w") as f:
                f.write(f'#include "{name}"\n#include "{name}"\n')
            self.run_ok(cache("CMAKE_CXX_COMPILER"), "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
                        "-I", os.path.join(self.prefix, "include"), each)

    def test_2_examples_build_outside(self):
        copy = os.path.join(self.dir, "project")  # nothing of the tree is near
        shutil.copytree(os.path.join(SOURCE, "examples", "plugins"), copy)
        self.run_ok("cmake", "-S", copy, "-B", self.out, f"-DCMAKE_PREFIX_PATH={self.prefix}",
                    f"-DCMAKE_CXX_COMPILER={cache('CMAKE_CXX_COMPILER')}", "-DCMAKE_BUILD_TYPE=Debug")
        self.run_ok("cmake", "--build", self.out, "-j2")
        for name, most in (("script_driver.cpp", 150), ("slots_device.cpp", 120)):
            with open(os.path.join(copy, name)) as f:
                self.assertLess(f.read().count("\n"), most, name)

    def test_3_under_another_host(self):
        self.run_ok(os.path.join(BUILD_DIR, "tests", "conformance", "example_plugins_test"),
                    env={"DROVER_EXAMPLES": self.out})

    def test_4_under_an_agent(self):
        plugins = os.path.join(self.dir, "plugins")
        os.mkdir(plugins)
        for name in ("drover-driver-script", "drover-device-slots"):
            shutil.copy(os.path.join(self.out, name), plugins)
        extra = f'''
plugin_dir = "{plugins}"
plugin "drover-driver-script" {{ config {{ shells = ["/bin/sh"] }} }}
'''
        with Agent(extra) as agent:
            wait_for("the driver", lambda: agent.driver_healthy(agent.get("/v1/nodes")[0], "script"))
            agent.run_job(job("s", [task("t", driver="script", Config={
                "script": "trap 'echo over; exit 0' TERM; echo I am $$; while :; do sleep 0.05; done"},
                KillSignal="SIGTERM")]))
            alloc = agent.wait_running("s", 1)[0]
            text = wait_for("a line", lambda: self.log_of(agent, alloc["ID"]))
            pid = int(re.search(r"I am (\d+)", text).group(1))
            # The plugin dies, then the agent: the task does not notice.
            os.kill(agent.find_processes("drover-driver-script")[0], signal.SIGKILL)
            wait_for("the plugin again", lambda: agent.find_processes("drover-driver-script"))
            wait_for("the driver", lambda: agent.driver_healthy(agent.get("/v1/nodes")[0], "script"))
            agent.kill9()
            agent.start()
            alloc = agent.wait_running("s", 1)[0]
            os.kill(pid, 0)
            states = agent.get(f"/v1/allocation/{alloc['ID']}")["TaskStates"]["t"]
            self.assertEqual(states["Restarts"], 0)
            agent.delete("/v1/job/s")
            agent.wait_status("s", "complete")
            self.assertIn("over", wait_for("the last line", lambda: self.log_of(agent, alloc["ID"])))
            wait_for("no process", lambda: not os.path.exists(f"/proc/{pid}"))

    def test_5_under_go_plugin(self):
        """A host in Go that plays Nomad: tests/interop/host."""
        try:
            go_host = os.path.join(interop_build.build(), "host.test")
        except SystemExit as skipped:
            if skipped.code != 77:
                raise
            self.skipTest("there is no Go on this machine")
        device = json.dumps({"kind": [{"type": "null", "paths": ["/dev/null"], "attributes": {"depth": "endless"}}]})
        done = self.run_ok(go_host, "-test.v", "-test.timeout=120s", env={
            "DROVER_INTEROP_DRIVER": os.path.join(self.out, "drover-driver-script"), "DROVER_INTEROP_TASK": "script",
            "DROVER_INTEROP_DEVICE": os.path.join(self.out, "drover-device-slots"),
            "DROVER_INTEROP_DEVICE_CONFIG": device})
        for name in ("DriverFromStartToDestroy", "DriverRecoversAndStops", "HostReattaches", "Device"):
            self.assertIn(f"--- PASS: Test{name}", done)

    @staticmethod
    def log_of(agent, alloc_id):
        text = ""
        for path in agent.log_files(alloc_id, "t"):
            with open(path) as f:
                text += f.read()
        return text


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root")
        sys.exit(77)
    unittest.main(verbosity=2)
