// SPDX-License-Identifier: Apache-2.0
// Starting and finding tasks, and the one thread that watches them all.
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "base/sys/proc.h"
#include "plugin-sdk/process/process_impl.h"
#include "plugin-sdk/process/shim_client.h"
#include "plugin-sdk/process/spec_writer.h"

namespace drover::sdk {
namespace {

constexpr uint32_t kWaitId = 1;
constexpr size_t kDirNameMax = 200;
constexpr int64_t kLaunchNs =
    70 * kSecond;  // beyond any launch_timeout_ns: the shim ends a launch that hangs

Error start_failure(const shim::Record& record) {
    if (record.error_number == 0) return Error(Code::Internal, record.message);
    Error mapped = Error::from_errno("", record.error_number);
    return Error(mapped.code(), record.message);
}

// The sampling of many tasks keeps descriptors open: this process takes what it may have, tasks get what it had.
const rlimit& open_files_before() {
    static const rlimit before = [] {
        rlimit limit{};
        ::getrlimit(RLIMIT_NOFILE, &limit);
        rlimit raised{limit.rlim_max, limit.rlim_max};
        ::setrlimit(RLIMIT_NOFILE, &raised);
        return limit;
    }();
    return before;
}

std::optional<std::string> id_of_dir_name(std::string_view name) {
    std::string id;
    for (size_t i = 0; i < name.size(); ++i) {
        if (name[i] != '%') {
            id += name[i];
            continue;
        }
        int value = 0;
        if (name.size() - i < 3) return std::nullopt;
        auto [end, error] = std::from_chars(name.data() + i + 1, name.data() + i + 3, value, 16);
        if (error != std::errc() || end != name.data() + i + 3) return std::nullopt;
        id += static_cast<char>(value);
        i += 2;
    }
    return id;
}

}  // namespace

std::string task_dir_name(std::string_view task_id) {
    std::string name;
    for (char c : task_id) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                           c == '-' || c == '_' || (c == '.' && !name.empty());
        if (plain)
            name += c;
        else
            name += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    if (name.size() <= kDirNameMax) return name;
    return fmt::format("{}%.{:016x}", name.substr(0, kDirNameMax - 20),
                       shim::fnv64(task_id.data(), task_id.size()));
}

Status clear_task_dir(const std::string& dir) {
    auto names = list_dir(dir);
    if (!names) return names.error().code() == Code::NotFound ? Status() : Status(names.error());
    // Records last, the exit record at the very end: a crash in between leaves a task that is known to have
    // ended.
    auto rank = [](const std::string& name) {
        return name == shim::kExitFile      ? 4
               : name == shim::kLockFile    ? 3
               : name == shim::kStartedFile ? 2
               : name == shim::kSpecFile    ? 1
                                            : 0;
    };
    std::stable_sort(names->begin(), names->end(),
                     [&](const std::string& a, const std::string& b) { return rank(a) < rank(b); });
    for (const std::string& name : *names) {
        const std::string path = join_path(dir, name);
        struct stat st {};
        if (::lstat(path.c_str(), &st) == 0 && S_ISFIFO(st.st_mode)) continue;
        DROVER_CHECK(remove_tree(path));
    }
    if (::rmdir(dir.c_str()) != 0 && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT)
        return Error::from_errno(fmt::format("rmdir {}", dir));
    return {};
}

// ---- the watch thread
// --------------------------------------------------------------------------------------------

void ProcessHost::Impl::watch(std::shared_ptr<ProcessTask::Impl> task) {
    {
        std::lock_guard lock(mutex);
        added.push_back(std::move(task));
    }
    uint64_t one = 1;
    static_cast<void>(!::write(wake.get(), &one, sizeof one));
}

void ProcessHost::Impl::run() {
    while (!stopping) {
        {
            std::lock_guard lock(mutex);
            for (auto& task : added) retrying.push_back(std::move(task));
            added.clear();
        }
        int64_t now = mono_now();
        std::erase_if(retrying, [&](const auto& task) { return now >= task->retry_at_ns && attempt(task); });
        int timeout_ms = -1;
        now = mono_now();
        for (const auto& task : retrying) {
            int64_t left = std::max<int64_t>(0, task->retry_at_ns - now) / kMillisecond + 1;
            if (timeout_ms < 0 || left < timeout_ms) timeout_ms = static_cast<int>(left);
        }
        epoll_event events[64];
        int n = ::epoll_wait(epoll.get(), events, 64, timeout_ms);
        for (int i = 0; i < n; ++i) {
            if (events[i].data.fd == wake.get()) {
                uint64_t count;
                static_cast<void>(!::read(wake.get(), &count, sizeof count));
            } else {
                read_connection(events[i].data.fd);
            }
        }
    }
}

void ProcessHost::Impl::read_connection(int fd) {
    auto found = connected.find(fd);
    if (found == connected.end()) return;
    auto task = found->second;
    char buffer[2 * sizeof(shim::Record)];
    ssize_t n = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) return lose_connection(fd);
    task->received.append(buffer, static_cast<size_t>(n));
    shim::FrameHeader header;
    const char* payload = nullptr;
    shim::Parse parse = shim::parse_frame(task->received.data(), task->received.size(), &header, &payload);
    if (parse == shim::Parse::NeedMore) return;
    shim::Record record;
    if (parse == shim::Parse::Bad || header.bytes != sizeof record) return lose_connection(fd);
    std::memcpy(&record, payload, sizeof record);
    if (header.type != shim::FrameType::State || !shim::record_ok(record) ||
        record.phase < shim::Phase::Exited)
        return lose_connection(fd);
    connected.erase(fd);
    task->connection.reset();
    task->finish(record);
}

