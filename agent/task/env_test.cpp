// SPDX-License-Identifier: Apache-2.0
#include "agent/task/env.h"

#include <gtest/gtest.h>

namespace drover::agent {
namespace {

class EnvTest : public testing::Test {
 protected:
    EnvTest() {
        alloc.set_id("1f2e3d4c-0000-0000-0000-000000000000");
        alloc.set_name("web.app[2]");
        alloc.set_namespace_("default");
        alloc.set_job_id("web");
        alloc.set_task_group("app");
        auto& job = *alloc.mutable_job();
        job.set_name("web");
        (*job.mutable_meta())["owner"] = "job";
        (*job.mutable_meta())["a-b"] = "dash";
        (*group.mutable_meta())["owner"] = "group";
        (*task.mutable_meta())["where"] = "${node.datacenter}";
        task.set_name("server");
        auto& given = (*alloc.mutable_allocated_resources()->mutable_tasks())["server"];
        given.mutable_cpu()->set_cpu_shares(100);
        given.mutable_memory()->set_memory_mb(64);
        auto& port = *alloc.mutable_allocated_resources()->mutable_shared()->add_ports();
        port.set_label("http-main");
        port.set_value(23456);
        port.set_to(8080);
        port.set_host_ip("10.0.0.5");
        node.set_id("n1");
        node.set_datacenter("dc1");
        (*node.mutable_attributes())["cpu.arch"] = "amd64";
        (*node.mutable_meta())["rack"] = "r7";
    }

    TaskEnv build(std::map<std::string, std::string> host = {}) {
        return build_env({.alloc = alloc,
                          .group = group,
                          .task = task,
                          .node = node,
                          .region = "global",
                          .alloc_dir = "/alloc",
                          .task_dir = "/local",
                          .secrets_dir = "/secrets",
                          .parent_cgroup = "drover",
                          .host_env = std::move(host)});
    }

    model::Allocation alloc;
    model::TaskGroup group;
    model::Task task;
    model::Node node;
};

TEST_F(EnvTest, HasTheNomadVariables) {
    auto env = build().env;
    EXPECT_EQ(env["NOMAD_ALLOC_ID"], "1f2e3d4c-0000-0000-0000-000000000000");
    EXPECT_EQ(env["NOMAD_SHORT_ALLOC_ID"], "1f2e3d4c");
    EXPECT_EQ(env["NOMAD_ALLOC_INDEX"], "2");
    EXPECT_EQ(env["NOMAD_ALLOC_NAME"], "web.app[2]");
    EXPECT_EQ(env["NOMAD_TASK_NAME"], "server");
    EXPECT_EQ(env["NOMAD_GROUP_NAME"], "app");
    EXPECT_EQ(env["NOMAD_DC"], "dc1");
    EXPECT_EQ(env["NOMAD_REGION"], "global");
    EXPECT_EQ(env["NOMAD_CPU_LIMIT"], "100");
    EXPECT_EQ(env["NOMAD_MEMORY_LIMIT"], "64");
    EXPECT_EQ(env["NOMAD_CPU_CORES"], " ");
    EXPECT_FALSE(env.contains("NOMAD_MEMORY_MAX_LIMIT"));
    EXPECT_EQ(env["NOMAD_ALLOC_DIR"], "/alloc");
    EXPECT_FALSE(env.contains("NOMAD_JOB_PARENT_ID"));
}

TEST_F(EnvTest, PortsInsideAndOnTheHost) {
    auto env = build().env;
    EXPECT_EQ(env["NOMAD_PORT_http_main"], "8080");
    EXPECT_EQ(env["NOMAD_HOST_PORT_http_main"], "23456");
    EXPECT_EQ(env["NOMAD_ADDR_http_main"], "10.0.0.5:23456");
    EXPECT_EQ(env["NOMAD_IPv4_http_main"], "10.0.0.5");
    EXPECT_FALSE(env.contains("NOMAD_IPv6_http_main"));
}

TEST_F(EnvTest, MetaComesUpperCasedAndAsWrittenTheInnermostWins) {
    auto env = build().env;
    EXPECT_EQ(env["NOMAD_META_OWNER"], "group");
    EXPECT_EQ(env["NOMAD_META_owner"], "group");
    EXPECT_EQ(env["NOMAD_META_A_B"], "dash");
    EXPECT_EQ(env["NOMAD_META_a_b"], "dash");
    EXPECT_EQ(env["NOMAD_META_where"], "dc1");
}

TEST_F(EnvTest, TheBlockWinsOverBuiltInsAndTheHostOnlyFillsGaps) {
    (*task.mutable_env())["NOMAD_DC"] = "mine";
    (*task.mutable_env())["PATH"] = "/task:${attr.cpu.arch}";
    (*task.mutable_env())["PORT"] = "${NOMAD_PORT_http_main}";
    auto env = build({{"PATH", "/host"}, {"HOME", "/root"}, {"NOMAD_FAKE", "x"}}).env;
    EXPECT_EQ(env["NOMAD_DC"], "mine");
    EXPECT_EQ(env["PATH"], "/task:amd64");
    EXPECT_EQ(env["PORT"], "8080");
    EXPECT_EQ(env["HOME"], "/root");
    EXPECT_FALSE(env.contains("NOMAD_FAKE"));
}

TEST_F(EnvTest, Interpolation) {
    const auto env = build();
    EXPECT_EQ(interpolate("a ${node.unique.id} ${meta.rack} ${env[\"NOMAD_DC\"]}", env), "a n1 r7 dc1");
    EXPECT_EQ(interpolate("${unknown.thing}", env), "${unknown.thing}");
    EXPECT_EQ(interpolate("$${node.region} ${open", env), "${node.region} ${open");
    EXPECT_EQ(interpolate("", env), "");
    EXPECT_EQ(interpolate("${ node.region }", env), "global");
}

}  // namespace
}  // namespace drover::agent
