#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The docker driver under a real agent with a real daemon and a real registry: agent, plugin and daemon are killed
while a container counts, and the log has each line once; images are pulled with credentials and cleaned up; what goes
wrong is told by task events. Skipped where no dockerd can run, but not on CI.
"""
import base64
import crypt
import json
import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from dockerd import IMAGE, Dockerd, missing  # noqa: E402
from drover import Agent, free_ports, job, task, wait_for  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
ONCE = {"RestartPolicy": {"Attempts": 0, "Mode": "fail"}, "ReschedulePolicy": {"Attempts": 0, "Unlimited": False}}
COUNT = "i=0; while [ ! -e /local/stop ]; do i=$((i+1)); echo line $i; usleep 2000; done; echo end $i; exit 7"


def plugin(daemon, more=""):
    return f"""
plugin "docker" {{
  config {{
    endpoint = "unix://{daemon.socket}"
    {more}
  }}
}}
"""


def docker_task(name="t", **config):
    base = {"image": IMAGE, "network_mode": "none", "command": "/bin/sh"}
    base.update(config)
    return task(name, driver="docker", Config=base, KillTimeout=int(1e9))


def wait_driver(agent, healthy, seconds=90):
    def reached():
        nodes = agent.get("/v1/nodes")
        return nodes and bool(agent.driver_healthy(nodes[0], "docker")) == healthy
    wait_for(f"docker healthy: {healthy}", reached, seconds, every=0.1)


def events(agent, alloc_id, name="t"):
    state = agent.get(f"/v1/allocation/{alloc_id}")["TaskStates"][name]
    return [f"{e['Type']}: {e['DisplayMessage']}" for e in state["Events"]]


def wait_event(agent, alloc_id, text, seconds=60):
    return wait_for(f"event {text!r}", lambda: any(text in e for e in events(agent, alloc_id)) or None, seconds)


def log_text(agent, alloc_id, kind="stdout"):
    text = ""
    for path in agent.log_files(alloc_id, "t", kind):
        with open(path) as f:
            text += f.read()
    return text


def plugin_pid(agent):
    return agent.find_processes(r"drover-driver-docker")[0]


def kept_lines(daemon, container):
    """What the daemon itself has kept of a container's stdout, oldest first."""
    path = os.path.join(daemon.data_root, "containers", container, f"{container}-json.log")
    with open(path) as f:
        messages = [json.loads(line) for line in f if line.endswith("\n")]
    return [m["log"].rstrip("\n") for m in messages if m["stream"] == "stdout"]


def finish_counting(agent, alloc_id, kept=()):
    """Stops the counter and compares what it said, line by line: first those that the daemon had kept by then, which has
    lost what it was about to write down when it ended, then every one after them."""
    with open(os.path.join(agent.alloc_dir(alloc_id), "t", "local", "stop"), "w"):
        pass
    wait_for("the counter's last line", lambda: "end " in log_text(agent, alloc_id), 60)
    lines = log_text(agent, alloc_id).splitlines()
    last = int(lines[-1].split()[1])
    first = int(kept[-1].split()[1]) + 1 if kept else 1
    expected = list(kept) + [f"line {i}" for i in range(first, last + 1)]
    wrong = next(((at, pair) for at, pair in enumerate(zip(lines, expected)) if pair[0] != pair[1]), None)
    assert lines[:-1] == expected, f"{len(lines)} lines of {last}; the first that differs: {wrong}"
    return last


def nothing_left(daemon):
    wait_for("no container left", lambda: daemon.containers() == [], 30)


def test_example(daemon, agent):
    daemon.import_image("busybox:1.36")
    agent.cli("job", "run", "-detach", os.path.join(ROOT, "examples", "docker.nomad.hcl"))
    alloc = agent.wait_running("docker-example", 1)[0]
    wait_for("lines", lambda: "line 2" in agent.cli("alloc", "logs", alloc["ID"], "counter").stdout, 20)
    container = daemon.containers()[0]
    assert container["Labels"]["team"] == "blue"
    assert container["Names"] == [f"/counter-{alloc['ID']}"]
    agent.cli("job", "stop", "-purge", "-detach", "docker-example")
    nothing_left(daemon)


def test_agent_and_plugin_are_killed(daemon, agent):
    agent.run_job(job("count", [docker_task(args=["-c", COUNT])], **ONCE))
    alloc = agent.wait_running("count", 1)[0]["ID"]
    container = daemon.containers()[0]["Id"]
    for victim in ("plugin", "agent", "both", "plugin", "both"):
        seen = len(log_text(agent, alloc))
        wait_for("more lines", lambda: len(log_text(agent, alloc)) > seen + 500, 30)
        if victim != "agent":
            os.kill(plugin_pid(agent), signal.SIGKILL)
        if victim != "plugin":
            agent.kill9()
            agent.start()
    assert [c["Id"] for c in daemon.containers()] == [container]
    finish_counting(agent, alloc)
    done = agent.wait_status("count", "failed")[0]
    assert any("7" in e for e in events(agent, done["ID"]) if e.startswith("Terminated")), events(agent, done["ID"])
    agent.delete("/v1/job/count?purge=true")
    nothing_left(daemon)


