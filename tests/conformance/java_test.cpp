// SPDX-License-Identifier: Apache-2.0
// The java driver with real JVMs: a jar and classes are compiled by javac in the test. What its isolation
// promises is exec's, and tested there.
#include "tests/conformance/driver_fixture.h"

namespace drover::conformance {
namespace {

constexpr int64_t kJvmNs = 60 * kSecond;

constexpr char kSource[] = R"(
import java.nio.ByteBuffer;
import java.nio.file.*;
import java.util.*;

public class Main {
    static final List<Object> kept = new ArrayList<>();
    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "exit":
                System.err.println("oops");
                System.out.println(String.join(",", args) + " " + System.getProperty("x") + " "
                        + System.getenv("GREETING"));
                System.exit(Integer.parseInt(args[1]));
            case "throw":
                throw new IllegalStateException("broken");
            case "heap":
                System.out.println("heap " + (Runtime.getRuntime().maxMemory() >> 20) + " MB, cpus "
                        + Runtime.getRuntime().availableProcessors());
                return;
            case "native":
                while (true) {
                    ByteBuffer buffer = ByteBuffer.allocateDirect(8 << 20);
                    for (int i = 0; i < buffer.capacity(); i += 4096) buffer.put(i, (byte) 1);
                    kept.add(buffer);
                }
            case "fill":
                while (true) kept.add(new byte[1 << 20]);
            case "serve":
                Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook ran")));
                System.out.println("up");
                while (!Files.exists(Path.of("/local/go"))) Thread.sleep(20);
                System.exit(5);
        }
    }
}
)";

int run(const std::string& command) {
    return std::system((command + " >/dev/null 2>&1").c_str());
}

class JavaTest : public DriverTest {
 protected:
    void SetUp() override {
        if (run("command -v javac") != 0) {
            if (const char* ci = std::getenv("CI"); ci && std::string(ci) == "true")
                FAIL() << "javac is missing";
            GTEST_SKIP() << "needs a JDK (openjdk-17-jdk-headless)";
        }
        DriverTest::SetUp();
        if (dir_.empty()) return;
        // Compiled once for all tests of this program.
        static const std::string built = [] {
            char name[] = "/tmp/drover-classes-XXXXXX";
            std::string dir = ::mkdtemp(name);
            EXPECT_TRUE(write_file(dir + "/Main.java", kSource));
            EXPECT_EQ(run("cd " + dir +
                          " && mkdir classes && javac -d classes Main.java && "
                          "jar --create --file app.jar --main-class Main -C classes ."),
                      0);
            static std::string left;
            left = dir;
            std::atexit([] { (void)remove_tree(left); });
            return dir;
        }();
        ASSERT_EQ(run("cp -r " + built + "/app.jar " + built + "/classes " + alloc_ +
                      "/web/local/ && chmod -R a+rX " + alloc_ + "/web/local"),
                  0);
    }
    sdk::TaskConfig jar(Value::List args, Value::List options = {}) {
        sdk::TaskConfig config = task(
            {{"jar_path", "local/app.jar"}, {"args", std::move(args)}, {"jvm_options", std::move(options)}});
        config.resources.memory_mb = 256;
        return config;
    }
    sdk::ExitResult run_to_end(const sdk::TaskConfig& config) {
        auto started = plugin_->start_task(config);
        EXPECT_TRUE(started) << started.error().message();
        if (!started) return {};
        auto exit = plugin_->wait_task(config.id, kJvmNs);
        EXPECT_TRUE(exit) << exit.error().message();
        return exit ? *exit : sdk::ExitResult{};
    }
    void wait_for_text(const std::string& text) {
        ASSERT_TRUE(eventually([&] { return out().find(text) != std::string::npos; }, kJvmNs))
            << out() << read_file(err_path()).value_or("");
    }
    std::string errors() const { return read_file(err_path()).value_or(""); }
};

TEST_P(JavaTest, TellsItsVersion) {
    auto fingerprint = plugin_->fingerprint();
    ASSERT_OK(fingerprint);
    EXPECT_EQ(fingerprint->health, sdk::Health::Healthy) << fingerprint->description;
    EXPECT_EQ(fingerprint->attributes["driver.java"].text(), "true");
    EXPECT_TRUE(starts_with(fingerprint->attributes["driver.java.version"].text(), "17."));
    EXPECT_NE(fingerprint->attributes["driver.java.runtime"].text().find("Runtime Environment"),
              std::string::npos);
    EXPECT_NE(fingerprint->attributes["driver.java.vm"].text().find("VM"), std::string::npos);

    search_path_ = dir_;
    launch();
    fingerprint = plugin_->fingerprint();
    ASSERT_OK(fingerprint);
    EXPECT_EQ(fingerprint->health, sdk::Health::Undetected);
    EXPECT_EQ(fingerprint->description, "java is not installed (looked in " + dir_ + ")");
    EXPECT_TRUE(fingerprint->attributes.empty());
    auto started = plugin_->start_task(jar({"exit", "0"}));
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().message(), "java is not installed (looked in " + dir_ + ")");
}

TEST_P(JavaTest, RunsAJarOrAClassToItsEnd) {
    EXPECT_EQ(run_to_end(jar({"exit", "3", "b c"}, {"-Dx=y"})),
              (sdk::ExitResult{.exit_code = 3, .signal = 0, .oom_killed = false, .error = ""}));
    EXPECT_EQ(out(), "exit,3,b c y hello\n");
    EXPECT_EQ(errors(), "oops\n");
    sdk::TaskConfig by_class =
        task({{"class", "Main"}, {"class_path", "/local/classes"}, {"args", Value::List{"throw"}}});
    by_class.resources.memory_mb = 256;
    EXPECT_EQ(run_to_end(by_class).exit_code, 1);
    EXPECT_NE(errors().find("IllegalStateException: broken"), std::string::npos) << errors();
}

