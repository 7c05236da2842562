// SPDX-License-Identifier: Apache-2.0
#include "drivers/qemu/qemu_kvm.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/strings.h"
#include "drivers/common/subprocess.h"

namespace drover::drivers {
namespace {

constexpr int64_t kBootNs = 10 * kSecond;
constexpr int kExitCode = 0x15 << 1 | 1;  // what isa-debug-exit makes of 0x15

// A boot sector: mov al, 0x15; out 0xf4, al; hlt.
std::string boot_sector() {
    std::string bytes("\xb0\x15\xe6\xf4\xf4", 5);
    bytes.resize(510, '\0');
    return bytes + "\x55\xaa";
}

}  // namespace

Status check_kvm(const std::string& emulator, const std::string& dir) {
    UniqueFd device(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
    if (!device) return Error::from_errno("/dev/kvm");
    device.reset();
    const std::string image = join_path(dir, ".kvm-check");
    DROVER_CHECK(make_dirs(dir, 0700));
    DROVER_CHECK(write_file(image, boot_sector(), 0600));
    auto done = run_command(
        {emulator, "-nodefaults", "-no-user-config", "-accel", "kvm", "-cpu", "host", "-m", "16M", "-display",
         "none", "-drive", "file=" + replace_all(image, ",", ",,") + ",format=raw,if=ide", "-device",
         "isa-debug-exit,iobase=0xf4,iosize=0x04"},
        kBootNs);
    ::unlink(image.c_str());
    if (!done && done.error().code() == Code::DeadlineExceeded)
        return make_error(Code::FailedPrecondition,
                          "a guest does not boot with kvm on this machine (tried for {})",
                          format_duration(kBootNs));
    if (!done) return std::move(done).error();
    if (done->exit_code != kExitCode)
        return make_error(Code::FailedPrecondition, "a guest does not boot with kvm on this machine: {}",
                          trim(done->output));
    return {};
}

}  // namespace drover::drivers