def test_daemon_restarts_with_live_restore():
    with Dockerd(live_restore=True) as daemon, Agent(extra=plugin(daemon)) as agent:
        wait_driver(agent, True)
        agent.run_job(job("count", [docker_task(args=["-c", COUNT])], **ONCE))
        alloc = agent.wait_running("count", 1)[0]["ID"]
        container = daemon.containers()[0]["Id"]
        wait_for("lines", lambda: "line 100\n" in log_text(agent, alloc), 30)
        daemon.stop(signal.SIGTERM)
        wait_driver(agent, False)
        # The agent and the plugin restart while there is no daemon: the task is taken as it was.
        os.kill(plugin_pid(agent), signal.SIGKILL)
        agent.kill9()
        agent.start()
        assert agent.wait_running("count", 1)[0]["ID"] == alloc
        daemon.start(image=False)
        wait_driver(agent, True)
        assert [c["Id"] for c in daemon.containers()] == [container]
        kept = kept_lines(daemon, container)
        assert kept[0] == "line 1" and len(kept) > 100, kept[:3]
        finish_counting(agent, alloc, kept)
        agent.wait_status("count", "failed")
        agent.delete("/v1/job/count?purge=true")
        nothing_left(daemon)


def test_daemon_restarts_without_live_restore(daemon, agent):
    script = "trap 'exit 5' TERM; while :; do usleep 50000; done"
    agent.run_job(job("sleep", [docker_task(args=["-c", script])], **ONCE))
    alloc = agent.wait_running("sleep", 1)[0]["ID"]
    daemon.stop(signal.SIGTERM)  # ends its containers
    daemon.start(image=False)
    agent.wait_status("sleep", "failed", seconds=60)
    assert any("Exit Code: 5" in e for e in events(agent, alloc)), events(agent, alloc)
    wait_driver(agent, True)
    agent.delete("/v1/job/sleep?purge=true")
    nothing_left(daemon)


def test_job_stop_and_signal(daemon, agent):
    agent.run_job(job("s", [docker_task(args=["-c", "trap 'echo got it' USR1; trap 'echo bye; exit 0' TERM; echo up; "
                                                    "while :; do usleep 50000; done"])]))
    alloc = agent.wait_running("s", 1)[0]["ID"]
    wait_for("up", lambda: "up" in log_text(agent, alloc))
    agent.cli("alloc", "signal", "-s", "SIGUSR1", alloc)
    wait_for("signal", lambda: "got it" in log_text(agent, alloc))
    agent.delete("/v1/job/s")
    wait_for("bye", lambda: "bye" in log_text(agent, alloc))
    nothing_left(daemon)
    agent.delete("/v1/job/s?purge=true")


class Registry:
    """docker-registry on loopback with one user."""

    def __init__(self, folder):
        self.port = free_ports(1)[0]
        self.host = f"127.0.0.1:{self.port}"
        self.folder = os.path.join(folder, "registry")
        os.mkdir(self.folder)
        with open(os.path.join(self.folder, "htpasswd"), "w") as f:
            f.write("ann:" + crypt.crypt("sesame", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)) + "\n")
        with open(os.path.join(self.folder, "config.yml"), "w") as f:
            f.write(f"""version: 0.1
storage:
  filesystem:
    rootdirectory: {self.folder}/data
http:
  addr: {self.host}
auth:
  htpasswd:
    realm: test
    path: {self.folder}/htpasswd
""")
        self.process = subprocess.Popen(["docker-registry", "serve", os.path.join(self.folder, "config.yml")],
                                        stdout=open(os.path.join(self.folder, "log"), "ab"), stderr=subprocess.STDOUT,
                                        stdin=subprocess.DEVNULL)

    def push(self, daemon, name, source=IMAGE):
        repository, tag = f"{self.host}/{name}".rsplit(":", 1)
        daemon.api("POST", f"/images/{source}/tag?repo={repository}&tag={tag}")
        auth = base64.urlsafe_b64encode(json.dumps({"username": "ann", "password": "sesame"}).encode()).decode()

        def pushed():
            text = daemon.api("POST", f"/images/{repository}/push?tag={tag}", headers={"X-Registry-Auth": auth})
            if isinstance(text, dict):
                text = json.dumps(text).encode()
            if b"connection refused" in text:
                return None
            assert b'"error"' not in text, text
            return text
        told = wait_for("registry", pushed, 20).split(b"digest: ")[-1]
        digest = re.search(rb"sha256:[0-9a-f]{64}", told).group().decode()
        daemon.api("DELETE", f"/images/{repository}:{tag}")
        return f"{repository}:{tag}", f"{repository}@{digest}"

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def run_to(agent, name, status, **config):
    agent.run_job(job(name, [docker_task(args=["-c", "echo ran"], **config)], kind="batch", **ONCE))
    alloc = agent.wait_status(name, status, seconds=60)[0]["ID"]
    return events(agent, alloc)