void ProcessHost::Impl::lose_connection(int fd) {
    auto node = connected.extract(fd);
    auto task = std::move(node.mapped());
    task->connection.reset();  // leaves the epoll set too
    task->received.clear();
    task->retry_nap_ns = 0;
    if (!attempt(task)) retrying.push_back(std::move(task));
}

bool ProcessHost::Impl::attempt(const std::shared_ptr<ProcessTask::Impl>& task) {
    if (task->ended()) return true;
    if (auto record = read_record(task->dir_fd.get(), shim::kExitFile)) {
        task->finish(*record);
        return true;
    }
    auto fd = connect_shim(task->dir_fd.get());
    if (fd && send_request(fd->get(), shim::FrameType::Wait, nullptr, 0, kWaitId)) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd->get();
        if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd->get(), &event) == 0) {
            connected[fd->get()] = task;
            task->connection = std::move(*fd);
            task->adopt_backoff_ns = 0;
            task->next_adopt_ns = mono_now() + 20 * kMillisecond;  // were it to die at once, again and again
            return true;
        }
    }
    const int64_t now = mono_now();
    if (now >= task->next_adopt_ns && !shim_alive(task->dir_fd.get())) {
        // The directory is gone: it was destroyed by someone else. Nothing can be learned any more.
        struct stat st {};
        if (::fstatat(task->dir_fd.get(), shim::kStartedFile, &st, AT_SYMLINK_NOFOLLOW) != 0 &&
            errno == ENOENT) {
            shim::Record record{};
            record.phase = shim::Phase::Lost;
            record.finished_ns = unix_now();
            std::strcpy(record.message, "the task's directory was removed");
            task->finish(record);
            return true;
        }
        log::warn("process", "the shim is gone, starting another",
                  {{"task", task->id}, {"pid", task->status.pid}});
        auto spawned = spawn_shim(shim, ShimVerb::Adopt, task->dir, task->pidfd.get());
        if (!spawned)
            log::error("process", "cannot start a shim",
                       {{"task", task->id}, {"error", spawned.error().message()}});
        task->adopt_backoff_ns =
            std::min<int64_t>(std::max<int64_t>(task->adopt_backoff_ns * 2, kSecond / 2), 30 * kSecond);
        task->next_adopt_ns = now + task->adopt_backoff_ns;
        task->retry_nap_ns = 0;
    }
    task->retry_nap_ns = std::clamp<int64_t>(task->retry_nap_ns * 2, 2 * kMillisecond, 200 * kMillisecond);
    task->retry_at_ns = now + task->retry_nap_ns;
    return false;
}

