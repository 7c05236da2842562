# SPDX-License-Identifier: Apache-2.0
"""The guest that the tests of the qemu driver boot: `driver_guest.py DIR` makes DIR/vmlinuz and DIR/initrd and prints
both paths; exit code 77 and the reason when that cannot be done here (1 on CI, where it must be possible).

On its kernel's command line it takes `drover.run=<base64 of a shell script>`, has a network card, Debian's guest agent,
a power button that works, and `qemu-exit`, with which (and isa-debug-exit) a guest gives qemu an exit code.
"""
import base64
import fcntl
import glob
import os
import shutil
import struct
import subprocess
import sys
import tempfile

import guest

EXIT_CODE = 11  # what qemu-exit makes of qemu's, given -device isa-debug-exit,iobase=0xf4,iosize=0x04
ARGS = ["-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]

INIT = """
ip link set eth0 up 2>/dev/null && ip addr add 10.0.2.15/24 dev eth0 && ip route add default via 10.0.2.2
mkdir -p /dev/virtio-ports /var/run
for port in /sys/class/virtio-ports/*; do
    [ -e $port/name ] && ln -s ../${port##*/} /dev/virtio-ports/$(cat $port/name)
done
# As acpid and logind do it.
for event in /dev/input/event*; do
    [ -e "$event" ] && { dd if=$event of=/dev/null bs=24 count=1 2>/dev/null; echo powering down; poweroff -f; } &
done
for word in $(cat /proc/cmdline); do
    case $word in drover.run=*) echo ${word#drover.run=} | base64 -d > /run.sh;; esac
done
sh /run.sh
"""


def append(script):
    """The kernel's command line that makes the guest run `script` (POSIX shell) and then power off."""
    return "console=ttyS0 quiet panic=-1 drover.run=" + base64.b64encode(script.encode()).decode()


def exit_program():
    """An ELF program that writes 5 to port 0xf4."""
    code = (b"\xb8\xac\0\0\0\xbf\3\0\0\0\x0f\x05"       # iopl(3)
            b"\xb0\5\xe6\xf4"                            # out 0xf4, 5
            b"\xb8\x3c\0\0\0\xbf\1\0\0\0\x0f\x05")      # exit(1)
    base, headers = 0x400000, 64 + 56
    size = headers + len(code)
    return (struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, base + headers, 64, 0, 0, 64, 56, 1, 64, 0, 0)
            + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 4096) + code)


def unpack(names, folder):
    """Debian packages into one folder."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(folder)) as temp:
        got = subprocess.run(["apt-get", "download", "-q", *names], cwd=temp, capture_output=True, text=True,
                             check=False)
        if got.returncode:
            raise guest.Missing(f"the packages {names}: {got.stderr.strip()[-300:]}")
        for package in glob.glob(os.path.join(temp, "*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, os.path.join(temp, "root")], check=True)
        os.rename(os.path.join(temp, "root"), folder)


def make(folder):
    """(kernel, initrd) in `folder`; made once, also when several tests ask at the same time."""
    folder = os.path.abspath(folder)
    os.makedirs(folder, exist_ok=True)
    image, initrd = os.path.join(folder, "vmlinuz"), os.path.join(folder, "initrd")
    with open(os.path.join(folder, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        newest = max(os.path.getmtime(os.path.abspath(file)) for file in (__file__, guest.__file__))
        if os.path.exists(initrd) and os.path.getmtime(initrd) > newest:
            return image, initrd
        kernel = guest.Kernel()
        shutil.copyfile(kernel.image, image)
        files = guest.Initramfs(kernel)
        files.add_modules("virtio_pci", "virtio_net", "virtio_console", "evdev", "button")
        agent = os.path.join(folder, "agent")
        if not os.path.exists(agent):
            unpack(["qemu-guest-agent", "liburing2"], agent)
        libraries = os.path.join(agent, "usr/lib/x86_64-linux-gnu")
        os.environ["LD_LIBRARY_PATH"] = libraries
        files.add_program("/bin/qemu-ga", os.path.join(agent, "usr/sbin/qemu-ga"))
        files.add("/lib/x86_64-linux-gnu/liburing.so.2", os.path.realpath(os.path.join(libraries, "liburing.so.2")))
        files.add("/bin/qemu-exit", exit_program(), 0o755)
        files.write(initrd + ".new", INIT)
        os.rename(initrd + ".new", initrd)
    return image, initrd


def main():
    try:
        print(*make(sys.argv[1]), sep="\n")
    except guest.Missing as reason:
        print(reason)
        sys.exit(1 if os.environ.get("CI") == "true" else 77)


if __name__ == "__main__":
    main()
