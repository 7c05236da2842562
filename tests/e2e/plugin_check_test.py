# SPDX-License-Identifier: Apache-2.0
"""`drover plugin check` as an author meets it: the report, -json, exit codes, a configuration file and its errors, and
an interruption that leaves nothing behind. What the checks themselves find is tests/conformance/suite_test.cpp."""
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from drover import DROVER, wait_for  # noqa: E402

BUILD = os.environ.get("DROVER_BUILD_DIR", "build/dev")
MOCK = os.path.join(BUILD, "lib/drover/test-plugins/drover-driver-mock")
RAW_EXEC = os.path.join(BUILD, "lib/drover/plugins/drover-driver-raw_exec")


def check(*args):
    return subprocess.run([DROVER, "plugin", "check", *args], capture_output=True, text=True, timeout=120)


class PluginCheck(unittest.TestCase):
    def config(self, text):
        file = tempfile.NamedTemporaryFile("w", suffix=".hcl")
        self.addCleanup(file.close)
        file.write(text)
        file.flush()
        return file.name

    def test_report_and_exit_code_of_a_good_plugin(self):
        done = check("-run", "handshake/", MOCK)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"(?m)^pass  handshake/line +\d+ ms  after \d+ ms$")
        self.assertIn("4 passed, 0 failed, 0 skipped", done.stdout)
        self.assertNotIn("\033", done.stdout)

    def test_json_of_a_bad_plugin(self):
        config = self.config('plugin { faults = ["destroys_running"] }\n')
        done = check("-json", "-run", "driver/", "-config", config, MOCK)
        self.assertEqual(done.returncode, 1, done.stderr)
        report = json.loads(done.stdout)
        self.assertEqual(report["Plugin"], {"Name": "mock_driver", "Version": "0.1.0", "Type": "driver"})
        self.assertIs(report["Passed"], False)
        failed = {c["Name"]: c["Detail"] for c in report["Checks"] if c["Result"] == "fail"}
        self.assertEqual(list(failed), ["driver/destroy-running"])
        self.assertIn("expected an error, found OK", failed["driver/destroy-running"])

    def test_tasks_of_a_configuration_file(self):
        config = self.config("""
            plugin { enabled = true }
            task "running" {
              config {
                command = "/bin/sleep"
                args    = ["1000"]
              }
            }
            task "ending" {
              config {
                command = "/bin/sh"
                args    = ["-c", "id -un; exit 9"]
              }
              exit_code = 9
              stdout    = "nobody"
              user      = "nobody"
            }
            exec {
              command = ["/bin/echo", "hello"]
              stdout  = "hello"
            }""")
        done = check("-json", "-config", config, "-run", "exec", RAW_EXEC)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        done = check("-json", "-config", config, "-run", "exit-code", RAW_EXEC)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        names = [c["Name"] for c in json.loads(done.stdout)["Checks"]]
        self.assertEqual(names, ["driver/exit-code", "recover/exit-code"])

    def test_errors_name_the_place(self):
        for text, says in (('task "other" {\n  config {}\n}\n', 'found "other"'),
                           ('task "running" {\n  config {}\n}\n', "found one"),
                           ("exec {\n  command = []\n}\n", "a program and its arguments"),
                           ("plugin {\n", ".hcl:")):
            done = check("-config", self.config(text), MOCK)
            self.assertEqual(done.returncode, 1)
            self.assertIn(says, done.stderr)
            self.assertIn("Error reading the configuration: ", done.stderr)
        done = check("-run", "base/", "-config", self.config("plugin {\n  enabeld = true\n}\n"), RAW_EXEC)
        self.assertEqual(done.returncode, 1)
        self.assertIn("enabeld", done.stdout)
        done = check("/no/such/plugin")
        self.assertEqual(done.returncode, 1)
        self.assertIn("Error checking the plugin: /no/such/plugin: No such file or directory", done.stderr)

    def test_an_interruption_cleans_up(self):
        before = set(glob.glob("/tmp/drover-check-*"))
        # A plugin that takes its time to start the task: the worst moment.
        config = self.config("""
            task "running" {
              config {
                run_for         = "1h"
                start_block_for = "3s"
              }
            }
            task "ending" {
              config {}
            }""")
        run = subprocess.Popen([DROVER, "plugin", "check", "-config", config, "-run", "leaks/", MOCK],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        def starting():
            mine = set(glob.glob("/tmp/drover-check-*")) - before
            return [fifo for d in mine for fifo in glob.glob(f"{d}/alloc/alloc/logs/.check.*")]
        wait_for("a task that starts", starting)
        with open(f"/proc/{run.pid}/task/{run.pid}/children") as f:
            children = f.read().split()
        self.assertTrue(children)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
        self.assertEqual(run.returncode, 1, out + err)
        self.assertIn("Interrupted", err)
        for pid in children:
            self.assertFalse(os.path.exists(f"/proc/{pid}"), pid)
        self.assertEqual(set(glob.glob("/tmp/drover-check-*")) - before, set())


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root")
        sys.exit(77)
    unittest.main(verbosity=2)