// ---- starting and finding
// ----------------------------------------------------------------------------------------

ProcessHost::ProcessHost(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ProcessHost::~ProcessHost() {
    impl_->stopping = true;
    uint64_t one = 1;
    static_cast<void>(!::write(impl_->wake.get(), &one, sizeof one));
    if (impl_->thread.joinable()) impl_->thread.join();
}

Result<std::unique_ptr<ProcessHost>> ProcessHost::open(ProcessHostOptions options) {
    auto impl = std::make_unique<Impl>();
    open_files_before();
    DROVER_CHECK(make_dirs(options.state_dir, 0700));
    impl->shim = options.shim_path;
    if (impl->shim.empty())
        if (const char* given = ::getenv("DROVER_SHIM"); given && ::access(given, X_OK) == 0)
            impl->shim = given;
    if (impl->shim.empty()) {
        DROVER_TRY(impl->shim, materialise_shim(options.state_dir));
    }
    if (!options.cgroup_parent.empty() && cgroup::mounted().version != cgroup::Version::None) {
        DROVER_TRY(auto group, cgroup::Cgroup::create(options.cgroup_parent + "/shims"));
        impl->shim_join = group.join_files();
    }
    impl->options = std::move(options);
    impl->epoll.reset(::epoll_create1(EPOLL_CLOEXEC));
    impl->wake.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!impl->epoll || !impl->wake) return Error::from_errno("epoll");
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = impl->wake.get();
    if (::epoll_ctl(impl->epoll.get(), EPOLL_CTL_ADD, impl->wake.get(), &event) != 0)
        return Error::from_errno("epoll_ctl");
    Impl* raw = impl.get();
    impl->thread = std::thread([raw] { raw->run(); });
    return std::unique_ptr<ProcessHost>(new ProcessHost(std::move(impl)));
}

const std::string& ProcessHost::shim_path() const {
    return impl_->shim;
}

std::string ProcessHost::task_dir(const std::string& task_id) const {
    return join_path(impl_->options.state_dir, task_dir_name(task_id));
}

Result<std::vector<std::string>> ProcessHost::list() const {
    DROVER_TRY(auto names, list_dir(impl_->options.state_dir));
    std::vector<std::string> ids;
    for (const std::string& name : names) {
        if (name.front() == '.') continue;
        auto summary =
            read_spec_summary(join_path(join_path(impl_->options.state_dir, name), shim::kSpecFile));
        if (summary && !summary->task_id.empty())
            ids.push_back(summary->task_id);
        else if (auto id = id_of_dir_name(name))
            ids.push_back(*id);
    }
    return ids;
}