TEST_P(JavaTest, GetsAHeapFromTheTasksMemory) {
    EXPECT_EQ(run_to_end(jar({"heap"}, {"-XX:+UseParallelGC"})).exit_code, 0);
    auto heap = parse_int(out().substr(5, out().find(' ', 5) - 5));
    ASSERT_TRUE(heap) << out();
    EXPECT_GE(*heap, 100);  // -Xmx128m, of which this collector holds some back
    EXPECT_LE(*heap, 128);
    EXPECT_EQ(run_to_end(jar({"heap"}, {"-Xmx40m", "-XX:+UseSerialGC"})).exit_code, 0);
    heap = parse_int(out().substr(5, out().find(' ', 5) - 5));
    ASSERT_TRUE(heap) << out();
    EXPECT_LE(*heap, 40);
}

TEST_P(JavaTest, TellsAFullHeapFromAKilledProcess) {
    sdk::ExitResult full = run_to_end(jar({"fill"}));
    EXPECT_EQ(full, (sdk::ExitResult{.exit_code = 1, .signal = 0, .oom_killed = false, .error = ""}));
    EXPECT_NE(errors().find("java.lang.OutOfMemoryError"), std::string::npos) << errors();
    sdk::TaskConfig greedy = jar({"native"}, {"-Xmx64m", "-XX:MaxDirectMemorySize=2g"});
    greedy.resources.memory_mb = 128;
    sdk::ExitResult killed = run_to_end(greedy);
    EXPECT_EQ(killed.signal, SIGKILL) << errors();
    EXPECT_TRUE(killed.oom_killed);
}

TEST_P(JavaTest, OutlivesItsPluginAndStopsInOrder) {
    sdk::TaskConfig config = jar({"serve"});
    auto started = plugin_->start_task(config);
    ASSERT_OK(started);
    wait_for_text("up\n");
    pid_t pid = task_pid(config.id);
    auto stats = plugin_->task_stats(config.id, 50 * kMillisecond, 2);
    ASSERT_OK(stats);
    EXPECT_GT(stats->back().total.memory.rss_bytes.value_or(0), 8u << 20);
    auto output = plugin_->exec_task(config.id, {"/bin/sh", "-c", "cat /proc/1/comm; ls /local"}, kJvmNs);
    ASSERT_OK(output);
    EXPECT_EQ(output->stdout_bytes, "java\napp.jar\nclasses\n");
    relaunch_after_kill();
    sdk::TaskHandle bare;
    bare.config.id = config.id;
    ASSERT_OK(plugin_->recover_task(bare));
    EXPECT_EQ(task_pid(config.id), pid);
    ASSERT_OK(plugin_->signal_task(config.id, "SIGQUIT"));  // a thread dump
    wait_for_text("Full thread dump");
    ASSERT_OK(plugin_->stop_task(config.id, kJvmNs, "SIGTERM"));
    EXPECT_EQ(plugin_->wait_task(config.id, kJvmNs)->exit_code, 143);
    EXPECT_NE(out().find("hook ran"), std::string::npos);

    // An end that no plugin saw.
    ASSERT_OK(plugin_->start_task(config = jar({"serve"})));
    wait_for_text("up\n");
    pid = task_pid(config.id);
    plugin_->kill();
    ASSERT_OK(write_file(alloc_ + "/web/local/go", ""));
    ASSERT_TRUE(eventually([&] { return !alive(pid); }));
    launch();
    bare.config.id = config.id;
    ASSERT_OK(plugin_->recover_task(bare));
    EXPECT_EQ(*plugin_->wait_task(config.id, kJvmNs),
              (sdk::ExitResult{.exit_code = 5, .signal = 0, .oom_killed = false, .error = ""}));
}

TEST_P(JavaTest, RefusesWhatCannotStartAndLeavesNothing) {
    ASSERT_OK(write_file(alloc_ + "/web/local/text.jar", "text"));
    struct Case {
        Value::Map config;
        std::string message;
    };
    for (const Case& wrong : std::vector<Case>{
             {{}, "jar_path, class: expected one of the two, found none"},
             {{{"jar_path", "local/none.jar"}}, "jar_path: \"/local/none.jar\" does not exist"},
             {{{"jar_path", "local/text.jar"}},
              "jar_path: \"/local/text.jar\" is no jar file (no zip archive)"},
             {{{"class", "Gone"}, {"class_path", "local/classes"}},
              "class: \"Gone\": no Gone.class in /local/classes"},
             {{{"jar_path", "local/app.jar"}, {"pid_mode", "x"}},
              "pid_mode: expected \"private\" or \"host\", found"},
             {{{"jar_path", "local/app.jar"}, {"args", "x"}}, "args: expected a list, found text (\"x\")"},
         }) {
        auto started = plugin_->start_task(task(wrong.config));
        ASSERT_FALSE(started) << wrong.message;
        EXPECT_EQ(started.error().message().substr(0, wrong.message.size()), wrong.message);
        EXPECT_EQ(started.error().retry(), Retry::No);
    }
}

INSTANTIATE_TEST_SUITE_P(Drivers, JavaTest, ::testing::Values(kJava),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace drover::conformance
