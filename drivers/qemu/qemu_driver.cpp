// SPDX-License-Identifier: Apache-2.0
#include "drivers/qemu/qemu_driver.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "drivers/common/command_path.h"
#include "drover/signals.h"
#include "drivers/common/subprocess.h"
#include "drivers/common/users.h"
#include "drivers/qemu/guest_exec.h"
#include "drivers/qemu/qemu_command.h"
#include "drivers/qemu/qemu_kvm.h"
#include "drivers/qemu/qmp.h"

namespace drover::drivers {
namespace {

using nlohmann::json;

constexpr char kRunDir[] = "/run/drover-qemu";
constexpr char kDefaultEmulator[] = "qemu-system-x86_64";
constexpr char kNsenter[] = "/usr/bin/nsenter";
constexpr int64_t kVersionNs = 20 * kSecond;
constexpr int64_t kMonitorNs = 3 * kSecond;  // a monitor answers at once or is stuck

// FNV-1a: the same in every version of this program.
uint64_t stable_hash(std::string_view text) {
    uint64_t hash = 0xcbf29ce484222325;
    for (char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
    return hash;
}

std::string search_path() {
    const char* path = std::getenv("PATH");
    return path && *path ? path : kDefaultPath;
}

// "QEMU emulator version 7.2.22 (Debian ...)" -> "7.2.22"
std::string parse_version(const std::string& output) {
    constexpr std::string_view kBefore = "version ";
    size_t at = output.find(kBefore);
    if (at == std::string::npos) return "";
    at += kBefore.size();
    return output.substr(at, output.find_first_of(" (\n", at) - at);
}

Result<QmpClient> monitor(const std::string& dir) {
    return QmpClient::connect(dir, kQmpSocket, QmpClient::Kind::Monitor, mono_now() + kMonitorNs);
}

Result<json> ask_monitor(QmpClient& client, const char* command) {
    return client.call(command, {}, mono_now() + kMonitorNs);
}

// The threads of the guest's virtual CPUs, as text.
std::vector<std::string> cpu_threads(QmpClient& client) {
    std::vector<std::string> out;
    auto cpus = ask_monitor(client, "query-cpus-fast");
    if (!cpus || !cpus->is_array()) return out;
    for (const json& cpu : *cpus)
        if (cpu.is_object() && cpu.value("thread-id", json()).is_number_unsigned())
            out.push_back(std::to_string(cpu["thread-id"].get<uint64_t>()));
    return out;
}

}  // namespace

sdk::Capabilities QemuDriver::capabilities() const {
    return {.send_signals = true,
            .exec = true,
            .fs_isolation = sdk::FsIsolation::Image,
            .network_modes = {sdk::NetworkMode::Host, sdk::NetworkMode::Group},
            .must_create_network = false,
            .accepts_mounts = false,
            .disable_log_collection = false,
            .dynamic_workload_users = false};
}

Status QemuDriver::set_config(std::string_view msgpack, const std::optional<sdk::AgentConfig>& agent) {
    DROVER_TRY(QemuPluginConfig config, qemu_plugin_schema().decode(msgpack));
    for (const std::string& path : config.image_paths)
        if (path.empty() || path[0] != '/')
            return make_error(Code::InvalidArgument, "image_paths: expected absolute paths, found \"{}\"",
                              path);
    configure(config.state_dir, agent);
    std::lock_guard lock(mutex_);
    config_ = std::move(config);
    return {};
}

QemuPluginConfig QemuDriver::config() const {
    std::lock_guard lock(mutex_);
    return config_;
}

sdk::Fingerprint QemuDriver::fingerprint() {
    auto undetected = [](std::string why) {
        return sdk::Fingerprint{
            .attributes = {}, .health = sdk::Health::Undetected, .description = std::move(why), .error = ""};
    };
    QemuPluginConfig plugin = config();
    auto path =
        find_emulator(plugin.emulators_allowlist.empty() ? kDefaultEmulator : plugin.emulators_allowlist[0],
                      plugin, search_path());
    if (!path) return undetected(path.error().message());
    struct stat info {};
    if (::stat(path->c_str(), &info) != 0) return undetected(*path + ": " + std::strerror(errno));
    const std::string identity = fmt::format("{} {} {}", *path, info.st_ino, info.st_mtime);
    std::lock_guard lock(mutex_);
    if (version_of_ != identity) {
        auto answer = run_command({*path, "--version"}, kVersionNs);
        const std::string version = answer ? parse_version(answer->output) : "";
        if (version.empty())
            return undetected(
                fmt::format("{} --version: {}", *path,
                            answer ? std::string(trim(answer->output)) : answer.error().message()));
        version_ = version;
        version_of_ = identity;
    }
    return {.attributes = {{"driver.qemu", {true, ""}}, {"driver.qemu.version", {version_, ""}}},
            .health = sdk::Health::Healthy,
            .description = "Healthy",
            .error = ""};
}

std::string QemuDriver::socket_dir(const std::string& task_id) const {
    return fmt::format("{}/{:016x}", kRunDir, stable_hash(state_dir() + "\n" + task_id));
}

std::string QemuDriver::record_path(const std::string& task_id) const {
    return join_path(join_path(state_dir(), sdk::task_dir_name(task_id)), "vm");
}

Result<QemuRecord> QemuDriver::record(const std::string& task_id) const {
    auto bytes = read_file(record_path(task_id), 1 << 16);
    if (!bytes) return make_error(Code::NotFound, "task not found for given id: {}", task_id);
    return qemu_record_schema().decode(*bytes);
}

std::string QemuDriver::usable_accelerator(const sdk::TaskConfig& task, const std::string& emulator) {
    std::string why;
    {
        std::lock_guard lock(kvm_mutex_);
        auto known = kvm_.find(emulator);
        if (known == kvm_.end()) {
            Status works = check_kvm(emulator, state_dir());
            known = kvm_.emplace(emulator, works ? "" : works.error().message()).first;
            log::info(name(), "checked kvm",
                      {{"emulator", emulator}, {"result", works ? "it works" : known->second}});
        }
        why = known->second;
    }
    if (why.empty()) return "kvm";
    context().emit_event({.task_id = task.id,
                          .alloc_id = task.alloc_id,
                          .task_name = task.name,
                          .timestamp_unix_ns = unix_now(),
                          .message = "kvm cannot be used, running under tcg (slower): " + why,
                          .annotations = {}});
    return "tcg";
}

Result<sdk::ProcessSpec> QemuDriver::prepare(const sdk::TaskConfig& task) {
    DROVER_TRY(QemuTaskConfig task_config, qemu_task_schema().decode(task.msgpack_driver_config));
    const QemuPluginConfig plugin = config();
    DROVER_TRY(std::string emulator, find_emulator(task_config.emulator, plugin, search_path()));
    const std::string sockets = socket_dir(task.id);
    sdk::ProcessSpec spec;
    if (!task.user.empty()) {
        DROVER_TRY(spec.user, find_user(task.user));
    }
    // Everything the job may have wrong is said before the check of kvm, which may take its time.
    DROVER_TRY(spec.args, qemu_arguments(task, task_config, plugin, sockets));
    if (task_config.accelerator == "kvm") {
        task_config.accelerator = usable_accelerator(task, emulator);
        DROVER_TRY(spec.args, qemu_arguments(task, task_config, plugin, sockets));
    }
    spec.task_id = task.id;
    spec.command = emulator;
    if (task.network_isolation && task.network_isolation->mode == sdk::NetworkMode::Group) {
        spec.args.insert(spec.args.begin(), {"--net=" + task.network_isolation->path, "--", emulator});
        spec.command = kNsenter;
    }
    spec.work_dir = task.task_dir();
    for (const auto& [key, value] : task.env) spec.env.push_back(key + "=" + value);
    spec.stdout_path = task.stdout_path;
    spec.stderr_path = task.stderr_path;
    spec.cgroup = task_cgroup(task.id);
    if (!spec.cgroup.empty()) {
        const sdk::Resources& resources = task.resources;
        if (resources.cpu_mhz > 0)
            spec.limits.cpu_shares =
                static_cast<uint64_t>(std::clamp<int64_t>(resources.cpu_mhz, 2, 262'144));
        spec.limits.cpuset_cpus = resources.linux_resources.cpuset_cpus;
        const int64_t limit_mb = std::max(resources.memory_mb + kQemuOverheadMb, resources.memory_max_mb);
        spec.limits.memory_limit_bytes = limit_mb << 20;
        spec.limits.memory_swap_bytes = 0;
    }
    DROVER_CHECK(make_dirs(kRunDir, 0711));
    DROVER_CHECK(make_dirs(sockets, 0700));
    if (spec.user && ::chown(sockets.c_str(), spec.user->uid, spec.user->gid) != 0)
        return Error::from_errno("chown " + sockets);
    const QemuRecord record{.graceful_shutdown = task_config.graceful_shutdown,
                            .guest_agent = task_config.guest_agent};
    DROVER_CHECK(make_dirs(join_path(state_dir(), sdk::task_dir_name(task.id)), 0700));
    DROVER_CHECK(write_file_durable(record_path(task.id), qemu_record_schema().encode(record)));
    return spec;
}

Status QemuDriver::cleanup(const std::string& task_id) {
    {
        std::lock_guard lock(mutex_);
        samples_.erase(task_id);
    }
    DROVER_CHECK(remove_tree(socket_dir(task_id)));
    ::rmdir(kRunDir);  // by the last one
    // A start that got nowhere may have left these.
    ::unlink(record_path(task_id).c_str());
    ::rmdir(join_path(state_dir(), sdk::task_dir_name(task_id)).c_str());
    return {};
}

Status QemuDriver::stop_task(const std::string& task_id, int64_t timeout_ns, const std::string& signal) {
    auto vm = record(task_id);
    if (!vm || !vm->graceful_shutdown) return ProcessDriver::stop_task(task_id, timeout_ns, signal);
    if (!signal.empty()) DROVER_CHECK(sdk::parse_signal(signal));
    const int64_t asked_at = mono_now();
    auto pressed = [&]() -> Status {
        DROVER_TRY(QmpClient client, monitor(socket_dir(task_id)));
        DROVER_TRY(json answer, ask_monitor(client, "system_powerdown"));
        (void)answer;
        return {};
    }();
    if (!pressed) {
        log::warn(name(), "cannot press the power button, sending a signal",
                  {{"task", task_id}, {"error", pressed.error().message()}});
        return ProcessDriver::stop_task(task_id, timeout_ns, signal);
    }
    // The patience and the kill are with the shim, so they happen even when this process dies now. The signal
    // that goes with the order means nothing to a process that runs.
    return ProcessDriver::stop_task(task_id, std::max<int64_t>(timeout_ns - (mono_now() - asked_at), 0),
                                    "SIGCONT");
}

Result<sdk::TaskStatus> QemuDriver::inspect_task(const std::string& task_id) {
    DROVER_TRY(sdk::TaskStatus status, ProcessDriver::inspect_task(task_id));
    if (status.state != sdk::TaskState::Running) return status;
    auto client = monitor(socket_dir(task_id));
    if (!client) return status;  // it has just started, or is busy: the process is what counts
    if (auto run = ask_monitor(*client, "query-status"); run && run->is_object())
        if (json text = run->value("status", json()); text.is_string()) status.attributes["vm.status"] = text;
    if (auto kvm = ask_monitor(*client, "query-kvm"); kvm && kvm->is_object())
        status.attributes["vm.accelerator"] = kvm->value("enabled", json()) == json(true) ? "kvm" : "tcg";
    if (auto threads = cpu_threads(*client); !threads.empty())
        status.attributes["vm.cpus"] = std::to_string(threads.size());
    return status;
}

Result<sdk::TaskStats> QemuDriver::task_stats(const std::string& task_id) {
    DROVER_TRY(sdk::TaskStats stats, ProcessDriver::task_stats(task_id));
    DROVER_TRY(sdk::TaskStatus status, ProcessDriver::inspect_task(task_id));
    auto client = monitor(socket_dir(task_id));
    if (!client) return stats;
    const std::string& pid = status.attributes["pid"];
    const auto tick_ns = static_cast<uint64_t>(kSecond / ::sysconf(_SC_CLK_TCK));
    for (const std::string& thread : cpu_threads(*client)) {
        auto text = read_file(fmt::format("/proc/{}/task/{}/stat", pid, thread), 4096);
        if (!text) continue;
        // After the name, which may hold anything: the fields from the third on.
        auto fields = split(trim(text->substr(text->rfind(')') + 1)), ' ');
        if (fields.size() < 13) continue;
        const CpuSample now{.user_ns = parse_uint(fields[11]).value_or(0) * tick_ns,
                            .system_ns = parse_uint(fields[12]).value_or(0) * tick_ns,
                            .at_ns = mono_now()};
        std::lock_guard lock(mutex_);
        CpuSample& before = samples_[task_id][thread];
        sdk::CpuUsage& cpu = stats.by_pid[thread].cpu;
        if (before.at_ns != 0 && now.at_ns > before.at_ns && now.user_ns >= before.user_ns) {
            const auto elapsed = static_cast<double>(now.at_ns - before.at_ns);
            cpu.user_percent = 100.0 * static_cast<double>(now.user_ns - before.user_ns) / elapsed;
            cpu.system_percent = 100.0 * static_cast<double>(now.system_ns - before.system_ns) / elapsed;
            cpu.percent = *cpu.user_percent + *cpu.system_percent;
        }
        before = now;
    }
    return stats;
}

Result<std::string> QemuDriver::exec_socket_dir(const std::string& task_id) const {
    DROVER_TRY(QemuRecord vm, record(task_id));
    if (!vm.guest_agent) {
        return make_error(Code::FailedPrecondition,
                          "exec in a virtual machine needs guest_agent = true in the task's config, and "
                          "qemu-guest-agent running in the guest");
    }
    return socket_dir(task_id);
}

Result<sdk::ExecOutput> QemuDriver::exec_task(const std::string& task_id,
                                              const std::vector<std::string>& command, int64_t timeout_ns) {
    DROVER_TRY(std::string dir, exec_socket_dir(task_id));
    const int64_t deadline = timeout_ns > 0 ? mono_now() + timeout_ns : INT64_MAX;
    return guest_exec(dir, command, deadline, [] { return false; });
}

Result<sdk::ExitResult> QemuDriver::exec_task_streaming(const std::string& task_id,
                                                        const sdk::ExecRequest& request,
                                                        sdk::ExecStream& stream) {
    DROVER_TRY(std::string dir, exec_socket_dir(task_id));
    if (request.tty)
        return make_error(Code::Unimplemented,
                          "a guest agent has no terminals: use exec without one (-t=false)");
    // Input cannot be passed on, but the person may go away.
    std::atomic<bool> gone{false};
    std::thread reader([&] {
        while (!std::holds_alternative<sdk::ExecCancelled>(stream.read())) {
        }
        gone = true;
    });
    auto output = guest_exec(dir, request.command, INT64_MAX, [&] { return gone.load(); });
    stream.interrupt();
    reader.join();
    if (!output) return std::move(output).error();
    DROVER_CHECK(stream.write_stdout(output->stdout_bytes));
    DROVER_CHECK(stream.write_stderr(output->stderr_bytes));
    return output->exit;
}

}  // namespace drover::drivers