Result<std::shared_ptr<ProcessTask::Impl>> ProcessHost::Impl::make_task(const std::string& id,
                                                                        const std::string& dir) {
    auto task = std::make_shared<ProcessTask::Impl>();
    task->id = id;
    task->dir = dir;
    task->host = this;
    task->dir_fd.reset(::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (!task->dir_fd) return Error::from_errno(fmt::format("open the task directory {}", dir));
    return task;
}

Status ProcessHost::Impl::place(const ProcessSpec& spec, std::optional<cgroup::Cgroup>* task_group,
                                std::string* spec_bytes) {
    SpecPlaces places;
    places.shim_join = shim_join;
    if (!spec.cgroup.empty()) {
        DROVER_TRY(auto group, cgroup::Cgroup::open(spec.cgroup));
        DROVER_TRY(auto member,
                   cgroup::Cgroup::open(spec.pid_file.empty() ? spec.cgroup : spec.cgroup + "/launch"));
        places.task_cgroup2 = member.unified_dir();
        if (group.version() == cgroup::Version::V1) places.task_join = member.join_files();
        places.kill_freezer = group.freezer_dir();
        places.kill_cgroup2 = group.unified_dir();
        places.oom_files.push_back(group.oom_file());
        for (const std::string& path : spec.oom_cgroups) {
            DROVER_TRY(auto below, cgroup::Cgroup::open(path));
            if (group.version() == cgroup::Version::V1) places.oom_files.push_back(below.oom_file());
        }
        std::erase(places.oom_files, std::string());
        *task_group = group;
    }
    ProcessSpec complete = spec;
    const bool has_open_files = std::any_of(spec.rlimits.begin(), spec.rlimits.end(),
                                            [](const ProcessRlimit& r) { return r.resource == RLIMIT_NOFILE; });
    if (const rlimit& before = open_files_before(); !has_open_files)
        complete.rlimits.push_back({RLIMIT_NOFILE, before.rlim_cur, before.rlim_max});
    DROVER_TRY(*spec_bytes, encode_spec(complete, places));
    return {};
}

Result<std::shared_ptr<ProcessTask>> ProcessHost::start(const ProcessSpec& spec) {
    const std::string dir = task_dir(spec.task_id);
    std::string bytes;
    std::optional<cgroup::Cgroup> group;
    DROVER_CHECK(impl_->place(spec, &group, &bytes));
    DROVER_CHECK(make_dirs(dir, 0700));
    DROVER_TRY(auto task, impl_->make_task(spec.task_id, dir));
    task->group = group;
    struct stat st {};
    for (const char* name : {shim::kStartedFile, shim::kExitFile})
        if (::fstatat(task->dir_fd.get(), name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            return make_error(Code::AlreadyExists, "task {} has been started before ({}/{} exists)",
                              spec.task_id, dir, name);
    if (auto locked = lock_task_dir(task->dir_fd.get(), 0);
        !locked)  // makes the file, which the shim does not
        return make_error(Code::AlreadyExists, "task {} is being started by another process: {}",
                          spec.task_id, locked.error().message());

    auto undo = [&]() {
        if (task->group) {
            static_cast<void>(task->group->kill_tree(10 * kSecond));
            if (Status removed = task->group->remove(10 * kSecond); !removed)
                log::warn("process", "cannot remove a cgroup",
                          {{"task", spec.task_id}, {"error", removed.error().message()}});
        }
        auto locked = lock_task_dir(task->dir_fd.get(), 5 * kSecond);
        if (locked) static_cast<void>(clear_task_dir(dir));
    };
    // The intent, group and all, is in the directory before anything exists that would have to be found
    // again.
    Status ready = [&]() -> Status {
        const std::string temp = join_path(dir, ".spec.tmp");
        DROVER_CHECK(write_file(temp, bytes));
        if (::rename(temp.c_str(), join_path(dir, shim::kSpecFile).c_str()) != 0)
            return Error::from_errno("rename spec");
        if (!task->group) return {};
        DROVER_TRY(auto made, cgroup::Cgroup::create(spec.cgroup, spec.limits));
        static_cast<void>(made);
        if (spec.pid_file.empty()) return {};
        DROVER_TRY(auto launch, cgroup::Cgroup::create(spec.cgroup + "/launch"));
        static_cast<void>(launch);
        return {};
    }();
    if (!ready) {
        undo();
        return std::move(ready).error();
    }
    auto status_fd = spawn_shim(impl_->shim, ShimVerb::Run, dir, -1);
    auto record = status_fd ? await_record(status_fd->get(), spec.launch_timeout_ns + kShimAnswerNs)
                            : Result<shim::Record>(status_fd.error());
    if (record && record->phase == shim::Phase::Running) {
        task->status = to_status(*record);
        task->pidfd.reset(sys::pidfd_open_checked(record->pid, record->start_ticks));
        impl_->watch(task);
        return std::shared_ptr<ProcessTask>(new ProcessTask(task));
    }
    if (auto fd = connect_shim(task->dir_fd.get()); fd)
        static_cast<void>(send_request(fd->get(), shim::FrameType::Forget, nullptr, 0, kWaitId));
    undo();
    if (record) return start_failure(*record);
    return std::move(record)
        .error()
        .context(fmt::format("start task {}", spec.task_id))
        .with_retry(Retry::Yes);
}

Status ProcessHost::Impl::clear_unstarted(ProcessTask::Impl* task) {
    // Under the lock: a shim on its way here finds nothing to start when we are done.
    auto locked = lock_task_dir(task->dir_fd.get(), 0);
    if (!locked || path_exists(join_path(task->dir, shim::kStartedFile)) ||
        path_exists(join_path(task->dir, shim::kExitFile)))
        return make_error(Code::Unavailable, "task {} is still being started", task->id)
            .with_retry(Retry::Yes);
    if (task->group) {
        DROVER_CHECK(task->group->kill_tree(10 * kSecond));
        DROVER_CHECK(task->group->remove(10 * kSecond));
    }
    return clear_task_dir(task->dir);
}

Result<std::shared_ptr<ProcessTask>> ProcessHost::recover(const std::string& task_id, InLaunch in_launch) {
    const std::string dir = task_dir(task_id);
    DROVER_TRY(auto task, impl_->make_task(task_id, dir));
    auto summary = read_spec_summary(join_path(dir, shim::kSpecFile));
    if (summary && !summary->cgroup.empty()) {
        auto group = cgroup::Cgroup::open(summary->cgroup);
        if (group) task->group = *group;
    }
    const int dir_fd = task->dir_fd.get();
    auto done = [&](const shim::Record& record) {
        task->status = to_status(record);
        return std::shared_ptr<ProcessTask>(new ProcessTask(task));
    };
    // An exit record is renamed into place only after it was fsynced: of whichever boot, it is true.
    if (auto record = read_record(dir_fd, shim::kExitFile)) return done(*record);

    auto started = read_record(dir_fd, shim::kStartedFile);
    for (int64_t deadline = mono_now() + 5 * kSecond; !started && started.error().code() == Code::NotFound &&
                                                      shim_alive(dir_fd) && mono_now() < deadline;) {
        sys::nap_ms(5);  // our predecessor died while its shim was starting: it will say soon
        started = read_record(dir_fd, shim::kStartedFile);
    }
    if (!started && started.error().code() == Code::NotFound) {
        DROVER_CHECK(impl_->clear_unstarted(task.get()));
        return make_error(Code::NotFound, "task {} was never started", task_id);
    }
    if (!started || !summary) {  // a crash of the machine may leave files without their content
        shim::Record record = started ? *started : shim::Record{};
        record.phase = shim::Phase::Lost;
        record.finished_ns = unix_now();
        std::strcpy(record.message, "the task directory is damaged, exit status unknown");
        return done(record);
    }

    std::optional<shim::Record> now;
    if (auto fd = connect_shim(dir_fd);
        fd && send_request(fd->get(), shim::FrameType::Status, nullptr, 0, kWaitId))
        if (auto reply = await_reply(fd->get(), kWaitId, kShimAnswerNs)) now = *reply;
    if (auto record = read_record(dir_fd, shim::kExitFile)) return done(*record);  // it ended while we asked
    if (!now) {
        UniqueFd pidfd(sys::pidfd_open_checked(started->pid, started->start_ticks));
        DROVER_TRY(UniqueFd status_fd, spawn_shim(impl_->shim, ShimVerb::Adopt, dir, pidfd.get()));
        DROVER_TRY(now, await_record(status_fd.get(), kShimAnswerNs));
        // Refusals are not records of the task: the truth is asked for again.
        if (now->phase == shim::Phase::StartFailed)
            if (auto record = read_record(dir_fd, shim::kExitFile); !record)
                return make_error(Code::Unavailable, "take over task {}: {}", task_id, now->message)
                    .with_retry(Retry::Yes);
    }
    // The pid would be the launcher's, which is about to go.
    for (int64_t deadline = mono_now() + kLaunchNs;
         now->phase == shim::Phase::Launching && in_launch == InLaunch::Await;) {
        if (mono_now() >= deadline || !shim_alive(dir_fd))
            return make_error(Code::Unavailable, "task {} is still being started", task_id)
                .with_retry(Retry::Yes);
        sys::nap_ms(5);
        if (auto record = read_record(dir_fd, shim::kExitFile)) return done(*record);
        if (auto record = read_record(dir_fd, shim::kStartedFile)) now = *record;
    }
    if (now->phase >= shim::Phase::Exited) return done(*now);
    task->status = to_status(*now);
    task->pidfd.reset(sys::pidfd_open_checked(now->pid, now->start_ticks));
    impl_->watch(task);
    return std::shared_ptr<ProcessTask>(new ProcessTask(task));
}

}  // namespace drover::sdk
