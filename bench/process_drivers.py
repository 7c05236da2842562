#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The figures of raw_exec and exec: starting and stopping many tasks, what idle ones cost, stats, and the log path.

    bench/process_drivers.py            all of it, as a table (uses build/release; needs its target log_writer)
    bench/process_drivers.py logs       one or more of: exec_start hundred_exec idle logs stats

The peer's column is Nomad v2.0.6-dev on a machine of the same size (docs/numbers.md). Nothing here is a test.
"""
import concurrent.futures
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import first_light as common  # noqa: E402
from drover import Agent, BUILD, job, task, wait_for  # noqa: E402

SECOND = 10**9


def sleeper(driver, memory=16):
    return task(driver=driver, Resources={"CPU": 1, "MemoryMB": memory}, KillSignal="SIGKILL")


def running(agent, job_id, count, seconds=120):
    wait_for(f"{count} running", lambda: agent.get(f"/v1/job/{job_id}/summary")["Summary"]["g"]["Running"] == count,
             seconds, every=0.01)


def exec_start():
    with Agent() as agent:
        times = []
        for i in range(20):
            start = time.monotonic()
            agent.run_job(job(f"one-{i}", [sleeper("exec")]))
            wait_for("running", lambda: (agent.allocs(f"one-{i}") or [{}])[0].get("ClientStatus") == "running",
                     every=0.001)
            times.append((time.monotonic() - start) * 1000)
    common.row("one exec task, submit to running by the API (n=20), ms",
               f"{common.median(times):.0f} (max {max(times):.0f})", "60 in the driver", "-")


def hundred_exec():
    starts, stops = [], []
    for _ in range(3):
        with Agent() as agent:
            begin = time.monotonic()
            agent.run_job(job("hundred", [sleeper("exec")], count=100))
            running(agent, "hundred", 100)
            starts.append(time.monotonic() - begin)
            begin = time.monotonic()
            agent.delete("/v1/job/hundred")
            wait_for("all gone", lambda: not agent.find_processes("^sleep|/bin/sleep"), 120, every=0.02)
            stops.append(time.monotonic() - begin)
    common.row("100 exec tasks, submit to all running (n=3), s", f"{common.median(starts):.2f}", "3", "11.5")
    common.row("100 exec tasks, stop to no process left (n=3), s", f"{common.median(stops):.2f}", "3", "> 60")


def idle():
    for driver, peer in (("raw_exec", "24"), ("exec", "38")):
        with Agent() as agent:
            agent.run_job(job("load", [sleeper(driver)], count=100))
            running(agent, "load", 100)
            helpers = [agent.process.pid] + agent.find_processes("drover")
            wait_for("calm", lambda: common.still(agent), 60, every=0)
            before, begin = common.cpu_seconds(helpers), time.monotonic()
            time.sleep(30)
            percent = 100 * (common.cpu_seconds(helpers) - before) / (time.monotonic() - begin)
            common.row(f"agent and helpers idle with 100 {driver} tasks, % of a core", f"{percent:.1f}", "1", peer)


def stats():
    with Agent() as agent:
        agent.run_job(job("load", [sleeper("raw_exec")], count=1000))
        running(agent, "load", 1000, 300)
        plugin = agent.find_processes("drover-driver-raw_exec")
        allocs = [a["ID"] for a in agent.allocs("load")]
        # A question opens the driver's stream of samples, one a second, for the next 30 seconds.
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda alloc: agent.get(f"/v1/client/allocation/{alloc}/stats"), allocs))
        before, begin = common.cpu_seconds(plugin), time.monotonic()
        time.sleep(10)
        percent = 100 * (common.cpu_seconds(plugin) - before) / (time.monotonic() - begin)
        common.row("raw_exec plugin with 1,000 tasks sampled each second, % of a core", f"{percent:.1f}", "5", "-")


def logs():
    writer = os.path.join(BUILD, "bench", "log_writer")
    peers = {65536: ("1120", "0.8"), 4096: ("840", "0.9"), 100: ("154", "6.2")}
    for chunk, (peer_rate, peer_cpu) in peers.items():
        total = (1 << 30) if chunk > 100 else 1 << 28
        rates, costs = [], []
        with Agent() as agent:
            logd = agent.find_processes("drover-logd|logd")
            for i in range(3):
                result = os.path.join(agent.dir, f"result-{i}")
                before = common.cpu_seconds(logd)
                agent.run_job(job(f"w{i}", [task(command=writer, args=(str(total), str(chunk), result))], kind="batch",
                                  EphemeralDisk={"SizeMB": 300}))
                wait_for("written", lambda: open(result).read().endswith("\n"), 120, every=0.05)
                wait_for("drained", lambda: still(logd), 30, every=0)
                written, seconds = open(result).read().split()
                rates.append(int(written) / float(seconds) / 1e6)
                costs.append((common.cpu_seconds(logd) - before) * (1 << 30) / total)
                agent.delete(f"/v1/job/w{i}")
        share = 0.6 if chunk > 100 else 1 / 3
        common.row(f"lines by {chunk} byte writes (n=3), MB/s", f"{common.median(rates):.0f}", f">= {peer_rate}",
                   peer_rate)
        common.row("  CPU of logd per GiB, s", f"{common.median(costs):.2f}", f"{float(peer_cpu) * share:.2f}", peer_cpu)


def still(pids):
    before = common.cpu_seconds(pids)
    time.sleep(0.5)
    return common.cpu_seconds(pids) == before


ALL = {f.__name__: f for f in (exec_start, hundred_exec, idle, logs, stats)}

if __name__ == "__main__":
    common.ALL = ALL
    sys.exit(common.main())
