// SPDX-License-Identifier: Apache-2.0
#include "cgroup/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/clock.h"
#include "base/files.h"
#include "base/strings.h"

namespace drover::cgroup {
namespace {

// The hierarchies a v1 group of ours has; the others are only cleaned, since runc makes groups in all of
// them.
constexpr const char* kManaged[] = {"cpu", "cpuacct", "cpuset", "memory", "freezer", "pids"};
constexpr int kDepthMax = 16;

// "tasks" is a file in every v1 group.
Status check_path(const std::string& path) {
    if (path.empty() || path.size() > 1024 || path.front() == '/')
        return make_error(Code::InvalidArgument,
                          "cgroup path \"{}\": expected a relative path like \"drover/web\"", path);
    for (const std::string& part : split(path, '/')) {
        if (part.empty() || part == "." || part == ".." || part == "tasks" || part.size() > 255 ||
            part.find('\n') != std::string::npos || part.find('\0') != std::string::npos)
            return make_error(Code::InvalidArgument, "cgroup path \"{}\": the part \"{}\" is not allowed",
                              path, part);
    }
    return {};
}

// One write(2) without O_CREAT: a knob that the kernel does not have is NotFound, not a new file.
Status set(const std::string& file, std::string_view value) {
    UniqueFd fd(::open(file.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
    if (!fd) return Error::from_errno(fmt::format("open {}", file));
    if (::write(fd.get(), value.data(), value.size()) < 0)
        return Error::from_errno(fmt::format("write \"{}\" to {}", value, file));
    return {};
}

// The value behind `key` in a file of "key value" lines.
uint64_t keyed(std::string_view text, std::string_view key) {
    for (size_t at = 0; at < text.size();) {
        size_t end = std::min(text.find('\n', at), text.size());
        std::string_view line = text.substr(at, end - at);
        if (line.size() > key.size() && starts_with(line, key) && line[key.size()] == ' ')
            return parse_uint(trim(line.substr(key.size() + 1))).value_or(0);
        at = end + 1;
    }
    return 0;
}

// By the entries' types, without a stat of each of the many files.
std::vector<std::string> subgroups(const std::string& dir) {
    std::vector<std::string> found;
    DIR* open_dir = ::opendir(dir.c_str());
    while (dirent* entry = open_dir ? ::readdir(open_dir) : nullptr) {
        if (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN) continue;
        if (std::string_view(entry->d_name) == "." || std::string_view(entry->d_name) == "..") continue;
        std::string path = join_path(dir, entry->d_name);
        struct stat st {};
        if (entry->d_type == DT_DIR || (::lstat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode)))
            found.push_back(std::move(path));
    }
    if (open_dir) ::closedir(open_dir);
    return found;
}

void collect_procs(const std::string& dir, int depth, std::vector<pid_t>* pids) {
    auto text = read_file(dir + "/cgroup.procs", 64u << 20);
    if (text)
        for (const std::string& line : split(*text, '\n'))
            if (auto pid = parse_int(line); pid && *pid > 0) pids->push_back(static_cast<pid_t>(*pid));
    if (depth < kDepthMax)
        for (const std::string& child : subgroups(dir)) collect_procs(child, depth + 1, pids);
}

uint64_t sum_oom_v1(const std::string& dir, int depth) {
    auto text = read_file(dir + "/memory.oom_control", 4096);
    uint64_t kills = text ? keyed(*text, "oom_kill") : 0;
    if (depth < kDepthMax)
        for (const std::string& child : subgroups(dir)) kills += sum_oom_v1(child, depth + 1);
    return kills;
}

// rmdir from the leaves up; the first errno that is neither success nor ENOENT.
int remove_group_tree(const std::string& dir, int depth) {
    if (::rmdir(dir.c_str()) == 0 || errno == ENOENT) return 0;
    int first = errno;
    if (depth >= kDepthMax) return first;
    for (const std::string& child : subgroups(dir))
        if (int failed = remove_group_tree(child, depth + 1)) first = failed;
    return ::rmdir(dir.c_str()) == 0 || errno == ENOENT ? 0 : errno;
}

// A new v1 cpuset group has neither cpus nor memory nodes, and then nobody may enter it. With clone_children,
// which the groups below inherit, the kernel copies both at the mkdir: writing them rebuilds the scheduler's
// domains and looks at every sibling, for each task anew.
Status inherit_cpuset(const std::string& dir) {
    const std::string parent = dir.substr(0, dir.find_last_of('/'));
    bool copied = true;
    for (const char* name : {"/cpuset.cpus", "/cpuset.mems"}) {
        DROVER_TRY(std::string mine, read_file(dir + name, 65536));
        if (!trim(mine).empty()) continue;
        DROVER_TRY(std::string theirs, read_file(parent + name, 65536));
        DROVER_CHECK(set(dir + name, trim(theirs)));
        copied = false;
    }
    if (!copied)
        static_cast<void>(set(dir + "/cgroup.clone_children", "1"));  // an optimisation, nothing more
    return {};
}

Status make_group_dir(const std::string& root, const std::string& path, const std::string& controller) {
    std::string dir = join_path(root, path);
    if (::mkdir(dir.c_str(), 0755) == 0 || errno == EEXIST)  // the parents are there, as nearly always
        return controller == "cpuset" && path_exists(dir + "/cpuset.cpus") ? inherit_cpuset(dir) : Status();
    dir = root;
    for (const std::string& part : split(path, '/')) {
        dir = join_path(dir, part);
        if (::mkdir(dir.c_str(), 0755) != 0 && errno != EEXIST)
            return Error::from_errno(fmt::format("mkdir {}", dir));
        if (controller == "cpuset" && path_exists(dir + "/cpuset.cpus")) DROVER_CHECK(inherit_cpuset(dir));
    }
    return {};
}

// v2: a controller works in a group when its parent hands it down. Those the kernel lacks are left out;
// limits that need them then fail with the name of the file.
void hand_down_controllers(const std::string& dir) {
    auto offered = read_file(dir + "/cgroup.controllers", 4096);
    if (!offered) return;
    for (const std::string& name : split(trim(*offered), ' '))
        if (name == "cpu" || name == "cpuset" || name == "io" || name == "memory" || name == "pids")
            static_cast<void>(set(dir + "/cgroup.subtree_control", "+" + name));
}

std::string bytes_or_max(int64_t bytes) {
    return bytes < 0 ? "max" : std::to_string(bytes);
}

Status apply_v1(const Cgroup& group, const Limits& limits) {
    auto put = [&](std::string_view controller, std::string_view file, std::string_view value) -> Status {
        std::string dir = group.dir(controller);
        if (dir.empty())
            return make_error(Code::FailedPrecondition,
                              "cgroup {}: the {} hierarchy is not mounted, {} cannot be set", group.path(),
                              controller, file);
        return set(join_path(dir, file), value);
    };
    if (limits.cpu_shares)
        DROVER_CHECK(put("cpu", "cpu.shares", std::to_string(std::max<uint64_t>(2, *limits.cpu_shares))));
    if (limits.cpu_period_us)
        DROVER_CHECK(put("cpu", "cpu.cfs_period_us", std::to_string(*limits.cpu_period_us)));
    if (limits.cpu_quota_us)
        DROVER_CHECK(put("cpu", "cpu.cfs_quota_us", std::to_string(*limits.cpu_quota_us)));
    if (!limits.cpuset_mems.empty()) DROVER_CHECK(put("cpuset", "cpuset.mems", limits.cpuset_mems));
    if (!limits.cpuset_cpus.empty()) DROVER_CHECK(put("cpuset", "cpuset.cpus", limits.cpuset_cpus));
    if (limits.memory_limit_bytes) {
        // memory+swap may never be below memory: open it first, narrow it last. Without swap accounting it is
        // not there.
        static_cast<void>(put("memory", "memory.memsw.limit_in_bytes", "-1"));
        DROVER_CHECK(put("memory", "memory.limit_in_bytes", std::to_string(*limits.memory_limit_bytes)));
    }
    if (limits.memory_soft_bytes)
        DROVER_CHECK(put("memory", "memory.soft_limit_in_bytes", std::to_string(*limits.memory_soft_bytes)));
    if (limits.memory_swap_bytes && limits.memory_limit_bytes && *limits.memory_limit_bytes >= 0) {
        int64_t both =
            *limits.memory_swap_bytes < 0 ? -1 : *limits.memory_limit_bytes + *limits.memory_swap_bytes;
        Status done = put("memory", "memory.memsw.limit_in_bytes", std::to_string(both));
        if (!done && done.error().code() != Code::NotFound) return done;
    }
    if (limits.memory_swappiness) {
        Status done = put("memory", "memory.swappiness", std::to_string(*limits.memory_swappiness));
        if (!done && done.error().code() != Code::NotFound) return done;
    }
    if (limits.pids_max) DROVER_CHECK(put("pids", "pids.max", std::to_string(*limits.pids_max)));
    return {};
}

Status apply_v2(const std::string& dir, const Limits& limits) {
    if (limits.cpu_shares) {
        uint64_t shares = std::clamp<uint64_t>(*limits.cpu_shares, 2, 262144);
        DROVER_CHECK(set(dir + "/cpu.weight", std::to_string(1 + (shares - 2) * 9999 / 262142)));
    }
    if (limits.cpu_quota_us || limits.cpu_period_us) {
        int64_t quota = limits.cpu_quota_us.value_or(-1);
        DROVER_CHECK(set(dir + "/cpu.max",
                         fmt::format("{} {}", bytes_or_max(quota), limits.cpu_period_us.value_or(100000))));
    }
    if (!limits.cpuset_mems.empty()) DROVER_CHECK(set(dir + "/cpuset.mems", limits.cpuset_mems));
    if (!limits.cpuset_cpus.empty()) DROVER_CHECK(set(dir + "/cpuset.cpus", limits.cpuset_cpus));
    if (limits.memory_limit_bytes)
        DROVER_CHECK(set(dir + "/memory.max", bytes_or_max(*limits.memory_limit_bytes)));
    if (limits.memory_soft_bytes)
        DROVER_CHECK(
            set(dir + "/memory.low", std::to_string(std::max<int64_t>(0, *limits.memory_soft_bytes))));
    if (limits.memory_swap_bytes) {
        Status done = set(dir + "/memory.swap.max", bytes_or_max(*limits.memory_swap_bytes));
        if (!done && done.error().code() != Code::NotFound) return done;  // a kernel without swap accounting
    }
    if (limits.pids_max) DROVER_CHECK(set(dir + "/pids.max", std::to_string(*limits.pids_max)));
    if (limits.io_weight) {
        Status done = set(dir + "/io.weight", std::to_string(std::clamp<uint64_t>(*limits.io_weight, 1, 10000)));
        if (!done && done.error().code() != Code::NotFound) return done;  // a kernel without the controller
    }
    return {};
}

}  // namespace

Result<Cgroup> Cgroup::open(const std::string& path, const Layout& layout) {
    DROVER_CHECK(check_path(path));
    if (layout.version == Version::None)
        return make_error(Code::FailedPrecondition,
                          "no cgroup hierarchy is mounted (looked in /proc/self/mountinfo)");
    return Cgroup(path, layout);
}

Result<Cgroup> Cgroup::create(const std::string& path, const Limits& limits, const Layout& layout) {
    DROVER_TRY(Cgroup group, open(path, layout));
    if (layout.version == Version::V2) {
        std::string dir = layout.root2;
        for (const std::string& part : split(path, '/')) {
            hand_down_controllers(dir);
            dir = join_path(dir, part);
            if (::mkdir(dir.c_str(), 0755) != 0 && errno != EEXIST)
                return Error::from_errno(fmt::format("mkdir {}", dir));
        }
    } else {
        std::vector<std::string> done;
        for (const char* controller : kManaged) {
            const std::string* root = layout.hierarchy(controller);
            if (!root || std::find(done.begin(), done.end(), *root) != done.end()) continue;
            DROVER_CHECK(make_group_dir(*root, path, controller));
            done.push_back(*root);
        }
    }
    DROVER_CHECK(group.apply(limits));
    return group;
}

std::string Cgroup::dir(std::string_view controller) const {
    if (layout_.version == Version::V2) return join_path(layout_.root2, path_);
    const std::string* root = layout_.hierarchy(controller);
    return root ? join_path(*root, path_) : std::string();
}

std::vector<std::string> Cgroup::dirs() const {
    if (layout_.version == Version::V2) return {dir("")};
    std::vector<std::string> found;
    for (const char* controller : kManaged) {
        std::string path = dir(controller);
        if (!path.empty() && std::find(found.begin(), found.end(), path) == found.end())
            found.push_back(path);
    }
    return found;
}

std::vector<std::string> Cgroup::all_dirs() const {
    if (layout_.version == Version::V2) return {dir("")};
    std::vector<std::string> found;
    for (const auto& [name, root] : layout_.hierarchies) {
        std::string path = join_path(root, path_);
        if (std::find(found.begin(), found.end(), path) == found.end()) found.push_back(path);
    }
    return found;
}

bool Cgroup::exists() const {
    for (const std::string& path : all_dirs())
        if (path_exists(path)) return true;
    return false;
}

Status Cgroup::apply(const Limits& limits) {
    return layout_.version == Version::V2 ? apply_v2(dir(""), limits) : apply_v1(*this, limits);
}

Status Cgroup::attach(pid_t pid) {
    for (const std::string& path : dirs()) DROVER_CHECK(set(path + "/cgroup.procs", std::to_string(pid)));
    return {};
}

Result<std::vector<pid_t>> Cgroup::procs() const {
    std::vector<pid_t> pids;
    for (const std::string& path : dirs()) collect_procs(path, 0, &pids);
    std::sort(pids.begin(), pids.end());
    pids.erase(std::unique(pids.begin(), pids.end()), pids.end());
    return pids;
}

uint64_t Cgroup::oom_kills() const {
    if (layout_.version == Version::V1) return sum_oom_v1(dir("memory"), 0);
    auto events = read_file(dir("") + "/memory.events", 4096);
    return events ? keyed(*events, "oom_kill") : 0;
}

Status Cgroup::freeze(bool frozen) {
    if (layout_.version == Version::V2) return set(dir("") + "/cgroup.freeze", frozen ? "1" : "0");
    if (freezer_dir().empty())
        return make_error(Code::FailedPrecondition, "cgroup {}: no freezer is mounted", path_);
    const std::string file = freezer_dir() + "/freezer.state";
    DROVER_CHECK(set(file, frozen ? "FROZEN" : "THAWED"));
    // Bounded: a process in an uninterruptible call can keep the group FREEZING; the caller's kill works all
    // the same.
    for (int i = 0; frozen && i < 50; ++i) {
        DROVER_TRY(std::string state, read_file(file, 64));
        if (trim(state) == "FROZEN") break;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return {};
}

Status Cgroup::kill_tree(int64_t timeout_ns) {
    const int64_t deadline = mono_now() + timeout_ns;
    const pid_t self = ::getpid();
    for (int64_t nap_ms = 1;; nap_ms = std::min<int64_t>(nap_ms * 2, 32)) {
        DROVER_TRY(std::vector<pid_t> left, procs());
        std::erase(left, self);
        if (left.empty()) return {};
        if (layout_.version == Version::V2 && path_exists(dir("") + "/cgroup.kill")) {
            DROVER_CHECK(set(dir("") + "/cgroup.kill", "1"));
        } else {
            const bool frozen = freeze(true).has_value();  // without a freezer: repeat until nobody is left
            DROVER_TRY(std::vector<pid_t> all, procs());
            for (pid_t pid : all)
                if (pid != self) ::kill(pid, SIGKILL);
            if (frozen) DROVER_CHECK(freeze(false));
        }
        if (mono_now() > deadline)
            return make_error(Code::DeadlineExceeded, "cgroup {}: {} processes do not die, pid {} among them",
                              path_, left.size(), left.front());
        std::this_thread::sleep_for(std::chrono::milliseconds(nap_ms));
    }
}

Status Cgroup::remove(int64_t timeout_ns) {
    const int64_t deadline = mono_now() + timeout_ns;
    for (int64_t nap_ms = 1;; nap_ms = std::min<int64_t>(nap_ms * 2, 64)) {
        int failed = 0;
        std::string where;
        for (const std::string& path : all_dirs()) {
            if (int number = remove_group_tree(path, 0)) {
                failed = number;
                where = path;
            }
        }
        if (failed == 0) return {};
        if (failed != EBUSY && failed != EINTR)
            return Error::from_errno(fmt::format("rmdir {}", where), failed);
        if (mono_now() > deadline)
            return make_error(Code::FailedPrecondition, "rmdir {}: the group is still in use by {} processes",
                              where, procs().value_or(std::vector<pid_t>()).size());
        std::this_thread::sleep_for(std::chrono::milliseconds(nap_ms));
    }
}

std::vector<std::string> Cgroup::join_files() const {
    std::vector<std::string> files;
    // v1: "0" into `tasks` moves the one thread of the writer without the global lock that `cgroup.procs`
    // takes (14 ms).
    const char* name = layout_.version == Version::V2 ? "/cgroup.procs" : "/tasks";
    for (const std::string& path : dirs()) files.push_back(path + name);
    return files;
}

std::string Cgroup::freezer_dir() const {
    return layout_.version == Version::V1 ? dir("freezer") : std::string();
}

std::string Cgroup::unified_dir() const {
    return layout_.version == Version::V2 ? dir("") : std::string();
}

std::string Cgroup::oom_file() const {
    const std::string at = dir("memory");
    if (at.empty()) return {};
    return at + (layout_.version == Version::V2 ? "/memory.events" : "/memory.oom_control");
}

}  // namespace drover::cgroup
