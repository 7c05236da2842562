// SPDX-License-Identifier: Apache-2.0
// One driver plugin: under the agent's plugin host the time from its launch to healthy; by itself the time to the
// handshake, idle memory and threads, StartTask's round trip. Run by hand:
//   plugin_numbers build/release/lib/drover/plugins/drover-driver-raw_exec
// A figure, not a test. Needs root.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include "agent/host/plugin_host.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/strings.h"
#include "base/uuid.h"
#include "cgroup/cgroup.h"
#include "drover/value.h"
#include "plugin-sdk/testing/plugin_process.h"
#include "plugin-sdk/wire/msgpack.h"

namespace drover {
namespace {

constexpr int kTasks = 50;
constexpr int kLaunches = 20;

std::string field(pid_t pid, std::string_view name) {
    auto text = read_file(fmt::format("/proc/{}/smaps_rollup", pid));
    if (!text) return "?";
    for (const std::string& line : split(*text, '\n'))
        if (starts_with(line, name)) return std::string(trim(line.substr(name.size())));
    return "?";
}

// The host as the agent has it, with a directory of this one plugin, several times over.
Status measure_host(const std::string& binary) {
    char name[] = "/tmp/drover-numbers-XXXXXX";
    if (!::mkdtemp(name)) return Error::from_errno("mkdtemp");
    const std::string dir = name, file = binary.substr(binary.rfind('/') + 1);
    DROVER_CHECK(make_dirs(dir + "/plugins", 0700));
    if (::symlink(std::filesystem::absolute(binary).c_str(), (dir + "/plugins/" + file).c_str()) != 0)
        return Error::from_errno("symlink");
    boost::asio::io_context io;
    auto work = boost::asio::make_work_guard(io);
    std::thread thread([&] { io.run(); });
    std::vector<int64_t> times;
    std::string trouble;
    for (int i = 0; i < kLaunches && trouble.empty(); ++i) {
        agent::PluginHostOptions options;
        options.data_dir = dir;
        options.bundled_plugin_dir = dir + "/plugins";
        options.cgroup_parent = "drover-numbers-" + short_id(new_uuid());
        const int64_t begin = mono_now();
        auto host = agent::PluginHost::start(std::move(options), io);
        if (!host) {
            trouble = host.error().message();
            break;
        }
        while ((*host)->plugins().at(0).state != agent::PluginState::Healthy && trouble.empty()) {
            std::this_thread::sleep_for(std::chrono::microseconds(200));
            if (mono_now() - begin > 10 * kSecond) trouble = (*host)->plugin_status_json();
        }
        times.push_back(mono_now() - begin);
        (*host)->stop(agent::StopKind::Dev);
    }
    work.reset();
    thread.join();
    if (!trouble.empty()) return make_error(Code::Internal, "not healthy: {}", trouble);
    std::sort(times.begin(), times.end());
    fmt::print("host launch to healthy: median {:.1f} ms, worst of {} {:.1f} ms\n",
               static_cast<double>(times[times.size() / 2]) / 1e6, times.size(),
               static_cast<double>(times.back()) / 1e6);
    return remove_tree(dir);
}

Status measure(const std::string& binary) {
    using sdk::Value;
    char name[] = "/tmp/drover-numbers-XXXXXX";
    if (!::mkdtemp(name)) return Error::from_errno("mkdtemp");
    const std::string dir = name, cgroup = "drover-numbers-" + short_id(new_uuid());
    for (const char* sub : {"/a/alloc", "/a/t/local", "/a/t/secrets", "/a/t/tmp"})
        DROVER_CHECK(make_dirs(dir + sub, 0777));
    int64_t before = mono_now();
    DROVER_TRY(auto plugin, sdk::testing::PluginProcess::launch(
                                {.binary = binary,
                                 .env = {{"DROVER_TASK_STATE_DIR", dir + "/tasks"}, {"DROVER_CGROUP_PARENT", cgroup}},
                                 .stderr_path = "",
                                 .cookie = true}));
    DROVER_TRY(auto info, plugin->info());
    fmt::print("{}: launch to first answer {:.1f} ms\n", info.name, static_cast<double>(mono_now() - before) / 1e6);
    Value::Map config;
    if (info.name == "raw_exec") config["enabled"] = true;
    DROVER_CHECK(plugin->set_config(sdk::msgpack_encode(config), sdk::AgentConfig{}));
    DROVER_CHECK(plugin->fingerprint());
    ::sleep(6);  // worker threads that have nothing to do are gone after five seconds
    DROVER_TRY(auto threads, list_dir(fmt::format("/proc/{}/task", plugin->pid())));
    fmt::print("idle: PSS {}, anonymous {}, {} threads\n", field(plugin->pid(), "Pss:"),
               field(plugin->pid(), "Anonymous:"), threads.size());

    std::vector<int64_t> starts, destroys;
    for (int i = 0; i < kTasks; ++i) {
        sdk::TaskConfig task;
        task.id = fmt::format("a/t/{}", i);
        task.name = "t";
        task.alloc_dir = dir + "/a";
        task.env = {{"PATH", "/bin"}};
        task.msgpack_driver_config =
            sdk::msgpack_encode(Value::Map{{"command", "/bin/sleep"}, {"args", Value::List{"3600"}}});
        before = mono_now();
        DROVER_CHECK(plugin->start_task(task));
        starts.push_back(mono_now() - before);
    }
    DROVER_TRY(threads, list_dir(fmt::format("/proc/{}/task", plugin->pid())));
    fmt::print("with {} tasks: PSS {}, {} threads\n", kTasks, field(plugin->pid(), "Pss:"), threads.size());
    for (int i = 0; i < kTasks; ++i) {
        before = mono_now();
        DROVER_CHECK(plugin->destroy_task(fmt::format("a/t/{}", i), true));
        destroys.push_back(mono_now() - before);
    }
    std::sort(starts.begin(), starts.end());
    std::sort(destroys.begin(), destroys.end());
    fmt::print("StartTask: median {:.1f} ms, worst {:.1f} ms; DestroyTask: median {:.1f} ms\n",
               static_cast<double>(starts[kTasks / 2]) / 1e6, static_cast<double>(starts.back()) / 1e6,
               static_cast<double>(destroys[kTasks / 2]) / 1e6);
    plugin.reset();
    DROVER_TRY(auto group, cgroup::Cgroup::open(cgroup));
    DROVER_CHECK(group.remove(5 * kSecond));
    return remove_tree(dir);
}

}  // namespace
}  // namespace drover

int main(int argc, char** argv) {
    if (argc != 2) {
        fmt::print(stderr, "usage: {} PLUGIN\n", argv[0]);
        return 1;
    }
    drover::Status done = drover::measure_host(argv[1]);
    if (done) done = drover::measure(argv[1]);
    if (!done) fmt::print(stderr, "{}\n", done.error().message());
    return done ? 0 : 1;
}
