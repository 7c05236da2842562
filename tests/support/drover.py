# SPDX-License-Identifier: Apache-2.0
"""The real agent, API and CLI for tests and benchmarks: start, kill, look at, and check that nothing is left.

Every Agent has its own ports, data directory and cgroup parent, so several may run beside one another.
Waits are conditions with deadlines, never sleeps for luck.
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

BUILD = os.environ.get("DROVER_BUILD_DIR") or os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "dev")
DROVER = os.environ.get("DROVER_BIN") or os.path.join(BUILD, "bin", "drover")


class Failure(AssertionError):
    pass


def wait_for(what, condition, seconds=20.0, every=0.02):
    """Calls condition() until it is truthy and returns that; after `seconds` fails naming `what` and the last answer."""
    end = time.monotonic() + seconds
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except (urllib.error.URLError, ConnectionError, ApiError, FileNotFoundError, json.JSONDecodeError) as error:
            last = error
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {seconds} s; last answer: {last!r}")
        time.sleep(every)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class ApiError(Exception):
    def __init__(self, code, body):
        super().__init__(f"HTTP {code}: {body}")
        self.code = code
        self.body = body


class Agent:
    """An agent under a configuration file of its own. `with Agent() as a:` stops it, its tasks and plugins, and cleans."""

    def __init__(self, extra="", client=True, server=True, dev=False, env=None, data_dir=None, servers=None):
        self.dir = tempfile.mkdtemp(prefix="drover-test-")
        self.data_dir = data_dir or os.path.join(self.dir, "data")
        self.http, self.rpc, self.serf = free_ports(3)
        self.cgroup = "drover-" + os.path.basename(self.dir)
        self.env = dict(os.environ, **(env or {}))
        for name in list(self.env):
            if name.startswith(("NOMAD_", "DROVER_ADDR", "DROVER_FAILPOINT")) and not (env and name in env):
                del self.env[name]
        self.dev = dev
        self.process = None
        self.log_path = os.path.join(self.dir, "agent.log")
        self.config = os.path.join(self.dir, "agent.hcl")
        servers_line = f"servers = {json.dumps(servers)}" if servers else ""
        with open(self.config, "w") as f:
            f.write(f"""
