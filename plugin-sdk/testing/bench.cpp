// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/testing/bench.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/files.h"
#include "base/strings.h"
#include "base/sys/proc.h"
#include "base/uuid.h"
#include "cgroup/cgroup.h"
#include "plugin-sdk/testing/usage.h"

extern char** environ;

namespace drover::sdk::testing {
namespace {

constexpr int kPipeBytes = 1 << 20;  // what a task may print before it has to wait for us
constexpr size_t kLastWordsMax = 400;

// What an agent's own environment gives to a plugin, without what other hosts may have put there for
// themselves.
StringMap inherited_environment() {
    StringMap out;
    for (char** entry = environ; *entry; ++entry) {
        const std::string_view text = *entry;
        const size_t equals = text.find('=');
        if (equals == std::string_view::npos || starts_with(text, "PLUGIN_") ||
            starts_with(text, "NOMAD_PLUGIN_"))
            continue;
        out.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
    return out;
}

}  // namespace

Result<std::unique_ptr<Bench>> Bench::create(const SuiteOptions& options) {
    std::unique_ptr<Bench> bench(new Bench(options));
    char name[] = "/tmp/drover-check-XXXXXX";
    if (!::mkdtemp(name)) return Error::from_errno(name);
    bench->dir_ = name;
    // Tasks may run as other users: they get through to their own directory and see nothing else.
    if (::chmod(name, 0711) != 0) return Error::from_errno(name);
    bench->cgroup_ = "drover-check-" + short_id(new_uuid());
    for (const char* sub : {"/alloc/data", "/alloc/logs", "/alloc/tmp", "/check/local", "/check/private",
                            "/check/secrets", "/check/tmp"}) {
        const std::string path = bench->dir_ + "/alloc" + sub;
        DROVER_CHECK(make_dirs(path, 0755));
        if (::chmod(path.c_str(), 0777) != 0) return Error::from_errno(path);
    }
    for (const char* sub : {"/tasks", "/plugin"}) DROVER_CHECK(make_dirs(bench->dir_ + sub, 0700));
    ::prctl(PR_GET_CHILD_SUBREAPER, &bench->subreaper_before_);
    if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return Error::from_errno("prctl(PR_SET_CHILD_SUBREAPER)");
    bench->before_ = descendants(::getpid());
    return bench;
}

Bench::~Bench() {
    if (plugin_) (void)forget_all();
    drop();
    tasks_.clear();
    // Whatever the plugin did not do: its tasks, and helpers that it forgot.
    if (auto group = cgroup::Cgroup::open(cgroup_); group && group->exists()) {
        (void)group->kill_tree(5 * kSecond);
        (void)group->remove(5 * kSecond);
    }
    eventually([this] {
        const std::set<pid_t> left = processes();
        for (pid_t pid : left) ::kill(pid, SIGKILL);
        return left.empty();
    });
    ::prctl(PR_SET_CHILD_SUBREAPER, subreaper_before_);
    if (!dir_.empty()) (void)remove_tree(dir_);
}

LaunchOptions Bench::launch_options() const {
    LaunchOptions out;
    out.binary = options_.binary;
    out.env = inherited_environment();
    out.env["PLUGIN_MIN_PORT"] = "10000";
    out.env["PLUGIN_MAX_PORT"] = "25000";
    out.env["PLUGIN_UNIX_SOCKET_DIR"] = dir_ + "/plugin";
    out.env["DROVER_TASK_STATE_DIR"] = dir_ + "/tasks";
    out.env["DROVER_CGROUP_PARENT"] = cgroup_;
    out.stderr_path = dir_ + "/stderr";
    out.call_timeout_ns = options_.call_timeout_ns;
    return out;
}

Result<std::unique_ptr<PluginProcess>> Bench::another() {
    return PluginProcess::launch(launch_options());
}

Status Bench::configure(PluginProcess& plugin, bool with_agent) {
    DROVER_TRY(auto schema, plugin.config_schema());
    std::string msgpack;
    if (schema && config_.plugin) {
        DROVER_TRY(msgpack, config_.plugin(*schema).context("the plugin's config block"));
    } else if (schema) {
        DROVER_TRY(msgpack, empty_config()(*schema));
    } else if (config_.plugin) {
        return make_error(Code::InvalidArgument, "a config block is given, but the plugin takes none");
    }
    AgentConfig agent{.port_min = 14000, .port_max = 14512, .topology = Topology{}};
    return plugin.set_config(msgpack, with_agent ? std::optional(agent) : std::nullopt);
}

ConfigSource Bench::empty_config() const {
    return options_.empty_config ? options_.empty_config : plain_config({});
}

Result<PluginProcess*> Bench::plugin() {
    if (plugin_ && sys::read_proc_stat(plugin_->pid()).state != 'Z') return plugin_.get();
    drop();
    DROVER_TRY(auto launched, another());
    DROVER_CHECK(configure(*launched, true).context("SetConfig"));
    plugin_ = std::move(launched);
    return plugin_.get();
}

Result<PluginProcess*> Bench::relaunch_after_kill() {
    drop();
    return plugin();
}

void Bench::drop() {
    plugin_.reset();
}

std::unique_ptr<PluginProcess> Bench::take() {
    return std::move(plugin_);
}

Result<Bench::Pipe> Bench::make_pipe(const std::string& path) {
    Pipe out;
    out.path = path;
    if (::mkfifo(path.c_str(), 0600) != 0 || ::chmod(path.c_str(), 0666) != 0) return Error::from_errno(path);
    out.fd.reset(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (!out.fd) return Error::from_errno(path);
    (void)::fcntl(out.fd.get(), F_SETPIPE_SZ, kPipeBytes);
    return out;
}

Result<TaskConfig> Bench::make_task(const SuiteTask& task) {
    DROVER_TRY(PluginProcess * driver, plugin());
    DROVER_TRY(HclSpec schema, driver->task_config_schema());
    TaskConfig out;
    DROVER_TRY(out.msgpack_driver_config, task.config(schema).context("the task's config block"));
    const std::string suffix = short_id(new_uuid());
    out.alloc_id = "5f0f6a3e-0000-4000-8000-drovercheck0";
    out.id = fmt::format("{}/check/{}", out.alloc_id, suffix);
    out.name = "check";
    out.job_id = out.job_name = "drover-check";
    out.task_group_name = "check";
    out.namespace_name = "default";
    out.node_name = "check";
    out.env = {{"PATH", "/usr/local/bin:/usr/bin:/bin"}, {"NOMAD_TASK_NAME", "check"}};
    out.resources.cpu_mhz = out.resources.linux_resources.cpu_shares = 100;
    out.resources.memory_mb = 256;
    out.resources.linux_resources.memory_limit_bytes = out.resources.memory_mb << 20;
    out.user = task.user;
    out.alloc_dir = dir_ + "/alloc";
    const std::string logs = fmt::format("{}/alloc/logs/.check.{}-{}", out.alloc_dir, suffix, ++tasks_made_);
    Pipes pipes;
    DROVER_TRY(pipes.out, make_pipe(logs + ".stdout.fifo"));
    DROVER_TRY(pipes.err, make_pipe(logs + ".stderr.fifo"));
    out.stdout_path = pipes.out.path;
    out.stderr_path = pipes.err.path;
    tasks_.emplace(out.id, std::move(pipes));
    return out;
}

Result<StartedTask> Bench::start(const SuiteTask& task) {
    DROVER_TRY(TaskConfig config, make_task(task));
    DROVER_TRY(PluginProcess * driver, plugin());
    return driver->start_task(config).context("StartTask");
}

Status Bench::forget(const std::string& task_id) {
    Status destroyed = plugin_ ? plugin_->destroy_task(task_id, true) : Status();
    if (auto found = tasks_.find(task_id); found != tasks_.end()) {
        ::unlink(found->second.out.path.c_str());
        ::unlink(found->second.err.path.c_str());
        tasks_.erase(found);
    }
    return std::move(destroyed).context("DestroyTask with force");
}

Status Bench::forget_all() {
    Status all;
    while (!tasks_.empty()) {
        const std::string id = tasks_.begin()->first;
        if (Status one = forget(id); !one) {
            all = std::move(one);
            // One that hangs would hang for each task: the rest is killed by the cleaning up.
            if (all.error().code() == Code::DeadlineExceeded) drop();
        }
    }
    return all;
}

std::string Bench::printed(const std::string& task_id) {
    auto found = tasks_.find(task_id);
    if (found == tasks_.end()) return "";
    for (Pipe* pipe : {&found->second.out, &found->second.err}) {
        char bytes[4096];
        for (ssize_t n; (n = ::read(pipe->fd.get(), bytes, sizeof bytes)) > 0;)
            pipe->text.append(bytes, static_cast<size_t>(n));
    }
    return found->second.out.text;
}

pid_t Bench::task_pid(const std::string& task_id) {
    if (!plugin_) return 0;
    auto status = plugin_->inspect_task(task_id);
    if (!status) return 0;
    auto pid = status->attributes.find("pid");
    return pid == status->attributes.end() ? 0 : static_cast<pid_t>(parse_int(pid->second).value_or(0));
}

bool Bench::eventually(const std::function<bool()>& condition, int64_t timeout_ns) const {
    for (const int64_t deadline = mono_now() + timeout_ns; mono_now() < deadline; ::usleep(5000))
        if (condition()) return true;
    return condition();
}

std::set<pid_t> Bench::processes() const {
    // Orphans come to us, dead ones too. Of our own children only the plugin is waited for elsewhere.
    const pid_t mine = plugin_ ? plugin_->pid() : 0;
    for (const std::string& entry : list_dir("/proc").value_or(std::vector<std::string>())) {
        const auto pid = static_cast<pid_t>(parse_int(entry).value_or(0));
        if (pid <= 0 || pid == mine || before_.count(pid)) continue;
        const sys::ProcStat stat = sys::read_proc_stat(pid);
        if (stat.found && stat.state == 'Z' && stat.parent == ::getpid()) ::waitpid(pid, nullptr, WNOHANG);
    }
    std::set<pid_t> out = descendants(::getpid());
    for (pid_t pid : before_) out.erase(pid);
    return out;
}

std::vector<std::string> Bench::left_behind() const {
    std::vector<std::string> out;
    for (const std::string& line : split(read_file("/proc/self/mountinfo").value_or(""), '\n'))
        if (auto parts = split(line, ' '); parts.size() > 4 && starts_with(parts[4], dir_))
            out.push_back("mount " + parts[4]);
    for (const std::string& entry : list_dir(dir_ + "/tasks").value_or(std::vector<std::string>()))
        if (entry[0] != '.') out.push_back("state of task " + entry);
    return out;
}

std::string Bench::last_words() const {
    auto lines = split(trim(read_file(dir_ + "/stderr").value_or("")), '\n');
    std::string last = lines.empty() ? "" : lines.back();
    if (last.size() > kLastWordsMax) last.resize(kLastWordsMax);
    return last;
}

}  // namespace drover::sdk::testing
