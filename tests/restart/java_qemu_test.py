# SPDX-License-Identifier: Apache-2.0
"""A JVM and a virtual machine run under the real agent and write numbered lines; agent and plugins are killed with -9.
The same pids, no restart, no event, every line once and in order, and at the end the true exit code; then the example
jobs of both drivers, and nothing is left.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import driver_guest  # noqa: E402
import guest  # noqa: E402
from drover import BUILD, Agent, Failure, free_ports, job, process_start, task, wait_for  # noqa: E402

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples")
JAVA = """
import java.nio.file.*;
public class Main {
    public static void main(String[] args) throws Exception {
        for (int i = 0; !Files.exists(Path.of("/alloc/data/go")); i++) { System.out.println("line " + i); Thread.sleep(10); }
        System.out.println("last");
        System.exit(7);
    }
}
"""
# The guest's shell listens for the word to end.
GUEST = """
nc -ll -p 7 -e sh & i=0
while :; do echo line $i; i=$((i+1)); usleep 20000; done
"""
BOOT_SECONDS = 120
NO_RESTART = {"RestartPolicy": {"Attempts": 0, "Mode": "fail", "Interval": 60 * 10**9, "Delay": 10**9},
              "ReschedulePolicy": {"Attempts": 0, "Unlimited": False}}


class JavaAndQemu(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            cls.kernel, cls.initrd = driver_guest.make(os.path.join(BUILD, "driver-guest"))
            if not shutil.which("javac"):
                raise guest.Missing("javac (package openjdk-17-jdk-headless)")
        except guest.Missing as reason:
            if os.environ.get("CI") == "true":
                raise
            print(f"skipped: {reason}")
            sys.exit(77)
        cls.sockets_before = cls.sockets()
        images = os.path.dirname(cls.kernel)
        cls.agent = Agent(extra=f'plugin "qemu" {{\n  config {{\n    image_paths = ["{images}"]\n  }}\n}}\n').start()
        try:
            wait_for("both drivers healthy", lambda: all(
                cls.agent.driver_healthy(cls.agent.get("/v1/nodes")[0], name) for name in ("java", "qemu")), 60)
            cls.submit()
            cls.allocs = {name: cls.agent.wait_running(name, 1, 90)[0]["ID"] for name in ("jvm", "vm")}
            for name in cls.allocs:
                wait_for(f"lines of {name}", lambda: cls.count(name) > 5, BOOT_SECONDS, every=0.1)
        except BaseException:
            print(cls.agent.log()[-6000:])
            cls.agent.destroy()
            raise

    @staticmethod
    def sockets():
        return set(os.listdir("/run/drover-qemu")) if os.path.isdir("/run/drover-qemu") else set()

    @classmethod
    def tearDownClass(cls):
        cls.agent.destroy()

    @classmethod
    def submit(cls):
        classes = os.path.join(cls.agent.dir, "classes")
        with open(os.path.join(cls.agent.dir, "Main.java"), "w") as f:
            f.write(JAVA)
        subprocess.run(["javac", "-d", classes, os.path.join(cls.agent.dir, "Main.java")], check=True)
        subprocess.run(["chmod", "-R", "a+rX", classes], check=True)
        jvm = task("main", "java", Resources={"CPU": 100, "MemoryMB": 128},
                   Config={"class": "Main", "class_path": "/alloc/data/classes", "jvm_options": ["-XX:+UseSerialGC"]})
        copy = task("copy", "raw_exec", "/bin/cp", ["-r", classes, "${NOMAD_ALLOC_DIR}/data/"],
                    Lifecycle={"Hook": "prestart", "Sidecar": False})
        cls.agent.run_job(job("jvm", [copy, jvm], **NO_RESTART))
        vm = task("main", "qemu", Resources={"CPU": 100, "MemoryMB": 128}, Config={
            "kernel": cls.kernel, "initrd": cls.initrd, "append": driver_guest.append(GUEST), "port_map": {"ctl": 7},
            "args": driver_guest.ARGS})
        cls.agent.run_job(job("vm", [vm], Networks=[{"ReservedPorts": [{"Label": "ctl", "Value": free_ports(1)[0]}]}],
                              **NO_RESTART))

    @classmethod
    def lines(cls, name):
        text = b""
        for path in cls.agent.log_files(cls.allocs[name], "main"):
            with open(path, "rb") as f:
                text += f.read()
        return [line.strip() for line in text.split(b"\n")[:-1]]  # the last one may still be growing

    @classmethod
    def count(cls, name):
        """Numbered lines so far, checked to be 0..n exactly once and in order. (A guest's kernel may say more.)"""
        numbered = [line for line in cls.lines(name) if line.startswith(b"line ")]
        for i, line in enumerate(numbered):
            if line != b"line %d" % i:
                raise AssertionError(f"{name}: line {i} is {line!r}, after {numbered[max(0, i - 2):i]!r}")
        return len(numbered)

    def pids(self):
        # Not the ones that fingerprints start.
        found = self.agent.find_processes(r"^\S*/(java -Xmx|qemu-system-x86_64 -name )")
        return {(pid, process_start(pid)) for pid in found}

    def state(self, name):
        return self.agent.get(f"/v1/allocation/{self.allocs[name]}")["TaskStates"]["main"]

    def check_all_well(self, pids):
        for name, alloc in self.allocs.items():
            wait_for(f"{name} running", lambda: self.agent.get(f"/v1/allocation/{alloc}")["ClientStatus"] == "running")
            state = self.state(name)
            self.assertEqual((state["State"], state["Restarts"]), ("running", 0))
            self.assertEqual([e["Type"] for e in state["Events"]], ["Received", "Task Setup", "Started"], name)
        self.assertEqual(self.pids(), pids, "task pids changed")
        for name in self.allocs:
            before = self.count(name)
            wait_for(f"lines of {name} go on", lambda: self.count(name) > before + 5, 60, every=0.1)

    def kill_plugins(self):
        victims = self.agent.find_processes(r"drover-driver-(java|qemu)( |$)")
        self.assertEqual(len(victims), 2)
        for pid in victims:
            os.kill(pid, signal.SIGKILL)

    def test_1_plugins(self):
        pids = self.pids()
        self.assertEqual(len(pids), 2)
        self.kill_plugins()
        self.check_all_well(pids)

    def test_2_agent(self):
        pids = self.pids()
        self.agent.kill9()
        self.agent.start()
        self.check_all_well(pids)

    def test_3_agent_and_plugins(self):
        pids = self.pids()
        self.agent.kill9()
        self.kill_plugins()
        self.agent.start()
        self.check_all_well(pids)

    def test_4_ends_that_nobody_saw(self):
        pids = self.pids()
        control = self.port_of(self.allocs["vm"])
        self.agent.kill9()
        self.kill_plugins()
        with open(os.path.join(self.agent.alloc_dir(self.allocs["jvm"]), "alloc", "data", "go"), "w"):
            pass
        with socket.create_connection(control, 10) as shell:
            shell.sendall(b"qemu-exit\n")
            wait_for("both ended", lambda: not any(process_start(pid) == start for pid, start in pids), BOOT_SECONDS)
        self.agent.start()
        for name, code in (("jvm", 7), ("vm", driver_guest.EXIT_CODE)):
            wait_for(f"{name} failed", lambda: self.state(name)["State"] == "dead")
            ended = [e for e in self.state(name)["Events"] if e["Type"] == "Terminated"]
            self.assertEqual([(e["ExitCode"], e["Signal"]) for e in ended], [(code, 0)], name)
            self.count(name)
        self.assertEqual(self.lines("jvm")[-1], b"last")

    def test_5_examples(self):
        disk = os.path.join(os.path.dirname(self.kernel), "halt.img")
        with open(disk, "wb") as f:  # a boot sector that waits: hlt, jump back
            f.write(b"\xf4\xeb\xfd".ljust(510, b"\0") + b"\x55\xaa")
        for name, options in (("java", []), ("qemu", ["-var", f"image={disk}"])):
            path = os.path.join(EXAMPLES, f"{name}.nomad.hcl")
            self.agent.cli("job", "run", "-detach", *options, path)
            with open(path) as f:
                job_id = re.search(r'^job "(.*)"', f.read(), re.M).group(1)
            alloc = self.agent.wait_running(job_id, 1, 60)[0]
            address, port = wait_for("the port", lambda: self.port_of(alloc["ID"]))
            wait_for(f"{name} listens", lambda: socket.create_connection((address, port), 5).close() is None, 60)
            events = self.agent.get(f"/v1/allocation/{alloc['ID']}")["TaskStates"][job_id]["Events"]
            self.assertEqual([e["Type"] for e in events if e["Type"] != "Driver"], ["Received", "Task Setup", "Started"])
            self.agent.cli("job", "stop", "-detach", job_id)
            wait_for(f"{name} being stopped", lambda: any(e["Type"] == "Killing" for e in self.agent.get(
                f"/v1/allocation/{alloc['ID']}")["TaskStates"][job_id]["Events"]))
            if name == "qemu":  # this guest knows no power button; not to wait until its patience runs out
                for pid in self.agent.find_processes(r"^\S*qemu-system-x86_64 "):
                    os.kill(pid, signal.SIGTERM)
            self.agent.wait_status(job_id, "complete", seconds=60)
            self.agent.delete(f"/v1/job/{job_id}?purge=true")

    def port_of(self, alloc):
        ports = self.agent.get(f"/v1/allocation/{alloc}")["AllocatedResources"]["Shared"]["Ports"]
        return ports[0]["HostIP"] or "127.0.0.1", ports[0]["Value"]

    def test_6_nothing_left(self):
        for name in self.allocs:
            self.agent.delete(f"/v1/job/{name}?purge=true")
        wait_for("tasks ended", lambda: not self.pids(), 90, every=0.2)

        def left():
            self.agent.put("/v1/system/gc")
            tasks = os.path.join(self.agent.data_dir, "client", "tasks")
            found = os.listdir(os.path.join(self.agent.data_dir, "alloc"))
            found += [n for n in os.listdir(tasks) if not n.startswith(".")]
            found += self.agent.find_processes(r"shim") + self.agent.mounts()
            found += [c for c in self.agent.cgroups() if re.search(r"[0-9a-f]{8}-", os.path.basename(c))]
            return found + sorted(self.sockets() - self.sockets_before)
        try:
            wait_for("no directory, process, cgroup, mount or socket of a task", lambda: not left(), 30, every=0.2)
        except Failure as failure:
            raise Failure(f"{failure}: {left()}") from None


if __name__ == "__main__":
    unittest.main(verbosity=2, failfast=True)
