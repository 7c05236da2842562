# SPDX-License-Identifier: Apache-2.0
"""`drover plugin new`: the project that it writes builds against an installed tree, and `drover plugin check` passes on
the result; bad names and directories that exist are refused."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from drover import BUILD, DROVER  # noqa: E402

BUILD_DIR = os.path.abspath(BUILD)


class PluginNew(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="drover-new-")
        cls.prefix = os.path.join(cls.dir, "prefix")
        with open(os.path.join(BUILD_DIR, "CMakeCache.txt")) as f:
            cls.compiler = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", f.read(), re.M).group(1)
        cls.run_ok("cmake", "--install", BUILD_DIR, "--prefix", cls.prefix, "--component", "plugin-sdk")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)

    @classmethod
    def run_ok(cls, *args):
        done = subprocess.run(args, capture_output=True, text=True, cwd=cls.dir)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(args)} exited {done.returncode}\n{done.stdout[-6000:]}{done.stderr[-4000:]}")
        return done.stdout

    def new(self, *args):
        return subprocess.run([os.path.abspath(DROVER), "plugin", "new", *args], capture_output=True, text=True,
                              cwd=self.dir)

    def builds_and_passes(self, kind, name):
        done = self.new(kind, name)
        self.assertEqual(done.returncode, 0, done.stderr)
        project = os.path.join(self.dir, f"drover-{kind}-{name}")
        self.assertEqual(sorted(os.listdir(project)), ["CMakeLists.txt", "check.hcl", "example.nomad.hcl", "main.cpp"])
        out = os.path.join(self.dir, "out-" + kind)
        self.run_ok("cmake", "-S", project, "-B", out, f"-DCMAKE_PREFIX_PATH={self.prefix}",
                    f"-DCMAKE_CXX_COMPILER={self.compiler}", "-DCMAKE_BUILD_TYPE=Debug",
                    f"-DDROVER={os.path.abspath(DROVER)}")
        self.run_ok("cmake", "--build", out)
        report = self.run_ok("ctest", "--test-dir", out, "-V")
        self.assertRegex(report, r"\d+ passed, 0 failed")

    def test_driver(self):
        self.builds_and_passes("driver", "hello-1")

    def test_device(self):
        self.builds_and_passes("device", "thing")

    def test_refusals(self):
        for name in ("", "Hello", "1st", "a/b", "../up", "x" * 49, "a b", "-x"):
            done = self.new("driver", name)
            self.assertEqual(done.returncode, 1, name)
            self.assertIn("name" if not name.startswith("-") else "", done.stderr)
        self.assertEqual(self.new("gadget", "x").returncode, 1)
        os.mkdir(os.path.join(self.dir, "drover-driver-there"))
        done = self.new("driver", "there")
        self.assertEqual(done.returncode, 1)
        self.assertIn("'drover-driver-there' already exists", done.stderr)
        self.assertEqual(os.listdir(os.path.join(self.dir, "drover-driver-there")), [])


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root")
        sys.exit(77)
    unittest.main(verbosity=2)
