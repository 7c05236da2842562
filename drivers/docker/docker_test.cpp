// SPDX-License-Identifier: Apache-2.0
// What can be said without a daemon: how a name, a log and a job's config are read, and what a container is
// made of.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "drivers/docker/container_spec.h"
#include "drivers/docker/image_ref.h"
#include "drivers/docker/json_read.h"
#include "drivers/docker/log_parser.h"
#include "drivers/docker/log_spool.h"
#include "drivers/docker/registry_auth.h"

namespace drover::drivers {
namespace {

using nlohmann::json;

TEST(ImageRef, IsReadAsDockerReadsIt) {
    struct Case {
        std::string text, registry, repository, version;
    };
    const std::string digest = "sha256:" + std::string(64, 'a');
    for (const Case& c : std::vector<Case>{{"redis", "docker.io", "redis", "latest"},
                                           {"redis:7", "docker.io", "redis", "7"},
                                           {"team/app", "docker.io", "team/app", "latest"},
                                           {"host:5000/app", "host:5000", "host:5000/app", "latest"},
                                           {"localhost/app:1", "localhost", "localhost/app", "1"},
                                           {"https://quay.io/a/b:2", "quay.io", "quay.io/a/b", "2"},
                                           {"a@" + digest, "docker.io", "a", digest},
                                           {"a:1@" + digest, "docker.io", "a", digest}}) {
        auto image = parse_image(c.text);
        ASSERT_TRUE(image) << c.text;
        EXPECT_EQ(image->registry, c.registry) << c.text;
        EXPECT_EQ(image->repository, c.repository) << c.text;
        EXPECT_EQ(image->version(), c.version) << c.text;
    }
    for (const char* bad : {"", "a:", "a@sha256:1", "a b", "a/", ":1", "a?x=1"})
        EXPECT_FALSE(parse_image(bad)) << bad;
}

std::string frame(char stream, const std::string& payload) {
    std::string head{stream, 0, 0, 0};
    for (int shift : {24, 16, 8, 0}) head += static_cast<char>(payload.size() >> shift & 0xff);
    return head + payload;
}

TEST(LogParser, CutsMessagesWhereverTheBytesAreCut) {
    const std::string stamp = "2026-11-21T10:00:00.000000005Z ";
    const std::string bytes =
        frame(1, stamp + "one\n") + frame(2, stamp + "two\n") + frame(1, stamp + "no newline");
    for (size_t step = 1; step <= bytes.size(); ++step) {
        LogParser parser(false);
        std::string said;
        auto take = [&](const LogMessage& message) {
            said += fmt::format("{}|{}|{};", static_cast<int>(message.source), message.timestamp_ns % 1000,
                                message.bytes);
        };
        for (size_t at = 0; at < bytes.size(); at += step)
            ASSERT_TRUE(parser.feed(bytes.substr(at, step), take));
        EXPECT_EQ(said, "0|5|one\n;1|5|two\n;0|5|no newline;");
    }
    LogParser parser(false);
    EXPECT_FALSE(parser.feed("garbage that is no frame at all", [](const LogMessage&) {}));
    LogParser other(false);
    EXPECT_FALSE(
        other.feed(frame(1, "no timestamp here, but long enough for one\n"), [](const LogMessage&) {}));
}

// The daemon's file has messages out of order by up to a second; a reader that begins anew at any of them,
// once or at each, takes each of them once. `strict`: the daemon filters every message, else only up to the
// first that is late enough.
TEST(LogCursor, TakesEachMessageOnceHoweverOftenItBeginsAnew) {
    std::vector<int64_t> log;
    for (int64_t i = 0; i < 400; ++i)
        log.push_back(1'000'000'000'000 + i * 7'000'000 / 3 * 3 - (i % 5 == 3 ? 900'000'000 : 0) -
                      i % 2 * 7'000'000);
    for (const bool strict : {true, false}) {
        LogPosition at;
        std::vector<int64_t> taken;
        while (taken.size() < log.size()) {
            LogCursor cursor(at);
            bool begun = false;
            size_t fresh = 0;
            for (int64_t timestamp : log) {
                if ((strict || !begun) && timestamp < at.since_ns) continue;
                begun = true;
                if (!cursor.is_new(timestamp)) continue;
                taken.push_back(timestamp);
                if (++fresh == taken.size() % 7 + 1) break;
            }
            ASSERT_GT(fresh, 0u);
            at = cursor.position();
        }
        EXPECT_EQ(taken, log) << "strict " << strict;
    }
    // What the daemon has dropped is not waited for.
    LogCursor cursor({.since_ns = 100, .count = 50, .newest_ns = 200});
    EXPECT_FALSE(cursor.is_new(150));
    EXPECT_TRUE(cursor.is_new(201));
    EXPECT_TRUE(cursor.is_new(199));
}

TEST(LogSpool, KeepsWhatWasCommittedAndWhereItWasSent) {
    char dir[] = "/tmp/drover-spool-XXXXXX";
    ASSERT_NE(::mkdtemp(dir), nullptr);
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    UniqueFd reader(ends[0]), writer(ends[1]);
    std::string sent, read;
    auto drain = [&] {
        char buffer[65536];
        for (ssize_t n; (n = ::read(reader.get(), buffer, sizeof buffer)) > 0;)
            read.append(buffer, static_cast<size_t>(n));
    };
    for (int round = 0; round < 200; ++round) {
        // Opened anew each time, as after a kill; what was appended but not committed must vanish.
        auto spool = LogSpool::open(dir);
        ASSERT_TRUE(spool) << spool.error().message();
        EXPECT_EQ(spool->position().count, static_cast<uint64_t>(round));
        std::string text(40'000 + static_cast<size_t>(round), static_cast<char>('a' + round % 26));
        sent += text;
        ASSERT_TRUE(spool->append(LogSource::Stdout, text));
        ASSERT_TRUE(
            spool->commit({.since_ns = 7, .count = static_cast<uint64_t>(round) + 1, .newest_ns = 8}));
        for (auto more = spool->send(LogSource::Stdout, writer.get()); more && !*more;
             more = spool->send(LogSource::Stdout, writer.get()))
            drain();
        drain();
        ASSERT_TRUE(spool->append(LogSource::Stdout, "never committed"));
    }
    EXPECT_TRUE(read == sent) << read.size() << " of " << sent.size();
    struct stat info {};
    uint64_t bytes = 0;
    auto files = list_dir(dir);
    ASSERT_TRUE(files);
    for (const std::string& file : *files)
        if (::stat((std::string(dir) + "/" + file).c_str(), &info) == 0)
            bytes += static_cast<uint64_t>(info.st_size);
    EXPECT_LT(bytes, 4u << 20);
    ASSERT_TRUE(remove_tree(dir));
}

class SpecTest : public ::testing::Test {
 protected:
    void SetUp() override {
        char name[] = "/tmp/drover-spec-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        dir_ = name;
        ASSERT_TRUE(make_dirs(dir_ + "/web/local", 0755));
        task_.id = "a1/web/1";
        task_.name = "web";
        task_.alloc_id = "a1";
        task_.alloc_dir = dir_;
        task_.resources.memory_mb = 64;
        task_.resources.cpu_mhz = 500;
    }
    void TearDown() override { EXPECT_TRUE(remove_tree(dir_)); }
    json host() {
        auto spec = container_spec(task_, config_, plugin_, facts_);
        EXPECT_TRUE(spec) << spec.error().message();
        return spec ? (*spec)["HostConfig"] : json();
    }
    std::string error() {
        auto spec = container_spec(task_, config_, plugin_, facts_);
        return spec ? "" : spec.error().message();
    }
    std::string dir_;
    sdk::TaskConfig task_;
    DockerTaskConfig config_;
    DockerPluginConfig plugin_;
    ContainerFacts facts_{.image = "sha256:1", .owner = "me", .cpus = 4, .runtimes = {"runc"}};
};

TEST_F(SpecTest, LimitsFollowTheTasksResources) {
    EXPECT_EQ(host()["Memory"], 64 << 20);
    EXPECT_EQ(host()["MemorySwap"], 64 << 20);
    EXPECT_EQ(host()["CpuShares"], 500);
    config_.memory_hard_limit = 128;
    EXPECT_EQ(host()["Memory"], 128 << 20);
    EXPECT_EQ(host()["MemoryReservation"], 64 << 20);
    config_.memory_hard_limit = 32;
    EXPECT_EQ(error(), "memory_hard_limit: must be at least the task's memory (64 MB), found 32 MB");
    config_.memory_hard_limit = 0;
    config_.cpu_hard_limit = true;
    task_.resources.linux_resources.compute_fraction = 0.25;
    EXPECT_EQ(host()["CpuQuota"], 100'000);  // a quarter of four cores
    EXPECT_EQ(host()["CpuPeriod"], 100'000);
    config_.cpuset_cpus = "0-1";
    EXPECT_EQ(host()["CpusetCpus"], "0-1");
    task_.resources.linux_resources.cpuset_cpus = "3";
    EXPECT_EQ(host()["CpusetCpus"], "3");
    plugin_.pids_limit = 10;
    EXPECT_EQ(host()["PidsLimit"], 10);
    config_.pids_limit = 11;
    EXPECT_EQ(error(), "pids_limit: the agent allows at most 10, found 11");
}

TEST_F(SpecTest, PortsArePublishedAtTheAllocations) {
    task_.resources.ports = {{.label = "http", .host_port = 20001, .to = 80, .host_ip = "192.0.2.7"}};
    config_.ports = {"http"};
    auto spec = container_spec(task_, config_, plugin_, facts_);
    ASSERT_TRUE(spec);
    EXPECT_EQ((*spec)["HostConfig"]["PortBindings"]["80/tcp"],
              json::parse(R"([{"HostIp":"192.0.2.7","HostPort":"20001"}])"));
    EXPECT_TRUE((*spec)["ExposedPorts"].contains("80/udp"));
    // In an allocation's network the agent forwards the ports.
    facts_.network_container = "abc";
    EXPECT_EQ(host()["NetworkMode"], "container:abc");
    EXPECT_FALSE(host().contains("PortBindings"));
    config_.network_mode = "host";
    EXPECT_NE(error().find("network_mode: the group has a network block"), std::string::npos);
}

TEST_F(SpecTest, GpusAreAskedForByRuntimeOrRequest) {
    task_.device_env = {{"NVIDIA_VISIBLE_DEVICES", "GPU-1,GPU-2"}};
    EXPECT_EQ(host()["DeviceRequests"][0]["DeviceIDs"], json({"GPU-1", "GPU-2"}));
    EXPECT_EQ(host()["DeviceRequests"][0]["Capabilities"], json::parse(R"([["gpu"]])"));
    facts_.runtimes = {"runc", "nvidia"};
    EXPECT_EQ(host()["Runtime"], "nvidia");
    EXPECT_FALSE(host().contains("DeviceRequests"));
}

TEST_F(SpecTest, PrivilegesAreTheOperatorsDecision) {
    EXPECT_EQ(host()["CapDrop"], json({"ALL"}));
    EXPECT_EQ(host()["CapAdd"].size(), 13u);
    config_.privileged = true;
    EXPECT_NE(error().find("privileged: "), std::string::npos);
    plugin_.allow_privileged = true;
    EXPECT_EQ(host()["Privileged"], true);
    config_.security_opt = {"seccomp=/no/such/profile.json", "no-new-privileges"};
    EXPECT_NE(error().find("/no/such/profile.json"), std::string::npos);
}

TEST_F(SpecTest, LabelsCannotBeForged) {
    config_.labels = {{kTaskLabel, "other"}, {"team", "blue"}};
    plugin_.extra_labels = {"task_*", "node_id"};
    task_.node_id = "n1";
    task_.task_group_name = "g";
    auto spec = container_spec(task_, config_, plugin_, facts_);
    ASSERT_TRUE(spec);
    EXPECT_EQ((*spec)["Labels"], json({{kTaskLabel, "a1/web/1"},
                                       {kOwnerLabel, "me"},
                                       {kAllocLabel, "a1"},
                                       {"team", "blue"},
                                       {"com.hashicorp.nomad.task_name", "web"},
                                       {"com.hashicorp.nomad.task_group_name", "g"},
                                       {"com.hashicorp.nomad.node_id", "n1"}}));
}

TEST_F(SpecTest, PathsStayInTheAllocation) {
    ASSERT_TRUE(make_dirs(dir_ + "/alloc/data", 0755));
    ASSERT_EQ(::symlink("../alloc", (dir_ + "/web/inside").c_str()), 0);
    ASSERT_EQ(::symlink("/etc", (dir_ + "/web/outside").c_str()), 0);
    ASSERT_EQ(::symlink("/nowhere", (dir_ + "/web/dangling").c_str()), 0);
    for (const char* good : {"local", "local/new/dir", "../alloc/data", "inside/data", "./local/../local"})
        EXPECT_TRUE(path_in_alloc(task_, good, "volumes")) << good;
    for (const char* bad :
         {"../..", "outside", "outside/passwd", "dangling", "dangling/x", "new/../../..", "../../etc"})
        EXPECT_FALSE(path_in_alloc(task_, bad, "volumes")) << bad;
    config_.volumes = {"/etc:/x"};
    EXPECT_NE(error().find("volumes are not enabled"), std::string::npos);
    plugin_.volumes = DockerVolumes{.enabled = true, .selinuxlabel = "z"};
    EXPECT_EQ(host()["Binds"][3], "/etc:/x:z");
}

TEST_F(SpecTest, LogsAreKeptByTheDaemonWithinBounds) {
    EXPECT_EQ(host()["LogConfig"],
              json::parse(R"({"Type":"json-file","Config":{"max-file":"2","max-size":"32m"}})"));
    config_.logging = DockerLogging{.driver = "", .type = "syslog", .config = {{"tag", "x"}}};
    EXPECT_EQ(host()["LogConfig"], json::parse(R"({"Type":"syslog","Config":{"tag":"x"}})"));
}

TEST(RegistryAuth, FindsCredentialsWhereDockerWould) {
    char dir[] = "/tmp/drover-auth-XXXXXX";
    ASSERT_NE(::mkdtemp(dir), nullptr);
    const std::string config = std::string(dir) + "/config.json";
    ASSERT_TRUE(write_file(
        std::string(dir) + "/docker-credential-test",
        "#!/bin/sh\nread server\n[ $server = none.example ] && { echo credentials not found in native "
        "keychain; exit 1; }\necho \"{\\\"Username\\\":\\\"$server\\\",\\\"Secret\\\":\\\"s\\\"}\"\n",
        0700));
    ::setenv("PATH", (std::string(dir) + ":/usr/bin:/bin").c_str(), 1);
    ASSERT_TRUE(write_file(
        config, R"({"auths":{"a.example":{"auth":"YW5uOnBhc3M6d29yZA=="},"bad.example":{"auth":"%"}},
                                       "credHelpers":{"h.example":"test"}})"));
    DockerTaskConfig task;
    DockerPluginConfig plugin;
    EXPECT_TRUE(find_credentials("a.example", task, plugin)->empty());
    plugin.auth = DockerPluginAuth{.config = config, .helper = ""};
    auto found = find_credentials("a.example", task, plugin);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->username, "ann");
    EXPECT_EQ(found->password, "pass:word");
    EXPECT_EQ(find_credentials("h.example", task, plugin)->username, "h.example");
    EXPECT_TRUE(find_credentials("other.example", task, plugin)->empty());
    auto bad = find_credentials("bad.example", task, plugin);
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().message().find("%"), std::string::npos);
    plugin.auth->helper = "test";
    EXPECT_EQ(find_credentials("other.example", task, plugin)->username, "other.example");
    EXPECT_TRUE(find_credentials("none.example", task, plugin)->empty());
    plugin.auth->helper = "missing";
    EXPECT_FALSE(find_credentials("other.example", task, plugin));
    task.auth = DockerAuth{.username = "own", .password = "p", .email = "", .server_address = ""};
    EXPECT_EQ(find_credentials("a.example", task, plugin)->username, "own");
    ASSERT_TRUE(remove_tree(dir));
}

}  // namespace
}  // namespace drover::drivers
