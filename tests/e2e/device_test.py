# SPDX-License-Identifier: Apache-2.0
"""Devices through the whole product: a device plugin's devices are on the node, a job gets one of them, its task is told
which, the API shows their figures; neither the plugin's death nor the agent's touches the task."""
import os
import shutil
import signal
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from drover import BUILD, Agent, job, process_start, task, wait_for  # noqa: E402

MOCK = os.path.join(BUILD, "lib", "drover", "test-plugins", "drover-device-mock")
EXAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "device.nomad.hcl")


class Devices(unittest.TestCase):
    def setUp(self):
        self.agent = Agent()
        self.state = os.path.join(self.agent.dir, "state")
        folder = os.path.join(self.agent.data_dir, "plugins")
        os.makedirs(folder)
        shutil.copy(MOCK, folder)
        self.configure()

    def tearDown(self):
        self.agent.stop()
        self.agent.destroy()

    def configure(self, more=""):
        with open(self.agent.config) as f:
            self.text = getattr(self, "text", None) or f.read()
        with open(self.agent.config, "w") as f:
            f.write(self.text + f"""
plugin "mock" {{
  config {{
    state_file = "{self.state}"
    {more}
    group {{
      name        = "x1"
      ids         = ["d0", "d1"]
      pci_bus_ids = ["0000:03:00.0"]
      texts       = {{ model = "X1" }}
      megabytes   = {{ memory = 4096 }}
    }}
  }}
}}
""")

    def say(self, text):
        with open(self.state + ".new", "w") as f:
            f.write(text)
        os.rename(self.state + ".new", self.state)

    def devices(self):
        node = self.agent.get("/v1/node/" + self.agent.get("/v1/nodes")[0]["ID"])
        return node["NodeResources"]["Devices"] or []

    def health(self):
        return {i["ID"]: i["Healthy"] for group in self.devices() for i in group["Instances"]}

    def ask(self, job_id, count=1, name="mock/gpu/x1", **more):
        asks = task(command="/bin/sh", args=("-c", "echo have $MOCK_DEVICES; exec sleep 3600"),
                    Resources={"CPU": 1, "MemoryMB": 16, "Devices": [dict(Name=name, Count=count, **more)]})
        self.agent.run_job(job(job_id, [asks], RestartPolicy={"Attempts": 0, "Mode": "fail"},
                               ReschedulePolicy={"Attempts": 0, "Unlimited": False}))

    def given(self, alloc):
        full = self.agent.get("/v1/allocation/" + alloc)
        return full["AllocatedResources"]["Tasks"]["t"]["Devices"]

    def output(self, alloc):
        return self.read(self.agent.log_files(alloc, "t")[0])

    @staticmethod
    def read(path):
        with open(path) as f:
            return f.read()

    def test_a_task_gets_its_device(self):
        agent = self.agent.start()
        group = wait_for("the node has them", self.devices)[0]
        self.assertEqual((group["Vendor"], group["Type"], group["Name"]), ("mock", "gpu", "x1"))
        self.assertEqual(group["Attributes"]["memory"]["Int"], 4096)
        self.assertEqual(group["Attributes"]["memory"]["Unit"], "MiB")
        self.assertEqual(group["Instances"][0]["Locality"], {"PciBusID": "0000:03:00.0"})
        self.assertEqual(self.health(), {"d0": True, "d1": True})

        agent.cli("job", "run", "-detach", EXAMPLE)
        first = agent.wait_running("device-example", 1)[0]["ID"]
        mine = agent.get("/v1/allocation/" + first)["AllocatedResources"]["Tasks"]["show"]["Devices"][0]["DeviceIDs"]
        path = wait_for("its log", lambda: agent.log_files(first, "show"))[0]
        wait_for("it was told", lambda: f"devices: {mine[0]}\n" in self.read(path))
        self.ask("second")
        second = agent.wait_running("second", 1)[0]["ID"]
        other = self.given(second)[0]["DeviceIDs"]
        self.assertEqual({mine[0], other[0]}, {"d0", "d1"})
        wait_for("it was told", lambda: self.output(second) == f"have {other[0]}\n")
        self.ask("third")  # there is none left
        wait_for("blocked", lambda: any(e["Status"] == "blocked" for e in agent.get("/v1/job/third/evaluations")))

        host = wait_for("figures", lambda: agent.get("/v1/client/stats")["DeviceStats"])
        self.assertEqual(set(host[0]["InstanceStats"]), {"d0", "d1"})
        self.assertEqual(host[0]["InstanceStats"]["d0"]["Summary"]["IntNumeratorVal"], 256)
        stats = agent.get(f"/v1/client/allocation/{second}/stats")
        self.assertEqual(set(stats["Tasks"]["t"]["ResourceUsage"]["DeviceStats"][0]["InstanceStats"]), set(other))
        self.assertEqual(set(stats["ResourceUsage"]["DeviceStats"][0]["InstanceStats"]), set(other))
        self.assertRegex(agent.cli("plugin", "status", "-type", "device").stdout, r"mock_device +device +healthy")
        agent.delete("/v1/job/device-example")
        agent.wait_running("third", 1)

    def test_deaths_do_not_touch_the_task(self):
        agent = self.agent.start()
        wait_for("devices", lambda: self.health() == {"d0": True, "d1": True})
        self.ask("j", count=2)
        alloc = agent.wait_running("j", 1)[0]["ID"]
        process = agent.find_processes(r"^sleep 3600")[0]
        start = process_start(process)
        plugin = agent.find_processes(r"drover-device-mock")[0]
        os.kill(plugin, signal.SIGKILL)
        wait_for("another one", lambda: [p for p in agent.find_processes(r"drover-device-mock") if p != plugin])
        wait_for("devices", lambda: self.health() == {"d0": True, "d1": True})
        agent.kill9()
        agent.start()
        wait_for("devices", lambda: self.health() == {"d0": True, "d1": True})
        self.assertEqual(process_start(process), start)
        self.assertEqual([a["ID"] for a in agent.wait_running("j", 1)], [alloc])
        wait_for("its figures", lambda: agent.get(f"/v1/client/allocation/{alloc}/stats")["Tasks"]["t"]
                 ["ResourceUsage"]["DeviceStats"])

    def test_sick_devices_and_refusals(self):
        agent = self.agent.start()
        wait_for("devices", lambda: self.health() == {"d0": True, "d1": True})
        self.say("d0 too hot\n")
        wait_for("the node knows", lambda: self.health() == {"d0": False, "d1": True})
        self.ask("one")
        alloc = agent.wait_running("one", 1)[0]["ID"]
        self.assertEqual(self.given(alloc)[0]["DeviceIDs"], ["d1"])
        self.ask("two")
        wait_for("blocked", lambda: any(e["Status"] == "blocked" for e in agent.get("/v1/job/two/evaluations")))
        self.configure('reserve_error = "the driver is too old"')
        self.say("")
        agent.process.send_signal(signal.SIGHUP)
        wait_for("two gets the other and fails", lambda: agent.wait_status("two", "failed"))
        events = agent.allocs("two")[0]["TaskStates"]["t"]["Events"]
        text = " ".join(e["DisplayMessage"] for e in events)
        self.assertIn("failed to reserve device mock/gpu/x1 [d0]: the driver is too old", text)
        self.assertEqual([a["ClientStatus"] for a in agent.allocs("one")], ["running"])


if __name__ == "__main__":
    unittest.main()
