// SPDX-License-Identifier: Apache-2.0
#include "drivers/java/java_command.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/files.h"
#include "base/strings.h"

namespace drover::drivers {
namespace {

class JavaCommand : public ::testing::Test {
 protected:
    void SetUp() override {
        char name[] = "/tmp/drover-java-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        dir_ = name;
        ASSERT_TRUE(make_dirs(dir_ + "/classes/com/example"));
        ASSERT_TRUE(write_file(dir_ + "/app.jar", "PK\3\4"));
        ASSERT_TRUE(write_file(dir_ + "/text.jar", "text"));
        ASSERT_TRUE(write_file(dir_ + "/classes/com/example/Main.class", "x"));
        config_.jar_path = "local/app.jar";
        task_.resources.memory_mb = 1024;
    }
    void TearDown() override { EXPECT_TRUE(remove_tree(dir_)); }

    std::string command() {
        auto args = java_arguments(task_, config_, "/", {{"/local", dir_}, {"/usr", "/usr"}});
        return args ? join(*args, " ") : args.error().message();
    }

    std::string dir_;
    sdk::TaskConfig task_;
    JavaTaskConfig config_;
};

TEST_F(JavaCommand, RunsAJarOrAClass) {
    config_.args = {"a", "b c"};
    config_.jvm_options = {"-Dx=y"};
    EXPECT_EQ(command(), "-Xmx768m -Dx=y -jar local/app.jar a b c");
    config_.jar_path = "/local/app.jar";
    config_.class_path = "/local/lib/*";
    EXPECT_EQ(command(), "-Xmx768m -Dx=y -cp /local/lib/* -jar /local/app.jar a b c");
    config_ = {};
    config_.class_name = "com.example.Main";
    config_.class_path = "local/other:local/classes";
    EXPECT_EQ(command(), "-Xmx768m -cp local/other:local/classes com.example.Main");
}

TEST_F(JavaCommand, LeavesTheHeapToWhoChoseOne) {
    for (const char* option : {"-Xmx100m", "-XX:MaxRAMPercentage=50", "-XX:MaxHeapSize=1g", "@options"}) {
        config_.jvm_options = {option};
        EXPECT_EQ(command(), std::string(option) + " -jar local/app.jar");
    }
    config_.jvm_options = {};
    task_.env["JAVA_TOOL_OPTIONS"] = "-Dx=y -Xmx64m";
    EXPECT_EQ(command(), "-jar local/app.jar");
    task_.env.clear();
    task_.resources.memory_max_mb = 2048;  // what it may use at most
    EXPECT_EQ(command(), "-Xmx1536m -jar local/app.jar");
}

TEST_F(JavaCommand, DerivesTheHeapFromTheMemory) {
    EXPECT_EQ(java_heap_mb(64), 32);
    EXPECT_EQ(java_heap_mb(512), 256);
    EXPECT_EQ(java_heap_mb(600), 344);
    EXPECT_EQ(java_heap_mb(1024), 768);
    EXPECT_EQ(java_heap_mb(4096), 3072);
}

TEST_F(JavaCommand, RefusesNamingTheField) {
    config_.jar_path = "local/none.jar";
    EXPECT_EQ(command(), "jar_path: \"/local/none.jar\" does not exist");
    config_.jar_path = "/home/app.jar";  // not in the task's view
    EXPECT_EQ(command(), "jar_path: \"/home/app.jar\" does not exist");
    config_.jar_path = "local/text.jar";
    EXPECT_EQ(command(), "jar_path: \"/local/text.jar\" is no jar file (no zip archive)");
    config_.jar_path = "local/classes";
    EXPECT_EQ(command(), "jar_path: \"/local/classes\" is not a regular file");
    config_.class_name = "Main";
    EXPECT_EQ(command(), "jar_path, class: expected one of the two, found both");
    config_.jar_path = "";
    EXPECT_EQ(command(), "-Xmx768m Main");  // the JVM may have one
    config_.class_path = ".";
    EXPECT_EQ(command(), "class: \"Main\": no Main.class in /");
    config_.class_path = "local/classes:/usr";
    EXPECT_EQ(command(), "class: \"Main\": no Main.class in /local/classes, /usr");
    config_.class_path = "local/app.jar";  // the JVM will look
    EXPECT_EQ(command(), "-Xmx768m -cp local/app.jar Main");
    config_.class_name = "-version";
    EXPECT_EQ(command(), "class: expected a name, found \"-version\"");
    config_ = {};
    EXPECT_EQ(command(), "jar_path, class: expected one of the two, found none");
}

TEST(JavaVersion, ReadsWhatJavaSays) {
    auto version = parse_java_version(
        "Picked up JAVA_TOOL_OPTIONS: -Dx\n"
        "openjdk version \"17.0.13\" 2024-10-15\n"
        "OpenJDK Runtime Environment (build 17.0.13+11-Debian-2deb12u1)\n"
        "OpenJDK 64-Bit Server VM (build 17.0.13+11-Debian-2deb12u1, mixed mode, sharing)\n");
    ASSERT_TRUE(version);
    EXPECT_EQ(version->version, "17.0.13");
    EXPECT_EQ(version->runtime, "OpenJDK Runtime Environment (build 17.0.13+11-Debian-2deb12u1)");
    EXPECT_EQ(version->vm,
              "OpenJDK 64-Bit Server VM (build 17.0.13+11-Debian-2deb12u1, mixed mode, sharing)");
    EXPECT_EQ(parse_java_version("java version \"1.8.0_292\"\nA\nB\n")->version, "1.8.0_292");
    EXPECT_FALSE(parse_java_version("Error: could not find libjava.so\n"));
    EXPECT_FALSE(parse_java_version(""));
}

}  // namespace
}  // namespace drover::drivers
