#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The promised figures of one machine: overhead per task, latency, throughput, start, reattach, memory.

    bench/first_light.py            all of it, as a table (uses build/release)
    bench/first_light.py latency    one or more of: startup idle latency hundred overhead reattach batch

Figures are medians of the runs given. The peer's column holds what Nomad v2.0.6-dev measured on a machine of the same
size (2 vCPU, 24 GiB, cgroup v1; docs/numbers.md says how). Nothing here is a test: it never fails on a slow machine.
"""
import os
import statistics
import sys
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
os.environ.setdefault("DROVER_BUILD_DIR", os.path.join(ROOT, "build", "release"))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from drover import Agent, job, task, wait_for  # noqa: E402

ROWS = []


def row(what, value, promised, peer):
    ROWS.append((what, value, promised, peer))
    print(f"  {what}: {value}", flush=True)


def median(values):
    return statistics.median(values)


def pss_kb(pids):
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as f:
                total += next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
        except (FileNotFoundError, ProcessLookupError, StopIteration):
            pass
    return total


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def cpu_seconds(pids):
    """CPU of the processes and of the children they have waited for."""
    ticks = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            ticks += sum(int(x) for x in fields[11:15])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return ticks / os.sysconf("SC_CLK_TCK")


def system_cpu_seconds():
    with open("/proc/stat") as f:
        fields = [int(x) for x in f.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def startup():
    times = []
    for _ in range(5):
        agent = Agent(dev=True)
        start = time.monotonic()
        agent.start()
        times.append((time.monotonic() - start) * 1000)
        agent.stop()
        agent.destroy()
    row("agent start to node ready (-dev, n=5), ms", f"{median(times):.0f}", "500", "1727")


def idle():
    with Agent() as agent:
        helpers = agent.processes()
        # A settled agent: the condition is that its CPU time stands still for a second.
        wait_for("idle", lambda: still(agent), 60, every=0)
        row("idle agent PSS, MB", f"{pss_kb([agent.process.pid]) / 1024:.1f}", "40", "98-131")
        row("idle agent with plugins and logd PSS, MB", f"{pss_kb([agent.process.pid] + helpers) / 1024:.1f}", "80",
            "98-131")


def still(agent):
    before = cpu_seconds([agent.process.pid])
    time.sleep(1)
    return cpu_seconds([agent.process.pid]) - before <= 0.02


def latency():
    with Agent() as agent:
        times = []
        for i in range(20):
            start = time.monotonic()
            agent.run_job(job(f"one-{i}", [task()]))
            wait_for("running", lambda: agent.allocs(f"one-{i}") and agent.allocs(f"one-{i}")[0]["ClientStatus"] ==
                     "running", every=0.001)
            times.append((time.monotonic() - start) * 1000)
        row("one raw_exec task, submit to running by the API (n=20), ms",
            f"{median(times):.1f} (max {max(times):.1f})", "50", "554.5")


def hundred():
    times = []
    for _ in range(3):
        with Agent() as agent:
            start = time.monotonic()
            agent.run_job(job("hundred", [task()], count=100))
            wait_for("100 running", lambda: agent.get("/v1/job/hundred/summary")["Summary"]["g"]["Running"] == 100, 60,
                     every=0.005)
            times.append(time.monotonic() - start)
    row("100 raw_exec tasks, submit to all running (n=3), s", f"{median(times):.2f}", "0.5", "5.1")


def overhead():
    for driver, memory in (("raw_exec", 10), ("exec", 16)):
        with Agent() as agent:
            before = pss_kb([agent.process.pid])
            agent.run_job(job("load", [task(driver=driver, Resources={"CPU": 1, "MemoryMB": memory})], count=100))
            agent.wait_running("load", 100, 60)
            shims = agent.find_processes("drover-shim|/.shim")
            count = max(1, len(shims))
            row(f"{driver}: shim PSS per task, KB", f"{pss_kb(shims) / count:.0f} ({count} shims)", "1024",
                "27955" if driver == "raw_exec" else "30413")
            row(f"{driver}: threads per task", f"{sum(threads(p) for p in shims) / count:.1f}", "1",
                "18.8" if driver == "raw_exec" else "20.0")
            row(f"{driver}: agent PSS growth per task, KB",
                f"{(pss_kb([agent.process.pid]) - before) / 100:.0f}", "-", "395" if driver == "raw_exec" else "477")


def reattach():
    times = []
    with Agent() as agent:
        agent.run_job(job("load", [task()], count=100))
        agent.wait_running("load", 100, 60)
        allocs = [a["ID"] for a in agent.allocs("load")]
        for _ in range(3):
            agent.kill9()
            start = time.monotonic()
            agent.start(ready=False)
            # Reattached means that the driver takes a signal for the task; SIGCONT harms nobody.
            for alloc in allocs:
                wait_for("reattached", lambda: signal_ok(agent, alloc), 60, every=0.002)
            times.append(time.monotonic() - start)
    row("100 tasks reattached after kill -9 of the agent (n=3), s", f"{median(times):.2f}", "0.5", "1.8")


def signal_ok(agent, alloc):
    agent.put(f"/v1/client/allocation/{alloc}/signal", {"Signal": "SIGCONT", "Task": "t"})
    return True


def batch():
    with Agent() as agent:
        cpu = system_cpu_seconds()
        start = time.monotonic()
        agent.run_job(job("true", [task(command="/bin/true", args=())], kind="batch", count=1000))
        wait_for("1000 complete", lambda: agent.get("/v1/job/true/summary")["Summary"]["g"]["Complete"] == 1000, 300,
                 every=0.05)
        seconds = time.monotonic() - start
        cpu = system_cpu_seconds() - cpu
        row("1,000 /bin/true batch allocations, per second", f"{1000 / seconds:.0f}", "200", "13.5")
        row("  CPU each (whole machine), ms", f"{cpu:.1f}", "8", "146")


ALL = {f.__name__: f for f in (startup, idle, latency, hundred, overhead, reattach, batch)}


def main():
    chosen = sys.argv[1:] or list(ALL)
    for name in chosen:
        if name not in ALL:
            sys.exit(f"first_light.py: no figure {name!r}; there are: {' '.join(ALL)}")
    for name in chosen:
        print(f"{name} ...", flush=True)
        ALL[name]()
    width = max(len(r[0]) for r in ROWS)
    print(f"\n{'figure':<{width}}  {'measured':>22}  {'promised':>16}  {'Nomad':>8}")
    for what, value, promised, peer in ROWS:
        print(f"{what:<{width}}  {value:>22}  {promised:>16}  {peer:>8}")


if __name__ == "__main__":
    main()
