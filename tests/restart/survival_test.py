# SPDX-License-Identifier: Apache-2.0
"""The survival contract: 50 tasks run (half raw_exec, half exec) and write numbered lines; one more writes at full speed.
Then things are killed. After each: the same task pids, no restart, no event, every line once and in order; tasks that
ended while nobody watched are reported truthfully; at the end nothing is left.
"""
import os
import random
import re
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from drover import Agent, Failure, job, process_start, task, wait_for  # noqa: E402

TASKS_EACH = 25
# One line per 10 ms. On USR1: a last line and exit code 7; on USR2 die of SIGKILL.
WRITER = r"""
$| = 1; my $i = 0; my $end = 0;
$SIG{USR1} = sub { $end = 1 };
while (1) { print "line $i\n"; $i++; if ($end) { print "last $i\n"; exit 7 } select(undef, undef, undef, 0.01) }
"""
# As fast as the pipe takes it: 100-byte lines.
FLOOD = r"""
my $i = 0; my $pad = "x" x 84;
while (1) { my $out = ""; for (1..500) { $out .= sprintf("%014d %s\n", $i, $pad); $i++ } syswrite(STDOUT, $out) }
"""


def writer_job(job_id, driver):
    t = task("w", driver, "/usr/bin/perl", ["-e", WRITER])
    return job(job_id, [t], count=TASKS_EACH,
               RestartPolicy={"Attempts": 0, "Mode": "fail", "Interval": 60 * 10**9, "Delay": 10**9},
               ReschedulePolicy={"Attempts": 0, "Unlimited": False})


def read(path):
    with open(path, "rb") as f:
        return f.read()


