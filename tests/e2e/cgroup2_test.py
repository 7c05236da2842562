# SPDX-License-Identifier: Apache-2.0
"""raw_exec and exec on a machine that has cgroup v2 only: a qemu guest boots in seconds, and the drivers' conformance
suite, with lib/cgroup's own tests, runs inside it. Passes when each of them passes there and none is skipped."""
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import guest  # noqa: E402

# A bind mount over the initramfs: what containers need to pivot away from, which the initramfs itself is not.
SCRIPT = """
mount --bind / /mnt && cd /mnt && mount --move . / && exec chroot . /bin/sh /run-tests
"""

RUN_TESTS = """
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DROVER_BUILD_DIR=/drover GTEST_COLOR=no
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t mqueue mqueue /dev/mqueue
mount -t tmpfs -o mode=1777 tmp /tmp
failed=0
for test in $(cat /tests); do
    echo "test: $test"
    /drover/$test $(cat /filter-$test 2>/dev/null) || failed=1
done
[ "$(ls -d /sys/fs/cgroup/drover-test-* 2>/dev/null)" = "" ] || { echo "left: cgroups"; failed=1; }
[ "$(ls -A /tmp)" = "" ] || { echo "left: $(ls -A /tmp)"; failed=1; }
exit $failed
"""

FILES = {
    "/etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "/etc/group": b"root:x:0:\nnogroup:x:65534:\n",
    "/etc/resolv.conf": b"",
    "/etc/hosts": b"127.0.0.1 localhost\n",
}


def image(kernel, tests):
    files = guest.Initramfs(kernel)
    files.add_folder("/mnt")
    files.add_program("/bin/sh", "/bin/dash")  # busybox's shell adds to its environment
    for plugin in ("plugins/drover-driver-raw_exec", "plugins/drover-driver-exec"):
        files.add_program(f"/drover/lib/drover/{plugin}", os.path.join(guest.BUILD, "lib/drover", plugin), strip=True)
    for path, arguments in tests.items():
        name = os.path.basename(path)
        files.add_program(f"/drover/{name}", os.path.join(guest.BUILD, path), strip=True)
        files.add(f"/filter-{name}", arguments.encode())
    files.add("/tests", "\n".join(os.path.basename(path) for path in tests).encode())
    files.add_program("/usr/sbin/runc", "/usr/sbin/runc")
    for path, content in FILES.items():
        files.add(path, content)
    files.add("/run-tests", RUN_TESTS.encode())
    return files


def main():
    tests = {
        # A gigabyte takes an emulated processor minutes, and has nothing to do with cgroups.
        "tests/conformance/driver_conformance_test": "--gtest_filter=*/raw_exec:*/exec:-*OneLongLine*",
        "lib/cgroup/cgroup_test": "",
    }
    ran, skipped, failed = [], [], []

    def on_line(line):
        print(line, flush=True)
        if found := re.search(r"\[ +(OK|SKIPPED|FAILED) +\] ([\w/.]+\.\S+?)(?:,| \(|$)", line):
            {"OK": ran, "SKIPPED": skipped, "FAILED": failed}[found.group(1)].append(found.group(2))

    try:
        kernel = guest.Kernel()
        with tempfile.TemporaryDirectory(prefix="drover-guest-") as folder:
            path = os.path.join(folder, "initramfs")
            image(kernel, tests).write(path, SCRIPT)
            boot = guest.boot(kernel, path, on_line=on_line, memory_mb=2048, timeout=840)
    except guest.Missing as missing:
        print(f"needs {missing}")
        return 1 if os.environ.get("CI") == "true" else 77
    print(f"{len(ran)} passed, {len(skipped)} skipped, {len(failed)} failed, in {boot.seconds:.0f} s of guest")
    if boot.status != 0:
        print("the guest's tests failed" if boot.status else "the guest did not come to its end")
        return 1
    # v1's own tests have nothing to test there; all else must have run.
    unexpected = [name for name in skipped if "V1" not in name]
    if unexpected or len(ran) < 40:
        print(f"not run: {unexpected}; {len(ran)} tests ran")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
