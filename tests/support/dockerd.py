# SPDX-License-Identifier: Apache-2.0
"""A docker daemon for tests: everything of it in one directory, no bridge and no iptables on this machine, and
nothing left of it afterwards. As a program it starts one, prints its socket (or why there is none) and ends it when
its stdin is closed.
"""
import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.parse

IMAGE = "drover-test:busybox"


def missing():
    """Why no daemon can run here; None when it can."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("dockerd", "containerd", "runc"):
        if not shutil.which(program):
            return f"needs {program} (Debian: docker.io)"
    if not os.path.exists("/bin/busybox"):
        return "needs /bin/busybox (Debian: busybox-static)"
    return None


def busybox_root():
    """A root file system as a tar archive."""
    applets = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True).stdout.split()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add("/bin/busybox", "bin/busybox")
        for applet in applets:
            if applet != "busybox":
                link = tarfile.TarInfo("bin/" + applet)
                link.type = tarfile.SYMTYPE
                link.linkname = "busybox"
                tar.addfile(link)
        for name, text in (("etc/passwd", "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"),
                           ("etc/group", "root:x:0:\nnogroup:x:65534:\n")):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
        tmp = tarfile.TarInfo("tmp")
        tmp.type = tarfile.DIRTYPE
        tmp.mode = 0o1777
        tar.addfile(tmp)
    return out.getvalue()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("docker", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Dockerd:
    def __init__(self, live_restore=False, data_root_mb=None):
        self.dir = tempfile.mkdtemp(prefix="drover-dockerd-")
        self.socket = os.path.join(self.dir, "docker.sock")
        self.live_restore = live_restore
        self.data_root = os.path.join(self.dir, "data")
        self.cgroup = "drover-dockerd-" + os.path.basename(self.dir)[-8:]
        os.mkdir(self.data_root)
        if data_root_mb:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={data_root_mb}m", "tmpfs", self.data_root], check=True)
        self.process = None

    def start(self, image=True):
        log = open(os.path.join(self.dir, "log"), "ab")
        command = ["dockerd", "--data-root", self.data_root, "--exec-root", os.path.join(self.dir, "exec"),
                   "--host", "unix://" + self.socket, "--pidfile", os.path.join(self.dir, "pid"),
                   "--bridge=none", "--iptables=false", "--ip-masq=false", "--cgroup-parent", "/" + self.cgroup]
        if self.live_restore:
            command.append("--live-restore")
        self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                        start_new_session=True)
        log.close()
        end = time.monotonic() + 60
        while True:
            try:
                if self.api("GET", "/_ping") == b"OK":
                    break
            except (OSError, http.client.HTTPException):
                pass
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("dockerd does not start:\n" + self.log()[-2000:])
            time.sleep(0.02)
        if image:
            self.import_image(IMAGE)
        return self

    def import_image(self, name):
        repository, tag = name.rsplit(":", 1)
        self.api("POST", f"/images/create?fromSrc=-&repo={urllib.parse.quote(repository, '')}&tag={tag}",
                 busybox_root(), {"Content-Type": "application/x-tar"})

    def log(self):
        with open(os.path.join(self.dir, "log"), errors="replace") as f:
            return f.read()

    def api(self, method, path, body=None, headers=None, timeout=60):
        """The answer: JSON when it is, else bytes. RuntimeError for an HTTP error."""
        connection = UnixConnection(self.socket, timeout)
        try:
            headers = dict(headers or {})
            if isinstance(body, (dict, list)):
                body = json.dumps(body).encode()
                headers["Content-Type"] = "application/json"
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {text!r}")
        try:
            return json.loads(text)
        except ValueError:
            return text

    def containers(self):
        return self.api("GET", "/containers/json?all=1")

    def images(self):
        return sorted(tag for image in self.api("GET", "/images/json") for tag in image["RepoTags"] or [])

    def volumes(self):
        return self.api("GET", "/volumes")["Volumes"] or []

    def stop(self, sig=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(sig)
            self.process.wait(60)

    def kill9(self):
        self.stop(signal.SIGKILL)
        # The daemon's own containerd goes with it, as a service manager would have it.
        for pid in self.processes():
            if "containerd-shim" not in self.command_line(pid) and "containerd" in self.command_line(pid):
                os.kill(pid, signal.SIGKILL)
        for name in ("pid", "exec/containerd/containerd.pid"):
            if os.path.exists(os.path.join(self.dir, name)):
                os.unlink(os.path.join(self.dir, name))

    @staticmethod
    def command_line(pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                return f.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""

    def processes(self):
        mine = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
        found = {pid for pid in mine if self.dir in self.command_line(pid)}
        for root, _, files in os.walk("/sys/fs/cgroup"):
            if f"/{self.cgroup}" in root + "/" and "cgroup.procs" in files:
                with open(os.path.join(root, "cgroup.procs")) as f:
                    found.update(int(line) for line in f)
        return sorted(found)

    def destroy(self):
        try:
            for container in self.containers():
                self.api("DELETE", f"/containers/{container['Id']}?force=1&v=1")
        except (OSError, RuntimeError, http.client.HTTPException):
            pass
        self.stop()
        end = time.monotonic() + 10
        while self.processes() and time.monotonic() < end:
            for pid in self.processes():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)
        with open("/proc/self/mountinfo") as f:
            mounts = [line.split()[4] for line in f if self.dir in line]
        for path in sorted(mounts, reverse=True):
            subprocess.run(["umount", "-l", path], check=False)
        for root, _, _ in os.walk("/sys/fs/cgroup", topdown=False):
            if f"/{self.cgroup}" in root + "/":
                try:
                    os.rmdir(root)
                except OSError:
                    pass
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        if exc[0] is not None:
            print(f"--- dockerd's log ---\n{self.log()[-3000:]}")
        self.destroy()


def main():
    reason = missing()
    if reason:
        print(reason, flush=True)
        return
    daemon = Dockerd()
    try:
        daemon.start()
        print(daemon.socket, flush=True)
        sys.stdin.read()
    except RuntimeError as error:
        print(str(error).replace("\n", " "), flush=True)
    finally:
        daemon.destroy()


if __name__ == "__main__":
    main()
