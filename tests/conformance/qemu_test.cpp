// SPDX-License-Identifier: Apache-2.0
// The qemu driver with a real guest (tests/support/driver_guest.py: Debian's kernel, a busybox): it boots in
// 3 to 10 s under tcg, so each test makes the most of its guest.
#include <arpa/inet.h>
#include <sys/socket.h>

#include <cstdio>

#include "tests/conformance/driver_fixture.h"

namespace drover::conformance {
namespace {

constexpr int64_t kBootNs = 120 * kSecond;
constexpr int kGuestExitCode = 11;  // of `qemu-exit` in the guest

struct Guest {
    std::string kernel, initrd, why_not;
};

// Made once for the build folder, which takes 10 s.
const Guest& guest() {
    static const Guest made = [] {
        const char* build = std::getenv("DROVER_BUILD_DIR");
        const char* source = std::getenv("DROVER_SOURCE_DIR");
        const std::string command =
            fmt::format("python3 {}/tests/support/driver_guest.py {}/driver-guest 2>&1",
                        source ? source : ".", build ? build : "build/dev");
        std::string output;
        std::FILE* pipe = ::popen(command.c_str(), "r");
        char buffer[4096];
        for (size_t n = 0; pipe && (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;)
            output.append(buffer, n);
        const int status = pipe ? ::pclose(pipe) : -1;
        auto lines = split(output, '\n');
        if (status != 0 || lines.size() < 2) return Guest{"", "", output};
        return Guest{lines[0], lines[1], ""};
    }();
    return made;
}

// A free port, as an allocation would have got it.
int32_t free_port() {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    return ::ntohs(address.sin_port);
}

// One line to a shell in the guest that listens behind `port`; false when nobody takes it.
bool tell(int32_t port, const std::string& line) {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = ::htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    return ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
           static_cast<bool>(write_all(fd.get(), line + "\n"));
}

// The directory of a machine's sockets, from its command line.
std::string socket_dir(pid_t pid) {
    std::string command = read_file(fmt::format("/proc/{}/cmdline", pid)).value_or("");
    size_t at = command.find("unix:/run/drover-qemu/");
    if (at == std::string::npos) return "";
    at += 5;
    return command.substr(at, command.find("/qmp", at) - at);
}

class QemuTest : public DriverTest {
 protected:
    void SetUp() override {
        if (!guest().why_not.empty() || guest().kernel.empty()) {
            if (const char* ci = std::getenv("CI"); ci && std::string(ci) == "true")
                FAIL() << guest().why_not;
            GTEST_SKIP() << guest().why_not;
        }
        DriverTest::SetUp();
        if (dir_.empty()) return;
        const std::string folder = guest().kernel.substr(0, guest().kernel.rfind('/'));
        launch_with({{"image_paths", Value::List{folder}}});
    }
    void launch_with(Value::Map config) {
        plugin_config_ = std::move(config);
        launch(plugin_config_);
    }
    void relaunch_killed() {
        plugin_->kill();
        launch(plugin_config_);
    }

    // `script` runs in the guest.
    sdk::TaskConfig machine(const std::string& script, Value::Map more = {}) {
        Value::Map config{
            {"kernel", guest().kernel},
            {"initrd", guest().initrd},
            {"append", "console=ttyS0 quiet panic=-1 drover.run=" + base64_encode(script)},
            {"args", Value::List{"-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"}}};
        for (auto& [key, value] : more) config[key] = value;
        sdk::TaskConfig config_out = task(std::move(config));
        config_out.resources.memory_mb = 128;
        return config_out;
    }
    std::string sh_exit(const std::string& id, const std::vector<std::string>& command) {
        auto output = plugin_->exec_task(id, command, 60 * kSecond);
        if (!output) return output.error().message();
        return fmt::format("{}|{}|{}", output->stdout_bytes, output->stderr_bytes, output->exit.exit_code);
    }
    // Never boots: the processor waits. For what has to do with the process alone.
    sdk::TaskConfig stopped_machine(Value::Map more = {}) {
        more["args"] = Value::List{"-S"};
        return machine("", std::move(more));
    }
    void wait_for_text(const std::string& text) {
        ASSERT_TRUE(eventually([&] { return out().find(text) != std::string::npos; }, kBootNs))
            << "no \"" << text << "\" in: " << out() << read_file(err_path()).value_or("");
    }
    std::string attribute(const std::string& id, const std::string& key) {
        auto status = plugin_->inspect_task(id);
        EXPECT_TRUE(status) << status.error().message();
        return status ? status->attributes[key] : "";
    }
    // Its monitor answers.
    void wait_for_monitor(const std::string& id) {
        ASSERT_TRUE(eventually([&] { return !attribute(id, "vm.status").empty(); }));
    }

    Value::Map plugin_config_;
};

TEST_P(QemuTest, AGuestOutlivesItsPluginAndTellsItsEnd) {
    const int32_t port = free_port();
    sdk::TaskConfig config = machine("nc -ll -p 7 -e sh & echo ready; while :; do sleep 1; done",
                                     {{"port_map", Value::Map{{"ctl", 7}}}});
    config.resources.ports = {{"ctl", port, 0, "127.0.0.1"}};
    auto started = plugin_->start_task(config);
    ASSERT_OK(started);
    wait_for_text("ready");
    EXPECT_EQ(attribute(config.id, "vm.status"), "running");
    EXPECT_EQ(attribute(config.id, "vm.accelerator"), "tcg");
    EXPECT_EQ(attribute(config.id, "vm.cpus"), "1");
    auto stats = plugin_->task_stats(config.id, 300 * kMillisecond, 3);
    ASSERT_OK(stats);
    EXPECT_GT(stats->back().total.memory.rss_bytes.value_or(0), 64u << 20);
    EXPECT_EQ(stats->back().by_pid.size(), 1u);  // the one virtual CPU
    pid_t pid = task_pid(config.id);
    const std::string sockets = socket_dir(pid);
    struct stat info {};
    ASSERT_EQ(::stat(sockets.c_str(), &info), 0) << sockets;
    EXPECT_EQ(info.st_mode & 0777, 0700u);

    relaunch_killed();
    sdk::TaskHandle bare;
    bare.config.id = config.id;
    ASSERT_OK(plugin_->recover_task(bare));
    EXPECT_EQ(task_pid(config.id), pid);
    EXPECT_EQ(attribute(config.id, "vm.status"), "running");  // the monitor is found again

    plugin_->kill();
    ASSERT_TRUE(eventually([&] { return tell(port, "qemu-exit"); }));
    ASSERT_TRUE(eventually([&] { return !alive(pid); }, kBootNs));
    launch(plugin_config_);
    ASSERT_OK(plugin_->recover_task(started->handle));
    EXPECT_EQ(*plugin_->wait_task(config.id, 20 * kSecond),
              (sdk::ExitResult{.exit_code = kGuestExitCode, .signal = 0, .oom_killed = false, .error = ""}));
    ASSERT_OK(plugin_->destroy_task(config.id, true));
    EXPECT_FALSE(path_exists(sockets));
}

TEST_P(QemuTest, PressesThePowerButton) {
    sdk::TaskConfig config = machine("echo ready; while :; do sleep 1; done", {{"graceful_shutdown", true}});
    ASSERT_OK(plugin_->start_task(config));
    wait_for_text("ready");
    relaunch_killed();
    sdk::TaskHandle bare;
    bare.config.id = config.id;
    ASSERT_OK(plugin_->recover_task(bare));
    ASSERT_OK(plugin_->stop_task(config.id, kBootNs, ""));
    EXPECT_EQ(*plugin_->wait_task(config.id, 20 * kSecond),
              (sdk::ExitResult{.exit_code = 0, .signal = 0, .oom_killed = false, .error = ""}));
    EXPECT_NE(out().find("powering down"), std::string::npos) << out();
}

// A disk whose boot sector writes "disk up" to the first serial port and ends qemu as qemu-exit does.
std::string boot_disk() {
    std::string code("\xba\xf8\x03", 3);  // mov dx, 0x3f8
    for (char c : std::string("disk up\n"))
        code += std::string("\xb0") + c + "\xee";  // mov al, c; out dx, al
    code += "\xb0\x05\xe6\xf4\xf4";                // mov al, 5; out 0xf4, al; hlt
    code.resize(510, '\0');
    return code + "\x55\xaa";
}

// An empty qcow2 (version 2, clusters of 64 KiB) of one sector with an image behind it.
std::string overlay_of(const std::string& backing) {
    auto number = [](uint64_t value, int bytes) {
        std::string out;
        while (bytes-- > 0) out += static_cast<char>(value >> (8 * bytes) & 0xff);
        return out;
    };
    constexpr uint64_t kCluster = 1 << 16;
    std::string head = "QFI\xfb" + number(2, 4) + number(1024, 8) + number(backing.size(), 4) +
                       number(16, 4) + number(512, 8) + number(0, 4) + number(1, 4) +
                       number(3 * kCluster, 8) + number(kCluster, 8) + number(1, 4) + number(0, 4) +
                       number(0, 8);
    std::string image(4 * kCluster, '\0');
    image.replace(0, head.size(), head);
    image.replace(1024, backing.size(), backing);
    image.replace(kCluster, 8, number(2 * kCluster, 8));  // refcounts: the table, then four used clusters
    image.replace(2 * kCluster, 8, std::string("\0\1\0\1\0\1\0\1", 8));
    return image;
}

TEST_P(QemuTest, BootsFromADisk) {
    ASSERT_OK(write_file(alloc_ + "/web/local/disk,1.img", boot_disk()));
    ASSERT_OK(write_file(alloc_ + "/web/local/top.qcow2", overlay_of("disk,1.img")));
    for (const char* image : {"local/disk,1.img", "local/top.qcow2"}) {
        sdk::TaskConfig config =
            task({{"image_path", image},
                  {"args", Value::List{"-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"}}});
        config.resources.memory_mb = 128;
        ASSERT_OK(plugin_->start_task(config));
        auto exit = plugin_->wait_task(config.id, kBootNs);
        ASSERT_OK(exit);
        EXPECT_EQ(exit->exit_code, kGuestExitCode)
            << image << ": " << out() << read_file(err_path()).value_or("");
        EXPECT_NE(out().find("disk up"), std::string::npos) << image << ": " << out();
    }
}

TEST_P(QemuTest, KillsAMachineThatDoesNotReactToTheButton) {
    sdk::TaskConfig deaf = stopped_machine({{"graceful_shutdown", true}});
    ASSERT_OK(plugin_->start_task(deaf));
    wait_for_monitor(deaf.id);
    EXPECT_EQ(attribute(deaf.id, "vm.status"), "prelaunch");
    ASSERT_OK(plugin_->stop_task(deaf.id, 300 * kMillisecond, ""));
    EXPECT_EQ(plugin_->wait_task(deaf.id, 20 * kSecond)->signal, SIGKILL);

    // Without graceful_shutdown the process is asked, and that is as good as pulling the plug.
    sdk::TaskConfig plain = stopped_machine();
    ASSERT_OK(plugin_->start_task(plain));
    wait_for_monitor(plain.id);
    ASSERT_OK(plugin_->stop_task(plain.id, 20 * kSecond, ""));
    EXPECT_EQ(*plugin_->wait_task(plain.id, 20 * kSecond),
              (sdk::ExitResult{.exit_code = 0, .signal = 0, .oom_killed = false, .error = ""}));

    sdk::TaskConfig signalled = stopped_machine();
    ASSERT_OK(plugin_->start_task(signalled));
    ASSERT_OK(plugin_->signal_task(signalled.id, "SIGKILL"));
    EXPECT_EQ(plugin_->wait_task(signalled.id, 20 * kSecond)->signal, SIGKILL);
    pid_t pid = 0;
    sdk::TaskConfig forgotten = stopped_machine();
    ASSERT_OK(plugin_->start_task(forgotten));
    pid = task_pid(forgotten.id);
    const std::string sockets = socket_dir(pid);
    EXPECT_FALSE(sockets.empty());
    relaunch_killed();
    ASSERT_OK(plugin_->destroy_task(forgotten.id, true));
    EXPECT_FALSE(alive(pid));
    EXPECT_FALSE(path_exists(sockets));
}

TEST_P(QemuTest, RunsProgramsInTheGuestByItsAgent) {
    sdk::TaskConfig config = machine(
        "qemu-ga -m virtio-serial -p /dev/virtio-ports/org.qemu.guest_agent.0 & echo ready; while :; do "
        "sleep 1; done",
        {{"guest_agent", true}});
    ASSERT_OK(plugin_->start_task(config));
    wait_for_text("ready");
    ASSERT_TRUE(eventually([&] { return sh_exit(config.id, {"true"}) == "||0"; }, kBootNs));
    EXPECT_EQ(sh_exit(config.id, {"sh", "-c", "echo hello; echo oops >&2; exit 7"}), "hello\n|oops\n|7");
    relaunch_killed();
    sdk::TaskHandle bare;
    bare.config.id = config.id;
    ASSERT_OK(plugin_->recover_task(bare));
    EXPECT_EQ(sh_exit(config.id, {"cat", "/proc/sys/kernel/ostype"}), "Linux\n||0");
    const std::string missing = sh_exit(config.id, {"/no/such/program"});
    EXPECT_TRUE(starts_with(missing, "the guest agent: guest-exec: ")) << missing;
    auto late = plugin_->exec_task(config.id, {"sleep", "3600"}, kSecond);
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code(), Code::DeadlineExceeded) << late.error().message();

    auto session =
        plugin_->exec_task_streaming(config.id, {.command = {"sh", "-c", "echo streamed; exit 3"}});
    auto exit = session->finish(60 * kSecond);
    ASSERT_OK(exit);
    EXPECT_EQ(exit->exit_code, 3);
    EXPECT_EQ(session->out(), "streamed\n");
    session = plugin_->exec_task_streaming(config.id, {.command = {"sh"}, .tty = true});
    auto refused = session->finish(60 * kSecond);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message().find("a guest agent has no terminals"), std::string::npos);
    session = plugin_->exec_task_streaming(config.id, {.command = {"sleep", "3600"}});
    session->cancel();  // the person goes away: nothing of the call is left behind, as the next one shows
    EXPECT_EQ(sh_exit(config.id, {"echo", "again"}), "again\n||0");
}

TEST_P(QemuTest, HasNoExecWithoutAGuestAgent) {
    sdk::TaskConfig config = stopped_machine();
    ASSERT_OK(plugin_->start_task(config));
    EXPECT_TRUE(
        starts_with(sh_exit(config.id, {"true"}), "exec in a virtual machine needs guest_agent = true"));
}

TEST_P(QemuTest, TellsAboutOom) {
    sdk::TaskConfig config = machine("dd if=/dev/zero of=/big bs=1M count=2000");
    Value config_value = sdk::msgpack_decode(config.msgpack_driver_config).value();
    Value::Map map = *config_value.as_map();
    map["args"] = Value::List{"-m", "1500"};  // more than the task may use
    config.msgpack_driver_config = sdk::msgpack_encode(map);
    ASSERT_OK(plugin_->start_task(config));
    auto exit = plugin_->wait_task(config.id, kBootNs);
    ASSERT_OK(exit);
    EXPECT_EQ(exit->signal, SIGKILL) << out();
    EXPECT_TRUE(exit->oom_killed);
}

TEST_P(QemuTest, FallsBackToTcgWithAnEventThatSaysWhy) {
    sdk::TaskConfig config = stopped_machine({{"accelerator", "kvm"}});
    ASSERT_OK(plugin_->start_task(config));
    wait_for_monitor(config.id);
    if (attribute(config.id, "vm.accelerator") == "kvm") {  // then it must boot
        ASSERT_OK(plugin_->destroy_task(config.id, true));
        ASSERT_OK(plugin_->start_task(config = machine("echo booted", {{"accelerator", "kvm"}})));
        wait_for_text("booted");
        return;
    }
    EXPECT_EQ(attribute(config.id, "vm.accelerator"), "tcg");
    auto event = plugin_->task_event();
    ASSERT_OK(event);
    EXPECT_EQ(event->task_id, config.id);
    EXPECT_TRUE(starts_with(event->message, "kvm cannot be used, running under tcg (slower): "))
        << event->message;
}

TEST_P(QemuTest, RefusesWhatCannotStartAndLeavesNothing) {
    ASSERT_OK(write_file(alloc_ + "/web/local/disk.img", "x"));
    ASSERT_EQ(::symlink("/etc/passwd", (alloc_ + "/web/local/link").c_str()), 0);
    plugin_config_["args_allowlist"] = Value::List{"-smp"};
    launch(plugin_config_);
    struct Case {
        Value::Map config;
        int64_t memory_mb;
        std::string message;
    };
    const Value disk = "local/disk.img";
    for (const Case& wrong : std::vector<Case>{
             {{}, 128, "image_path: is required when no kernel is given"},
             {{{"image_path", "local/none.img"}},
              128,
              "image_path: \"" + alloc_ + "/web/local/none.img\" does not exist"},
             {{{"image_path", "/etc/passwd"}},
              128,
              "image_path: \"/etc/passwd\" is outside of what is allowed"},
             {{{"image_path", "local/link"}},
              128,
              "image_path: \"" + alloc_ +
                  "/web/local/link\" (which is \"/etc/passwd\") is outside of what is allowed"},
             {{{"image_path", disk}, {"accelerator", "xen"}},
              128,
              "accelerator: expected \"tcg\" or \"kvm\", found"},
             {{{"image_path", disk}, {"args", Value::List{"-drive", "file=/x"}}},
              128,
              "args: \"-drive\" is not in"},
             {{{"image_path", disk}, {"emulator", "sh"}},
              128,
              "emulator: \"sh\" is not allowed (allowed: qemu-system-*)"},
             {{{"image_path", disk}, {"port_map", Value::Map{{"web", 80}}}},
              128,
              "port_map: the allocation has no port"},
             {{{"image_path", disk}, {"port_map", Value::Map{{"web", "x"}}}},
              128,
              "port_map.web: expected a whole number"},
             {{{"image_path", disk}}, 64, "memory: a virtual machine needs at least 128 MB, found 64 MB"},
         }) {
        sdk::TaskConfig config = task(wrong.config);
        config.resources.memory_mb = wrong.memory_mb;
        auto started = plugin_->start_task(config);
        ASSERT_FALSE(started) << wrong.message;
        EXPECT_EQ(started.error().message().substr(0, wrong.message.size()), wrong.message);
        EXPECT_EQ(started.error().retry(), Retry::No);
    }
    auto refused = plugin_->set_config(
        sdk::msgpack_encode(Value::Map{{"image_paths", Value::List{"images"}}}), std::nullopt);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message(),
              "SetConfig failed: image_paths: expected absolute paths, found \"images\"");
}

TEST_P(QemuTest, IsUndetectedWithoutQemu) {
    search_path_ = dir_;
    launch(plugin_config_);
    auto fingerprint = plugin_->fingerprint();
    ASSERT_OK(fingerprint);
    EXPECT_EQ(fingerprint->health, sdk::Health::Undetected);
    EXPECT_EQ(fingerprint->description,
              "emulator: qemu-system-x86_64 is not installed (looked in " + dir_ + ")");
    EXPECT_TRUE(fingerprint->attributes.empty());
}

INSTANTIATE_TEST_SUITE_P(Drivers, QemuTest, ::testing::Values(kQemu),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace drover::conformance