def test_pulls(daemon, agent, registry):
    tagged, pinned = registry.push(daemon, "team/app:1")
    auth = [{"username": "ann", "password": "sesame"}]
    before = daemon.images()
    got = run_to(agent, "pull-auth", "complete", image=tagged, auth=auth)
    assert any("Downloading image" in e for e in got), got
    assert any(f"Image {tagged} pulled in" in e for e in got), got
    agent.delete("/v1/job/pull-auth?purge=true")
    agent.put("/v1/system/gc")
    wait_for("the image is cleaned up", lambda: daemon.images() == before, 30)
    got = run_to(agent, "pull-digest", "complete", image=pinned, auth=auth)
    got = run_to(agent, "pull-denied", "failed", image=tagged, force_pull=True)
    assert any("no basic auth credentials" in e for e in got), got
    got = run_to(agent, "pull-wrong", "failed", image=tagged, force_pull=True,
                 auth=[{"username": "ann", "password": "wrong"}])
    assert any("Driver Failure" in e and "pull" in e for e in got), got
    assert not any("wrong" in e.split("pull", 1)[-1].replace("pull-wrong", "") for e in got), got
    got = run_to(agent, "pull-missing", "failed", image=f"{registry.host}/no/such:1", auth=auth)
    assert any("not found" in e or "manifest unknown" in e for e in got), got
    nothing_left_but_ended(agent, daemon)


def nothing_left_but_ended(agent, daemon):
    for stub in agent.get("/v1/jobs"):
        agent.delete(f"/v1/job/{stub['ID']}?purge=true")
    nothing_left(daemon)


def test_credentials_from_config(daemon, registry):
    tagged, _ = registry.push(daemon, "team/conf:1")
    with Agent() as probe:
        folder = probe.dir
        config = os.path.join(folder, "docker-config.json")
        with open(config, "w") as f:
            json.dump({"auths": {registry.host: {"auth": base64.b64encode(b"ann:sesame").decode()}}}, f)
        with Agent(extra=plugin(daemon, f'auth {{\n config = "{config}"\n }}')) as agent:
            wait_driver(agent, True)
            run_to(agent, "conf", "complete", image=tagged)
            nothing_left_but_ended(agent, daemon)


def test_disk_full_while_pulling(daemon, registry):
    tagged, _ = registry.push(daemon, "team/full:1")
    small = Dockerd(data_root_mb=2)
    try:
        small.start(image=False)
        with Agent(extra=plugin(small)) as agent:
            wait_driver(agent, True)
            got = run_to(agent, "full", "failed", image=tagged, auth=[{"username": "ann", "password": "sesame"}])
            assert any("no space left" in e for e in got), got
            assert small.containers() == []
    finally:
        small.destroy()


def main():
    reason = missing() or (None if shutil.which("docker-registry") else "needs docker-registry (Debian)")
    if reason:
        print(f"skipped: {reason}")
        sys.exit(1 if os.environ.get("CI") else 77)
    wanted = sys.argv[1:]
    with Dockerd() as daemon:
        registry = Registry(daemon.dir)
        try:
            with Agent(extra=plugin(daemon, 'gc {\n image_delay = "0s"\n }')) as agent:
                wait_driver(agent, True)
                for test in (test_example, test_agent_and_plugin_are_killed, test_job_stop_and_signal,
                             test_daemon_restarts_without_live_restore):
                    if not wanted or test.__name__ in wanted:
                        print(test.__name__, flush=True)
                        test(daemon, agent)
                if not wanted or "test_pulls" in wanted:
                    print("test_pulls", flush=True)
                    test_pulls(daemon, agent, registry)
            for test in (test_credentials_from_config, test_disk_full_while_pulling):
                if not wanted or test.__name__ in wanted:
                    print(test.__name__, flush=True)
                    test(daemon, registry)
        finally:
            registry.stop()
    if not wanted or "test_daemon_restarts_with_live_restore" in wanted:
        print("test_daemon_restarts_with_live_restore", flush=True)
        test_daemon_restarts_with_live_restore()
    print("ok")


if __name__ == "__main__":
    main()
