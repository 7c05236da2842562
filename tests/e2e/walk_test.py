# SPDX-License-Identifier: Apache-2.0
"""The walk of a newcomer, command by command: init, plan, run, status, alloc, logs, scale up, stop. The example job of
`job init -short` runs for real."""
import json
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from drover import Agent, wait_for  # noqa: E402


class Walk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.agent = Agent(dev=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.agent.stop()
        cls.agent.destroy()

    def cli(self, *args, **kw):
        return self.agent.cli(*args, **kw)

    def test_1_init_and_validate(self):
        folder = self.agent.dir
        import subprocess
        from drover import DROVER
        made = subprocess.run([DROVER, "job", "init", "-short"], cwd=folder, capture_output=True, text=True)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertIn("Example job file written to example.nomad.hcl", made.stdout)
        again = subprocess.run([DROVER, "job", "init", "-short"], cwd=folder, capture_output=True, text=True)
        self.assertEqual(again.returncode, 1)
        self.assertIn("already exists", again.stdout + again.stderr)
        type(self).file = os.path.join(folder, "example.nomad.hcl")
        self.assertIn("Job validation successful", self.cli("job", "validate", self.file).stdout)

    def test_2_plan_of_a_new_job(self):
        plan = self.cli("job", "plan", self.file, ok=False)
        self.assertEqual(plan.returncode, 1, plan.stdout + plan.stderr)
        self.assertRegex(plan.stdout, r'\+ Job: "example"')
        self.assertIn("All tasks successfully allocated.", plan.stdout)
        self.assertIn("Job Modify Index: 0", plan.stdout)

    def test_3_run(self):
        run = self.cli("job", "run", self.file)
        self.assertRegex(run.stdout, r"==> .*Monitoring evaluation \"[0-9a-f]{8}\"")
        self.assertRegex(run.stdout, r"Evaluation triggered by job \"example\"")
        self.assertRegex(run.stdout, r"Allocation \"[0-9a-f]{8}\" created: node \"[0-9a-f]{8}\"")
        self.assertRegex(run.stdout, r"finished with status \"complete\"")
        type(self).alloc = self.agent.wait_running("example", 1)[0]

    def test_4_status(self):
        status = self.cli("job", "status", "example").stdout
        self.assertRegex(status, r"(?m)^ID +\s*= example$")
        self.assertRegex(status, r"(?m)^Status +\s*= running$")
        self.assertRegex(status, r"(?m)^Task Group  Queued  Starting  Running  Failed  Complete  Lost  Unknown$")
        self.assertIn(self.alloc["ID"][:8], status)
        self.assertIn("example", self.cli("status").stdout)
        self.assertIn("= complete", self.cli("eval", "status", self.alloc["EvalID"][:8]).stdout)

    def test_5_alloc_status_logs_fs(self):
        short = self.alloc["ID"][:8]
        status = self.cli("alloc", "status", short).stdout
        self.assertRegex(status, r"(?m)^Client Status +\s*= running$")
        self.assertIn("Started     Task started by client", status)
        group = self.alloc["TaskGroup"]
        task_name = list(self.alloc["TaskStates"])[0]
        wait_for("a log line", lambda: self.cli("alloc", "logs", short, task_name).stdout)
        listing = self.cli("alloc", "fs", short).stdout
        self.assertRegex(listing, r"(?m)^d[rwxtT-]{9} .* alloc/$")
        self.assertRegex(listing, rf"(?m) {task_name}/$")
        logs = self.cli("alloc", "fs", short, "alloc/logs").stdout
        self.assertIn(f"{task_name}.stdout.0", logs)
        self.assertTrue(group)

    def test_6_count_three(self):
        text = open(self.file).read()
        self.assertNotIn("count", re.sub(r"#.*", "", text))
        with open(self.file, "w") as f:
            f.write(re.sub(r'(group "[^"]+" \{\n)', r"\1    count = 3\n", text, count=1))
        plan = self.cli("job", "plan", self.file, ok=False)
        self.assertEqual(plan.returncode, 1)
        self.assertRegex(plan.stdout, r'\+/- Job: "example"')
        self.assertRegex(plan.stdout, r"2 create")
        index = re.search(r"Job Modify Index: (\d+)", plan.stdout).group(1)
        wrong = self.cli("job", "run", "-check-index", str(int(index) + 1000), self.file, ok=False)
        self.assertEqual(wrong.returncode, 1)
        self.cli("job", "run", "-check-index", index, self.file)
        live = self.agent.wait_running("example", 3)
        self.assertIn(self.alloc["ID"], [a["ID"] for a in live], "the running allocation was replaced")

    def test_7_node(self):
        nodes = self.cli("node", "status").stdout
        self.assertRegex(nodes, r"(?m)^ID +Node Pool +DC +Name +Class +Drain +Eligibility +Status$")
        self.assertIn("ready", nodes)
        one = self.cli("node", "status", "-self").stdout
        self.assertIn("Allocated Resources", one)
        info = self.cli("agent-info").stdout
        self.assertRegex(info, r"(?m)^client$")
        self.assertRegex(info, r"(?m)^  node_id = [0-9a-f-]{36}$")

    def test_8_output_and_inspect(self):
        out = json.loads(self.cli("job", "run", "-output", self.file).stdout)
        self.assertEqual(out["Job"]["ID"], "example")
        inspected = json.loads(self.cli("job", "inspect", "example").stdout)
        self.assertEqual(inspected["Job"]["TaskGroups"][0]["Count"], 3)

    def test_9_stop(self):
        stop = self.cli("job", "stop", "example")
        self.assertIn("finished with status \"complete\"", stop.stdout)
        wait_for("all stopped", lambda: not [a for a in self.agent.allocs("example")
                                             if a["ClientStatus"] in ("running", "pending")])
        self.assertIn("dead (stopped)", self.cli("job", "status", "example").stdout)
        self.cli("job", "stop", "-purge", "example")
        gone = self.cli("job", "status", "example", ok=False)
        self.assertEqual(gone.returncode, 1)
        self.assertIn('No job(s) with prefix or ID "example" found', gone.stdout + gone.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2, failfast=True)
