// SPDX-License-Identifier: Apache-2.0
// A new shim takes over where another was killed: from the files alone it finds the process again, or says
// truthfully that it is gone. The task is not its child, so its exit status comes from the kernel's pidfd or
// not at all.
#include <sys/wait.h>

#include "shim/shim.h"

namespace drover::shim {

void adopt(Shim& shim, int inherited_pidfd) {
    Record found;
    uint8_t boot_id[16];
    std::memcpy(boot_id, shim.record.boot_id, sizeof boot_id);
    const int32_t shim_pid = shim.record.shim_pid;
    if (read_record(shim.dir_fd, kExitFile, &found) && found.phase >= Phase::Exited) {
        shim.record = found;  // all that is left to do is to empty the FIFOs
        shim.durable = true;
        return;
    }
    if (!read_record(shim.dir_fd, kStartedFile, &found)) {
        // No child passes the gate before this file is there.
        return end_with(shim, Phase::StartFailed, "the shim was killed before it had started the command", 0);
    }
    const bool same_boot = std::memcmp(found.boot_id, boot_id, sizeof boot_id) == 0;
    shim.record = found;
    shim.record.shim_pid = shim_pid;
    shim.record.adopted = found.adopted + 1;
    std::memcpy(shim.record.boot_id, boot_id, sizeof boot_id);
    shim.launch_deadline_ns = sys::mono_ns() + static_cast<int64_t>(shim.spec.launch_ms) * 1'000'000;
    if (!same_boot) return end_with(shim, Phase::Lost, "the machine was restarted while the task ran", 0);

    // A shim killed in the middle of a kill leaves the group frozen.
    if (shim.spec.kill_freezer) {
        sys::Text<4096> path;
        path.add(shim.spec.kill_freezer).add("/freezer.state");
        sys::write_small_at(AT_FDCWD, path.c_str(), "THAWED");
    }
    shim.pidfd = inherited_pidfd >= 0 ? inherited_pidfd
                                      : sys::pidfd_open_checked(shim.record.pid, shim.record.start_ticks);
    if (shim.pidfd < 0 && shim.record.phase == Phase::Launching) {
        launcher_done(shim, false, 0);
    } else if (shim.pidfd < 0) {
        end_with(shim, Phase::Lost,
                 "supervisor lost: the task ended while its shim was dead, exit status unknown", 0);
    } else if (!write_started(shim)) {
        note(shim, "write started", errno);
    }
}

bool foreign_wait_status(Shim& shim, int* wait_status) {
    // The kernel gives it out once the process was reaped (by init); a zombie's stands in its stat file.
    for (int i = 0; i < 1000; ++i) {
        if (sys::pidfd_wait_status(shim.pidfd, wait_status)) return true;
        sys::ProcStat stat = sys::read_proc_stat(shim.record.pid);
        bool same = stat.found && stat.start_ticks == shim.record.start_ticks;
        if (same && stat.state == 'Z') {
            *wait_status = stat.wait_status;
            return true;
        }
        if (!same && i > 50) return false;
        sys::nap_ms(2);
    }
    return false;
}

}  // namespace drover::shim
