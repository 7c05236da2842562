# SPDX-License-Identifier: Apache-2.0
"""`drover alloc exec` as people and scripts use it, with both process drivers: output, exit codes, pipes, terminals,
resizing, refusals; and that nothing of it outlives the session: not when the person's end is lost, not when the task
or the agent ends.
"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from drover import DROVER, Agent, job, task, wait_for  # noqa: E402

DRIVERS = ("raw_exec", "exec")


def rss_kb(pid):
    """None once it has ended."""
    try:
        with open(f"/proc/{pid}/status") as f:
            found = re.search(r"VmRSS:\s+(\d+)", f.read())
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(found.group(1)) if found else None


class Terminal:
    """A CLI on a pseudo-terminal of its own."""

    def __init__(self, agent, *args, size=(24, 80)):
        self.master, slave = pty.openpty()
        self.resize(*size)
        self.cooked = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen([DROVER, *args], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                                        env=dict(agent.env, NOMAD_ADDR=agent.address, TERM="xterm"))
        self.text = ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def until(self, pattern, seconds=15):
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"no {pattern!r} within {seconds} s in {self.text!r}")
            self.text += os.read(self.master, 65536).decode(errors="replace")
        return self.text

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    def close(self):
        code = self.process.wait(15)
        restored = termios.tcgetattr(self.slave) == self.cooked
        os.close(self.slave)
        os.close(self.master)
        return code, restored


class Exec(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.agent = Agent().start()
        try:
            cls.allocs = {}
            for driver in DRIVERS:
                cls.agent.run_job(job(driver, [task("main", driver, "/bin/sleep", ["3600"])]))
                cls.allocs[driver] = cls.agent.wait_running(driver, 1)[0]["ID"]
        except BaseException:
            print(cls.agent.log()[-6000:])
            cls.agent.destroy()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.agent.destroy()

    def running(self, pattern):
        return self.agent.find_processes(pattern)

    def start(self, *args, **more):
        return subprocess.Popen([DROVER, "alloc", "exec", *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env=dict(self.agent.env, NOMAD_ADDR=self.agent.address), **more)

    def test_output_and_exit_code(self):
        for driver, alloc in self.allocs.items():
            done = self.agent.cli("alloc", "exec", alloc, "/bin/echo", "hi")
            self.assertEqual((done.stdout, done.stderr), ("hi\n", ""))
            done = self.agent.cli("exec", "-task", "main", alloc[:8], "/bin/sh", "-c", "echo out; echo err >&2; exit 7",
                                  ok=False)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (7, "out\n", "err\n"))
            # The task's environment is the command's.
            done = self.agent.cli("alloc", "exec", alloc, "/bin/sh", "-c", "echo $NOMAD_TASK_NAME")
            self.assertEqual(done.stdout, "main\n")

    def test_job_and_group(self):
        done = self.agent.cli("alloc", "exec", "-job", "-group", "g", "raw_exec", "/bin/echo", "hi")
        self.assertEqual(done.stdout, "hi\n")

    def test_stdin(self):
        for driver, alloc in self.allocs.items():
            done = self.agent.cli("alloc", "exec", "-i", alloc, "/bin/cat", stdin="hi\nthere")
            self.assertEqual(done.stdout, "hi\nthere")
            # Without -i the command finds the end of its input at once.
            done = self.agent.cli("alloc", "exec", "-i=false", alloc, "/bin/cat", stdin="not read")
            self.assertEqual(done.stdout, "")
            # A command that ends without reading all of its input.
            done = self.agent.cli("alloc", "exec", "-i", alloc, "/bin/sh", "-c", "read x; echo got $x",
                                  stdin="a\n" + "b" * 500_000)
            self.assertEqual(done.stdout, "got a\n")

    def test_terminal(self):
        for driver, alloc in self.allocs.items():
            terminal = Terminal(self.agent, "alloc", "exec", alloc, "/bin/sh", size=(31, 97))
            try:
                # A size arrives some time after the command's start, or after the signal.
                terminal.type("test -t 0 && test -t 1 && "
                              "until [ \"$(stty size)\" = '31 97' ]; do sleep 0.05; done; echo si''zed\n")
                terminal.until(r"sized\r\n")
                self.assertTrue(terminal.is_raw())
                terminal.resize(40, 111)
                terminal.type("until [ \"$(stty size)\" = '40 111' ]; do sleep 0.05; done; echo resi''zed\n")
                terminal.until(r"resized\r\n")
                terminal.type("sleep 1000\n")
                wait_for("sleep runs", lambda: self.running(r"^sleep 1000 $"))
                terminal.type("\x03echo interr''upted; exit 9\n")  # ^C goes to the command there
                terminal.until(r"interrupted\r\n")
            finally:
                if terminal.process.poll() is None and not re.search("interrupted", terminal.text):
                    terminal.process.kill()
            self.assertEqual(terminal.close(), (9, True))

    def test_escape(self):
        alloc = self.allocs["raw_exec"]
        terminal = Terminal(self.agent, "alloc", "exec", alloc, "/bin/sh", "-c", "echo ready; exec sleep 1001")
        terminal.until("ready")
        terminal.type("~.")
        self.assertEqual(terminal.close(), (1, True))
        wait_for("the command gone", lambda: not self.running(r"^sleep 1001 $"))

    def test_terminal_is_put_back_when_the_cli_is_killed(self):
        alloc = self.allocs["raw_exec"]
        for sig in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            terminal = Terminal(self.agent, "alloc", "exec", alloc, "/bin/sh", "-c", "echo ready; exec sleep 1002")
            terminal.until("ready")
            self.assertTrue(terminal.is_raw())
            terminal.process.send_signal(sig)
            self.assertEqual(terminal.close(), (-sig, True))
            wait_for("the command gone", lambda: not self.running(r"^sleep 1002 $"))

    def test_refusals(self):
        alloc = self.allocs["raw_exec"]
        for args, text in (
                ((), "An allocation ID is required\nFor additional help try 'drover alloc exec -help'\n"),
                ((alloc,), "A command is required\nFor additional help try 'drover alloc exec -help'\n"),
                (("-e", "ab", alloc, "x"), "-e requires 'none' or a single character\n"),
                (("-i=false", "-t", alloc, "x"), "-i must be enabled if running with tty\n"),
                (("-task", "nosuch", alloc, "x"),
                 "Failed to validate task: Could not find task named: nosuch, found:\nmain\n")):
            done = self.agent.cli("alloc", "exec", *args, ok=False)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (1, "", text))

    def test_missing_command(self):
        for driver, alloc in self.allocs.items():
            done = self.agent.cli("alloc", "exec", alloc, "/nosuch", ok=False)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertRegex(done.stderr,
                             r"^failed to exec into task: rpc error: code = [A-Z][A-Za-z]+ desc = .*/nosuch.*[Nn]o such file")

    def test_ended_task(self):
        self.agent.run_job(job("over", [task("t", "raw_exec", "/bin/true", [])], kind="batch"))
        alloc = self.agent.wait_status("over", "complete")[0]["ID"]
        done = self.agent.cli("alloc", "exec", alloc, "/bin/echo", "hi", ok=False)
        self.assertEqual((done.returncode, done.stderr), (1, 'failed to exec into task: task "t" is not running.\n'))

    def test_lost_connection_ends_the_command(self):
        for driver, alloc in self.allocs.items():
            cli = self.start("-i", alloc, "/bin/sh", "-c", "echo ready; exec sleep 1003")
            self.assertEqual(cli.stdout.readline(), b"ready\n")
            self.assertTrue(self.running(r"^sleep 1003 $"))
            cli.kill()
            cli.communicate()
            wait_for("the command gone", lambda: not self.running(r"^sleep 1003 $"))

    def test_lost_connection_while_the_command_takes_no_input(self):
        cli = self.start("-i", self.allocs["raw_exec"], "/bin/sh", "-c", "echo ready; exec sleep 1004")
        self.assertEqual(cli.stdout.readline(), b"ready\n")
        os.set_blocking(cli.stdin.fileno(), False)

        # As long as something is taken the buffers on the way are not full.
        wait_for("every buffer on the way full",
                 lambda: cli.stdin.raw.write(b"x" * 65536) is None and not select.select([], [cli.stdin], [], 1)[1], every=0)
        cli.kill()
        cli.stdin.detach()
        cli.wait()
        wait_for("the command gone", lambda: not self.running(r"^sleep 1004 $"))

    def test_large_output_needs_no_memory(self):
        """100 MB of output. Agent, plugin and CLI stay as small as they were."""
        for driver in DRIVERS:
            with self.subTest(driver=driver):
                plugin, = self.agent.find_processes(rf"drover-driver-{driver}( |$)")
                cli = self.start(self.allocs[driver], "/bin/sh", "-c",
                                 "head -c 1000000 /dev/zero; sleep 0.2; head -c 104857600 /dev/zero")
                cli.stdin.close()
                total, before, grown = 0, None, 0
                while piece := os.read(cli.stdout.fileno(), 1 << 20):
                    total += len(piece)
                    if total < 1000000:
                        continue
                    now = {pid: size for pid in (self.agent.process.pid, plugin, cli.pid)
                           if (size := rss_kb(pid)) is not None}
                    before = before or now
                    grown = max([grown] + [now[p] - before.get(p, now[p]) for p in now])
                cli.stdout.close()
                self.assertEqual((cli.wait(), total), (0, 1000000 + 104857600), cli.stderr.read())
                cli.stderr.close()
                self.assertLess(grown, 16 * 1024, "KiB grown by one of agent, plugin, CLI")

    def test_slow_reader_holds_the_command(self):
        """Who does not read stops the command: nothing is buffered without bound."""
        cli = self.start(self.allocs["raw_exec"], "/bin/sh", "-c",
                         "i=0; while [ $i -lt 20000 ]; do echo $i >&2; head -c 10000 /dev/zero; i=$((i+1)); done")
        cli.stdin.close()
        cli.stdin = None
        time_limit = time.monotonic() + 20
        last, same = -1, 0
        while same < 5 and time.monotonic() < time_limit:
            now = rss_kb(self.agent.process.pid)
            same = same + 1 if abs(now - last) < 256 else 0
            last = now
            select.select([], [], [], 0.2)
        self.assertIsNone(cli.poll(), "200 MB went somewhere")
        self.assertEqual(same, 5, "the agent keeps growing")
        cli.kill()
        cli.communicate()

    def test_z_task_ends(self):
        self.agent.run_job(job("short", [task("t", "raw_exec", "/bin/sleep", ["3600"])]))
        alloc = self.agent.wait_running("short", 1)[0]["ID"]
        cli = self.start("-i", alloc, "/bin/sh", "-c", "echo ready; exec sleep 1005")
        self.assertEqual(cli.stdout.readline(), b"ready\n")
        self.agent.delete("/v1/job/short?purge=true")
        cli.wait(30)
        cli.communicate()
        wait_for("the command gone", lambda: not self.running(r"^sleep 1005 $"))

    def test_zz_agent_restart(self):
        for how in (self.agent.kill9, self.agent.stop):
            cli = self.start("-i", self.allocs["exec"], "/bin/sh", "-c", "echo ready; exec sleep 1006")
            self.assertEqual(cli.stdout.readline(), b"ready\n")
            how()
            self.assertEqual(cli.wait(15), 1)
            self.assertRegex(cli.communicate()[1].decode(), "^failed to exec into task: the connection was lost")
            wait_for("the command gone", lambda: not self.running(r"^sleep 1006 $"))
            self.agent.start()
            wait_for("the task is back", lambda: self.agent.get(
                f"/v1/allocation/{self.allocs['exec']}")["ClientStatus"] == "running")
            done = self.agent.cli("alloc", "exec", self.allocs["exec"], "/bin/echo", "again")
            self.assertEqual(done.stdout, "again\n")


class Forwarded(unittest.TestCase):
    def test_through_a_server(self):
        """The agent that is asked has no client: the session goes through it to the node's own."""
        server = Agent(client=False)
        node = None
        try:
            server.start(ready=False)
            wait_for("leader", lambda: server.get("/v1/status/leader"))
            node = Agent(server=False, servers=[f"127.0.0.1:{server.rpc}"])
            node.start()
            server.run_job(job("far", [task("t", "raw_exec", "/bin/sleep", ["3600"])]))
            alloc = server.wait_running("far", 1)[0]["ID"]
            done = server.cli("alloc", "exec", "-i", alloc, "/bin/sh", "-c", "cat; exit 5", stdin="x" * 300_000,
                              ok=False)
            self.assertEqual((done.returncode, len(done.stdout), done.stderr), (5, 300_000, ""))
            done = server.cli("alloc", "exec", alloc, "/nosuch", ok=False)
            self.assertRegex(done.stderr, r"^failed to exec into task: rpc error: code = \w+ desc = .*/nosuch")
            cli = subprocess.Popen([DROVER, "alloc", "exec", "-i", alloc, "/bin/sh", "-c",
                                    "echo ready; exec sleep 1007"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   env=dict(server.env, NOMAD_ADDR=server.address))
            self.assertEqual(cli.stdout.readline(), b"ready\n")
            cli.kill()
            cli.communicate()
            wait_for("the command gone", lambda: not node.find_processes(r"^sleep 1007 $"))
        finally:
            for agent in (node, server):
                if agent:
                    agent.destroy()


if __name__ == "__main__":
    unittest.main(verbosity=2)
