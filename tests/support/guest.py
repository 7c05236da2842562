# SPDX-License-Identifier: Apache-2.0
"""A qemu guest for tests: a Debian cloud kernel unpacked from its package (never installed), an initramfs made here of
busybox and what a test puts in, results by the serial console.

    kernel = guest.Kernel()
    image = guest.Initramfs(kernel)
    image.add_program("/bin/tool", "/usr/bin/tool")       # with its shared libraries
    image.add_modules("overlay")
    image.write(path, init="echo hello; exit 3")           # sh, as pid 1's child; its exit status comes back
    status = guest.boot(kernel, path, on_line=print).status

Packages: qemu-system-x86, busybox-static, and apt-get to download the kernel's (kept in <build>/guest).
"""
import fcntl
import glob
import os
import re
import shutil
import stat
import subprocess
import tempfile
import threading
import time

BUILD = os.environ.get("DROVER_BUILD_DIR") or os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "dev")
QEMU = "qemu-system-x86_64"
STATUS = re.compile(r"guest-init: status (\d+)")
END = re.compile(r"reboot: |Kernel panic")


class Missing(Exception):
    """A part that the guest needs is not on this machine; the text names it."""


class Kernel:
    """The kernel of linux-image-cloud-amd64: .image is its vmlinuz, .modules its directory of modules."""

    def __init__(self, folder=None):
        self.folder = folder or os.path.join(BUILD, "guest")
        os.makedirs(self.folder, exist_ok=True)
        with open(os.path.join(self.folder, "lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # tests run beside one another
            if not self._found():
                self._unpack()
        if not self._found():
            raise Missing("the kernel's package holds no vmlinuz")

    def _found(self):
        images = glob.glob(os.path.join(self.folder, "root/boot/vmlinuz-*"))
        if images:
            self.image = images[0]
            self.version = os.path.basename(images[0]).removeprefix("vmlinuz-")
            self.modules = os.path.join(self.folder, "root/lib/modules", self.version)
        return bool(images)

    def _unpack(self):
        if not shutil.which("apt-get"):
            raise Missing("apt-get, to download a Debian kernel with")
        depends = subprocess.run(["apt-cache", "depends", "linux-image-cloud-amd64"], capture_output=True, text=True)
        names = re.findall(r"Depends: (linux-image-\S+)", depends.stdout)
        if not names:
            raise Missing("the package linux-image-cloud-amd64 (apt-cache does not know it: run apt-get update)")
        with tempfile.TemporaryDirectory(dir=self.folder) as temp:
            got = subprocess.run(["apt-get", "download", "-q", names[0]], cwd=temp, capture_output=True, text=True)
            packages = glob.glob(os.path.join(temp, "*.deb"))
            if got.returncode or not packages:
                raise Missing(f"the package {names[0]}: {got.stderr.strip()[-300:]}")
            subprocess.run(["dpkg-deb", "-x", packages[0], os.path.join(temp, "root")], check=True)
            os.rename(os.path.join(temp, "root"), os.path.join(self.folder, "root"))

    def module_files(self, *names):
        """Paths of modules with those they need before them, in the order of loading. Built in ones have no file."""
        needs = {}
        with open(os.path.join(self.modules, "modules.order")) as f:
            files = [line.strip() for line in f]
        by_name = {os.path.basename(path).removesuffix(".ko").replace("-", "_"): path for path in files}

        def visit(name):
            path = by_name.get(name.replace("-", "_"))
            if not path or path in needs:
                return
            with open(os.path.join(self.modules, path), "rb") as f:
                depends = re.search(rb"\0depends=([^\0]*)\0", f.read())
            for other in filter(None, (depends.group(1).decode() if depends else "").split(",")):
                visit(other)
            needs[path] = True

        for name in names:
            visit(name)
        return [os.path.join(self.modules, path) for path in needs]


class Initramfs:
    """Collects files by their path in the guest, then writes them as a cpio archive (the kernel's "newc")."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.files = {}  # path in the guest -> (mode, bytes or path on this machine)
        self.modules = []
        busybox = "/bin/busybox"
        if not os.path.exists(busybox) or needed_libraries(busybox):
            raise Missing("a static busybox (package busybox-static)")
        for folder in ("proc", "sys", "dev", "tmp", "root", "etc", "run", "bin", "sbin", "usr/bin", "usr/sbin",
                       "lib", "lib64", "usr/lib", "var/lib"):
            self.add_folder("/" + folder)
        self.files["/tmp"] = (stat.S_IFDIR | 0o1777, b"")
        self.add("/bin/busybox", busybox)
        applets = subprocess.run([busybox, "--list-full"], capture_output=True, text=True, check=True).stdout
        for applet in applets.split():
            self.files.setdefault("/" + applet, (stat.S_IFLNK | 0o777, b"/bin/busybox"))

    def add_folder(self, path, mode=0o755):
        parts = path.strip("/").split("/")
        for i in range(1, len(parts) + 1):
            self.files.setdefault("/" + "/".join(parts[:i]), (stat.S_IFDIR | mode, b""))

    def add(self, path, source, mode=None):
        """One file: bytes, or a path on this machine (symlinks followed)."""
        self.add_folder(os.path.dirname(path))
        if mode is None:
            mode = 0o644 if isinstance(source, bytes) else os.stat(source).st_mode & 0o7777
        self.files[path] = (stat.S_IFREG | mode, source)

    def add_link(self, path, target):
        self.add_folder(os.path.dirname(path))
        self.files[path] = (stat.S_IFLNK | 0o777, target.encode())

    def add_program(self, path, source, strip=False):
        """A program and the shared libraries it needs, these at the paths they have on this machine."""
        for library in needed_libraries(source):
            self.add(library, os.path.realpath(library))
        if strip and shutil.which("strip"):
            with tempfile.NamedTemporaryFile() as small:
                subprocess.run(["strip", "-o", small.name, source], check=True)
                with open(small.name, "rb") as f:
                    self.add(path, f.read(), mode=0o755)
        else:
            self.add(path, source)

    def add_tree(self, path, source):
        """A directory of this machine; symlinks stay symlinks."""
        self.add_folder(path)
        for root, folders, names in os.walk(source):
            inside = path.rstrip("/") + "/" + os.path.relpath(root, source) if root != source else path
            for name in folders + names:
                full, there = os.path.join(root, name), os.path.join(inside, name)
                if os.path.islink(full):
                    self.add_link(there, os.readlink(full))
                elif os.path.isdir(full):
                    self.add_folder(there)
                elif os.path.isfile(full):
                    self.add(there, full)

    def add_modules(self, *names):
        """Loaded before init's script starts, with what they need."""
        for source in self.kernel.module_files(*names):
            there = f"/lib/modules/{os.path.basename(source)}"
            if there not in self.modules:
                self.add(there, source)
                self.modules.append(there)

    def write(self, path, init):
        """`init` is a shell script; when it ends its exit status is told and the guest powers off."""
        load = "".join(f"insmod {module}\n" for module in self.modules)
        self.add("/init", f"""#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
ip link set lo up
{load}setsid sh /script < /dev/null
echo "guest-init: status $?"
sync
poweroff -f
""".encode(), 0o755)
        self.add("/script", init.encode(), 0o755)
        with open(path, "wb") as out:
            position = 0
            for number, (name, (mode, source)) in enumerate(sorted(self.files.items()), 1):
                if isinstance(source, bytes):
                    data = source
                else:
                    with open(source, "rb") as f:
                        data = f.read()
                position += cpio_entry(out, position, number, name.lstrip("/"), mode, data)
            cpio_entry(out, position, 0, "TRAILER!!!", 0, b"")


def cpio_entry(out, position, number, name, mode, data):
    raw = name.encode() + b"\0"
    head = b"070701" + b"".join(b"%08x" % value for value in (
        number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)) + raw
    head += b"\0" * (-(position + len(head)) % 4)
    tail = b"\0" * (-len(data) % 4)
    out.write(head + data + tail)
    return len(head) + len(data) + len(tail)


def needed_libraries(program):
    """Absolute paths of the shared libraries of a program, its loader included; none for a static one."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True)
    missing = re.findall(r"(\S+) => not found", listed.stdout)
    if missing:
        raise Missing(f"shared libraries of {program}: {', '.join(missing)}")
    return re.findall(r"(?:=> )?(/\S+) \(0x", listed.stdout)


def accelerator():
    """"kvm" where a guest really boots with it, else "tcg"."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    # The same processor as in boot(): nested or restricted hosts refuse some of its registers, and qemu dies of that.
    try:
        done = subprocess.run([QEMU, "-accel", "kvm", "-cpu", "host", "-m", "32", "-nodefaults", "-display", "none", "-monitor", "stdio"],
                              input="info status\nquit\n", capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "tcg"
    return "kvm" if done.returncode == 0 and "running" in done.stdout else "tcg"


class Boot:
    """How a guest went: .status of its script (None: it never came to its end), .lines of its console, .seconds."""

    def __init__(self):
        self.status = None
        self.lines = []
        self.seconds = 0.0


def boot(kernel, initramfs, on_line=None, accel=None, memory_mb=1024, cpus=2, append="", args=(), timeout=300):
    """Runs a guest to its end; `on_line` sees each line of its console. The guest is killed after `timeout` seconds."""
    if not shutil.which(QEMU):
        raise Missing(f"{QEMU} (package qemu-system-x86)")
    accel = accel or accelerator()
    command = [QEMU, "-accel", accel, "-m", str(memory_mb), "-smp", str(cpus), "-nodefaults", "-display", "none",
               "-no-reboot", "-serial", "stdio", "-kernel", kernel.image, "-initrd", initramfs,
               "-append", f"console=ttyS0 quiet panic=-1 {append}".strip(), *args]
    if accel == "kvm":
        command += ["-cpu", "host"]
    result = Boot()
    start = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    killer = threading.Timer(timeout, process.kill)
    killer.start()
    try:
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip("\r\n")
            result.lines.append(line)
            if on_line:
                on_line(line)
            if found := STATUS.search(line):
                result.status = int(found.group(1))
        process.wait()
    finally:
        killer.cancel()
        if process.poll() is None:
            process.kill()
            process.wait()
    result.seconds = time.monotonic() - start
    return result