bind_addr = "127.0.0.1"
{'' if dev else f'data_dir = "{self.data_dir}"'}
ports {{
  http = {self.http}
  rpc  = {self.rpc}
  serf = {self.serf}
}}
advertise {{
  http = "127.0.0.1"
  rpc  = "127.0.0.1"
  serf = "127.0.0.1"
}}
server {{
  enabled = {str(server or dev).lower()}
  bootstrap_expect = {1 if server or dev else 0}
}}
client {{
  enabled = {str(client or dev).lower()}
  cgroup_parent = "{self.cgroup}"
  cpu_total_compute = 100000
  memory_total_mb = 200000
  gc_max_allocs = 20000
  {servers_line}
}}
plugin "raw_exec" {{
  config {{
    enabled = true
  }}
}}
{extra}
""")

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self, ready=True, env=None):
        log = open(self.log_path, "ab")
        args = [DROVER, "agent"] + (["-dev"] if self.dev else []) + ["-config", self.config]
        self.process = subprocess.Popen(args, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                        env=dict(self.env, **(env or {})), start_new_session=True)
        log.close()
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=20):
        def ready():
            if self.process.poll() is not None:
                raise Failure(f"the agent exited with {self.process.returncode}:\n{self.log()[-3000:]}")
            nodes = self.get("/v1/nodes")
            return nodes and nodes[0]["Status"] == "ready" and all(
                self.driver_healthy(nodes[0], name) for name in ("raw_exec", "exec"))
        try:
            wait_for("agent ready", ready, seconds, every=0.005)
        except Failure as failure:
            raise Failure(f"{failure}\n{self.log()[-3000:]}") from None

    @staticmethod
    def driver_healthy(node, name):
        return (node["Drivers"] or {}).get(name, {}).get("Healthy")

    def kill9(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def kill_the_rest(self, seconds=10):
        """kill -9 of everything that belongs to this agent beside itself, until nothing of it is left."""
        def none_left():
            pids = self.processes()
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not pids
        wait_for("no process of the agent left", none_left, seconds)

    def stop(self, sig=signal.SIGINT, seconds=30):
        if self.process and self.process.poll() is None:
            self.process.send_signal(sig)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                raise Failure(f"the agent did not stop within {seconds} s of signal {sig}\n{self.log()[-3000:]}")
        return self.process.returncode if self.process else None

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        if exc[0] is not None:
            print(f"--- agent log ({self.log_path}) ---\n{self.log()[-6000:]}")
        self.destroy()

    def destroy(self):
        """Whatever state things are in: no process of this agent, no cgroup, no mount, no directory remains."""
        if self.process and self.process.poll() is None:
            self.kill9()
        self.kill_the_rest()
        for line in sorted(self.mounts(), reverse=True):
            subprocess.run(["umount", "-l", line], check=False)
        for path in self.cgroups():
            try:
                os.rmdir(path)
            except OSError:
                pass
        shutil.rmtree(self.dir, ignore_errors=True)

    # -- what is there -------------------------------------------------------------------------------------------------

    def processes(self):
        """Pids of everything that belongs to this agent beside itself: plugins, logd, shims, tasks."""
        found = set()
        me = self.process.pid if self.process else -1
        for path in self.cgroups():
            try:
                with open(os.path.join(path, "cgroup.procs")) as f:
                    found.update(int(line) for line in f)
            except OSError:
                pass
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) in (me, os.getpid()):
                continue
            try:
                with open(f"/proc/{name}/cmdline", "rb") as f:
                    cmdline = f.read()
                with open(f"/proc/{name}/environ", "rb") as f:
                    environ = f.read()
            except OSError:
                continue
            if self.dir.encode() in cmdline or self.dir.encode() in environ:
                found.add(int(name))
        found.discard(me)
        return sorted(found)

    def cgroups(self):
        """Cgroup directories of this agent, deepest first."""
        found = []
        for root, dirs, _ in os.walk("/sys/fs/cgroup"):
            if f"/{self.cgroup}" in root + "/":
                found.append(root)
        return sorted(found, key=len, reverse=True)

    def mounts(self):
        with open("/proc/self/mountinfo") as f:
            return [line.split()[4] for line in f if self.dir in line]

    def find_processes(self, pattern):
        """Pids of this agent's processes whose command line matches the regular expression."""
        pids = []
        for pid in self.processes():
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    text = f.read().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if re.search(pattern, text):
                pids.append(pid)
        return pids

    # -- API and CLI ---------------------------------------------------------------------------------------------------

    @property
    def address(self):
        return f"http://127.0.0.1:{self.http}"

    def request(self, method, path, body=None, timeout=30):
        data = None if body is None else (body if isinstance(body, bytes) else json.dumps(body).encode())
        request = urllib.request.Request(self.address + path, data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                text = response.read()
                kind = response.headers.get("Content-Type", "")
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, error.read().decode(errors="replace")) from None
        if "json" in kind:
            return json.loads(text) if text else None
        return text

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def put(self, path, body=None, **kw):
        return self.request("PUT", path, body, **kw)

    def delete(self, path, **kw):
        return self.request("DELETE", path, **kw)

    def cli(self, *args, ok=True, stdin=None, timeout=60, env=None):
        """Runs the CLI; returns the finished process (text). With ok=True a non-zero exit fails the test."""
        done = subprocess.run([DROVER, *args], capture_output=True, text=True, timeout=timeout, input=stdin,
                              env=dict(self.env, NOMAD_ADDR=self.address, **(env or {})))
        if ok and done.returncode != 0:
            raise Failure(f"drover {' '.join(args)} exited {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def job_file(self, text, name="job.nomad.hcl"):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def run_job(self, job):
        """Registers a job given as API JSON (dict) and returns its evaluation id."""
        return self.put("/v1/jobs", {"Job": job})["EvalID"]

    def allocs(self, job_id):
        return self.get(f"/v1/job/{job_id}/allocations")

    def wait_running(self, job_id, count, seconds=30):
        def running():
            live = [a for a in self.allocs(job_id) if a["ClientStatus"] == "running"]
            return live if len(live) >= count else None
        return wait_for(f"{count} allocations of {job_id} running", running, seconds)

    def wait_status(self, job_id, status, count=1, seconds=30):
        def reached():
            some = [a for a in self.allocs(job_id) if a["ClientStatus"] == status]
            return some if len(some) >= count else None
        return wait_for(f"{count} allocations of {job_id} {status}", reached, seconds)

    def log_files(self, alloc_id, task, kind="stdout"):
        """Paths of the rotated log files of a task, oldest first."""
        folder = os.path.join(self.alloc_dir(alloc_id), "alloc", "logs")
        pattern = re.compile(re.escape(f"{task}.{kind}.") + r"(\d+)$")
        found = [(int(m.group(1)), os.path.join(folder, name)) for name in os.listdir(folder)
                 if (m := pattern.match(name))]
        return [path for _, path in sorted(found)]

    def alloc_dir(self, alloc_id):
        return os.path.join(self.data_dir, "alloc", alloc_id)


def task(name="t", driver="raw_exec", command="/bin/sleep", args=("3600",), **more):
    """A task as API JSON with small resources."""
    config = {"command": command, "args": list(args)}
    base = {"Name": name, "Driver": driver, "Config": config, "Resources": {"CPU": 1, "MemoryMB": 16},
            "LogConfig": {"MaxFiles": 10, "MaxFileSizeMB": 10}}
    base.update(more)
    return base


def job(job_id, tasks, kind="service", count=1, **group):
    """A one-group job as API JSON."""
    base = {"Name": "g", "Count": count, "Tasks": tasks, "EphemeralDisk": {"SizeMB": 110}}
    base.update(group)
    return {"ID": job_id, "Name": job_id, "Type": kind, "Datacenters": ["dc1"], "TaskGroups": [base]}


def process_start(pid):
    """Start time of a process in clock ticks since boot, None when it is gone; (pid, start) names one process."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return int(f.read().rsplit(")", 1)[1].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return None