class Survival(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.agent = Agent().start()
        try:
            cls.agent.run_job(writer_job("raw", "raw_exec"))
            cls.agent.run_job(writer_job("iso", "exec"))
            cls.agent.run_job(job("flood", [task("f", "raw_exec", "/usr/bin/perl", ["-e", FLOOD],
                                                 LogConfig={"MaxFiles": 5, "MaxFileSizeMB": 1})]))
            cls.allocs = (cls.agent.wait_running("raw", TASKS_EACH, 60) + cls.agent.wait_running("iso", TASKS_EACH, 60))
            cls.flood = cls.agent.wait_running("flood", 1)[0]
        except BaseException:
            print(cls.agent.log()[-6000:])
            cls.agent.destroy()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.agent.destroy()

    # -- what must not change ------------------------------------------------------------------------------------------

    def pids(self):
        """(pid, start time) of each writer's process, found by its command line: what a restart would change."""
        found = set()
        for pid in self.agent.processes():
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    argv = f.read().split(b"\0")
            except OSError:
                continue
            if argv and argv[0].endswith(b"perl"):
                found.add((pid, process_start(pid)))
        return found

    def line_counts(self):
        return {a["ID"]: self.read_lines(a)[-1] for a in self.allocs}

    def read_lines(self, alloc):
        """All numbered lines of a writer, checked to be 0..n exactly once and in order."""
        text = b""
        for path in self.agent.log_files(alloc["ID"], "w"):
            with open(path, "rb") as f:
                text += f.read()
        lines = text.split(b"\n")[:-1]  # the last one may still be growing
        for i, line in enumerate(lines):
            if line != b"line %d" % i:
                raise Failure(f"{alloc['ID']} {self.agent.log_files(alloc['ID'], 'w')}: line {i} is {line!r}, "
                              f"after {lines[max(0, i - 2):i]!r}")
        return list(range(len(lines)))

    def check_flood(self):
        """The retained files of the flood hold consecutive numbers across their borders."""
        for _ in range(20):
            before = self.agent.log_files(self.flood["ID"], "f")
            try:
                text = b"".join(read(path) for path in before)
            except FileNotFoundError:
                continue  # rotated away while we read
            if self.agent.log_files(self.flood["ID"], "f") == before:
                break
        else:
            raise Failure("the flood rotates faster than it can be read")
        lines = text.split(b"\n")[:-1]
        first = int(lines[0][:14])
        for i, line in enumerate(lines):
            if int(line[:14]) != first + i or len(line) != 99:
                raise Failure(f"flood: after {first + i - 1} comes {line!r}")
        return first + len(lines)

    def check_all_well(self, pids):
        agent = self.agent
        for a in self.allocs + [self.flood]:
            def reported(alloc_id=a["ID"]):
                alloc = agent.get(f"/v1/allocation/{alloc_id}")
                return alloc if alloc["ClientStatus"] == "running" else None
            alloc = wait_for(f"allocation {a['ID']} running", reported)
            for name, state in alloc["TaskStates"].items():
                self.assertEqual(state["State"], "running", name)
                self.assertEqual(state["Restarts"], 0)
                self.assertEqual([e["Type"] for e in state["Events"]],
                                 ["Received", "Task Setup", "Started"], f"{a['ID']}: events")
        self.assertEqual(self.pids(), pids, "task pids changed")

        before = self.line_counts()
        flood = self.check_flood()

        def all_advanced():
            return all(len(self.read_lines(a)) > before[a["ID"]] + 5 for a in self.allocs)
        wait_for("every writer's log grows again", all_advanced, 20, every=0.1)
        wait_for("the flood goes on", lambda: self.check_flood() > flood, 20, every=0.1)

    def kill(self, pattern):
        """kill -9 of this agent's processes that match; waits until they are gone."""
        victims = [(pid, process_start(pid)) for pid in self.agent.find_processes(pattern)]
        self.assertTrue(victims, f"nothing matches {pattern}")
        for pid, _ in victims:
            os.kill(pid, signal.SIGKILL)
        for pid, start in victims:
            wait_for(f"{pid} gone", lambda: process_start(pid) != start or self.is_zombie(pid))
        return victims

    @staticmethod
    def is_zombie(pid):
        try:
            with open(f"/proc/{pid}/stat") as f:
                return f.read().rsplit(")", 1)[1].split()[0] == "Z"
        except FileNotFoundError:
            return True

    # -- the kills -----------------------------------------------------------------------------------------------------

    def test_01_agent(self):
        for _ in range(3):
            pids = self.pids()
            self.agent.kill9()
            self.agent.start()
            self.check_all_well(pids)

    def test_02_each_plugin(self):
        for name in ("raw_exec", "exec"):
            pids = self.pids()
            self.kill(rf"drover-driver-{name}( |$)")
            self.check_all_well(pids)

    def test_03_logd_worker(self):
        pids = self.pids()
        for _ in range(5):
            self.kill(r"drover-logd.*worker")
            wait_for("a new worker", lambda: self.agent.find_processes(r"drover-logd.*worker"))
        self.check_all_well(pids)

    def test_04_logd_keeper(self):
        pids = self.pids()
        self.kill(r"drover-logd.*keeper")
        wait_for("a new keeper", lambda: self.agent.find_processes(r"drover-logd.*keeper"))
        self.check_all_well(pids)

    def test_05_agent_and_worker(self):
        pids = self.pids()
        self.agent.kill9()
        self.kill(r"drover-logd.*worker")
        wait_for("a new worker while the agent is dead", lambda: self.agent.find_processes(r"drover-logd.*worker"))
        self.agent.start()
        self.check_all_well(pids)

    def test_06_agent_and_plugins(self):
        pids = self.pids()
        self.agent.kill9()
        self.kill(r"drover-driver-")
        self.agent.start()
        self.check_all_well(pids)

    def test_07_shims(self):
        pids = self.pids()
        shims = self.agent.find_processes(r"shim")
        self.assertGreaterEqual(len(shims), 2 * TASKS_EACH)
        for pid in random.Random(7).sample(shims, 5):
            os.kill(pid, signal.SIGKILL)
        self.check_all_well(pids)

    def test_08_orderly(self):
        pids = self.pids()
        self.agent.stop(signal.SIGTERM)
        self.assertEqual(self.pids(), pids, "an orderly stop touched tasks")
        self.agent.start()
        self.check_all_well(pids)

    def test_09_ended_while_away(self):
        """A task that exits, one that dies of a signal, both while the agent is dead: codes, and the last line."""
        ended, died = self.allocs[0], self.allocs[TASKS_EACH]
        by_alloc = {}
        for pid, _ in self.pids():
            try:
                with open(f"/proc/{pid}/environ", "rb") as f:
                    m = re.search(rb"NOMAD_ALLOC_ID=([0-9a-f-]+)", f.read())
            except OSError:
                continue
            if m:
                by_alloc[m.group(1).decode()] = pid
        self.agent.kill9()
        os.kill(by_alloc[ended["ID"]], signal.SIGUSR1)
        os.kill(by_alloc[died["ID"]], signal.SIGKILL)
        for a in (ended, died):
            wait_for("gone", lambda: process_start(by_alloc[a["ID"]]) is None or self.is_zombie(by_alloc[a["ID"]]))
        self.agent.start()
        for a, code, sig in ((ended, 7, 0), (died, 137, 9)):
            alloc = wait_for("failed", lambda: (x := self.agent.get(f"/v1/allocation/{a['ID']}"))
                             and x["ClientStatus"] == "failed" and x)
            events = alloc["TaskStates"]["w"]["Events"]
            terminated = [e for e in events if e["Type"] == "Terminated"]
            self.assertEqual(len(terminated), 1, events)
            self.assertEqual((terminated[0]["ExitCode"], terminated[0]["Signal"]), (code, sig))
        text = read(self.agent.log_files(ended["ID"], "w")[-1])
        self.assertRegex(text, rb"line \d+\nlast \d+\n$")
        type(self).allocs = [a for a in self.allocs if a not in (ended, died)]

    def test_99_nothing_left(self):
        for name in ("raw", "iso", "flood"):
            self.agent.delete(f"/v1/job/{name}?purge=true")
        wait_for("tasks stopped", lambda: not self.pids(), 30)

        def clean():
            self.agent.put("/v1/system/gc")  # again and again: it takes what has ended by then
            allocs = os.path.join(self.agent.data_dir, "alloc")
            tasks = os.path.join(self.agent.data_dir, "client", "tasks")
            left = os.listdir(allocs) + [n for n in os.listdir(tasks) if not n.startswith(".")]
            left += self.agent.find_processes(r"shim")
            left += [c for c in self.agent.cgroups() if re.search(r"[0-9a-f]{8}-", os.path.basename(c))]
            left += self.agent.mounts()
            return None if left else "clean"
        try:
            wait_for("no directory, process, cgroup or mount of a task", clean, 30, every=0.2)
        except Failure:
            raise Failure("left: " + "\n".join(map(str, [
                os.listdir(os.path.join(self.agent.data_dir, "alloc")),
                os.listdir(os.path.join(self.agent.data_dir, "client", "tasks")),
                self.agent.find_processes("shim"), self.agent.cgroups(), self.agent.mounts()]))) from None


if __name__ == "__main__":
    unittest.main(verbosity=2, failfast=True)
