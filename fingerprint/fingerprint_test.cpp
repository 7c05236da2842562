// SPDX-License-Identifier: Apache-2.0
// The real machine's fingerprint against what the kernel says, detectors over prepared trees, and wrong
// configurations.
#include "fingerprint/fingerprint.h"

#include <gtest/gtest.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/strings.h"
#include "base/version.h"
#include "fingerprint/detector.h"

namespace drover::fingerprint {
namespace {

agentconfig::AgentConfig base_config() {
    agentconfig::AgentConfig config;
    config.set_name("n1");
    config.set_datacenter("dc1");
    config.mutable_advertise()->set_http("127.0.0.1:4646");
    config.mutable_client()->set_network_interface("lo");
    config.mutable_client()->set_min_dynamic_port(20000);
    config.mutable_client()->set_max_dynamic_port(32000);
    return config;
}

TEST(Fingerprint, OfThisMachineIsTrueAndQuick) {
    const int64_t before = mono_now();
    auto made = node_from(base_config(), "/tmp");
    EXPECT_LT(mono_now() - before, 2 * kSecond);
    ASSERT_TRUE(made) << made.error().message();
    const model::Node& node = **made;
    const auto& attributes = node.attributes();
    utsname system{};
    ::uname(&system);
    EXPECT_EQ(attributes.at("kernel.version"), system.release);
    EXPECT_EQ(attributes.at("kernel.name"), "linux");
    EXPECT_EQ(attributes.at("nomad.version"), kNomadVersion);
    EXPECT_EQ(attributes.at("unique.advertise.address"), "127.0.0.1:4646");
    EXPECT_EQ(attributes.at("unique.network.ip-address"), "127.0.0.1");
    const auto cores = static_cast<uint32_t>(::sysconf(_SC_NPROCESSORS_ONLN));
    EXPECT_EQ(attributes.at("cpu.numcores"), std::to_string(cores));
    const auto& resources = node.node_resources();
    EXPECT_EQ(resources.cpu().total_cpu_cores(), cores);
    EXPECT_EQ(resources.processors().topology().cores_size(), static_cast<int>(cores));
    EXPECT_GT(resources.cpu().cpu_shares(), 100 * static_cast<int64_t>(cores));
    const int64_t pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
    EXPECT_NEAR(static_cast<double>(resources.memory().memory_mb()), static_cast<double>(pages * page >> 20),
                16.0);
    EXPECT_GT(resources.disk().disk_mb(), 0);
    ASSERT_GE(resources.networks_size(), 1);
    EXPECT_EQ(resources.networks(0).cidr(), "127.0.0.1/32");
    EXPECT_EQ(resources.networks(0).mode(), "host");
    EXPECT_EQ(resources.node_networks(0).addresses(0).alias(), "default");
    EXPECT_EQ(resources.min_dynamic_port(), 20000);
    EXPECT_TRUE(starts_with(node.computed_class(), "v1:"));
    EXPECT_EQ(node.computed_class(), computed_class(node));
}

TEST(Fingerprint, ConfigurationOverrides) {
    auto config = base_config();
    auto* client = config.mutable_client();
    client->set_cpu_total_compute(9000);
    client->set_memory_total_mb(1234);
    client->set_disk_total_mb(777);
    client->mutable_reserved()->set_cpu(500);
    client->mutable_reserved()->set_memory(64);
    client->mutable_reserved()->set_cores("0");
    client->mutable_reserved()->set_reserved_ports("22,80");
    client->set_node_class("gpu");
    (*client->mutable_meta())["rack"] = "r1";
    auto made = node_from(config, "/tmp");
    ASSERT_TRUE(made) << made.error().message();
    const auto& node = **made;
    EXPECT_EQ(node.node_resources().cpu().cpu_shares(), 9000);
    EXPECT_EQ(node.attributes().at("cpu.usablecompute"), "8500");
    EXPECT_EQ(node.node_resources().memory().memory_mb(), 1234);
    EXPECT_EQ(node.node_resources().disk().disk_mb(), 777);
    EXPECT_EQ(node.reserved_resources().memory().memory_mb(), 64u);
    EXPECT_EQ(node.reserved_resources().networks().reserved_host_ports(), "22,80");
    EXPECT_TRUE(node.node_resources().processors().topology().cores(0).disable());
    for (uint32_t id : node.node_resources().cpu().reservable_cpu_cores()) EXPECT_NE(id, 0u);
    EXPECT_EQ(node.meta().at("rack"), "r1");
}

TEST(Fingerprint, WrongConfigurationIsRefusedByName) {
    const std::pair<std::function<void(agentconfig::Client*)>, const char*> cases[] = {
        {[](auto* c) { c->set_reservable_cores("0-x"); }, "reservable_cores: \"0-x\""},
        {[](auto* c) { c->set_reservable_cores("60000"); }, "there is no core 60000"},
        {[](auto* c) { c->mutable_reserved()->set_cores("3-1"); }, "\"3-1\""},
        {[](auto* c) { c->mutable_reserved()->set_cpu(-1); }, "reserved cpu is -1"},
        {[](auto* c) { c->set_cpu_total_compute(-5); }, "cpu_total_compute is -5"},
        {[](auto* c) { c->set_memory_total_mb(-5); }, "memory_total_mb is -5"},
        {[](auto* c) { c->set_network_interface("nope0"); }, "network_interface \"nope0\" does not exist"},
        {[](auto* c) { c->set_preferred_address_family("ipx"); }, "preferred_address_family is \"ipx\""},
        {[](auto* c) { c->add_host_network()->set_name("a"); },
         "host_network \"a\" needs a cidr or an interface"},
        {[](auto* c) {
             c->add_host_network()->set_name("a");
             c->mutable_host_network(0)->set_cidr("10.0.0.0/33");
         },
         "\"10.0.0.0/33\" is no CIDR"},
    };
    for (const auto& [change, expected] : cases) {
        auto config = base_config();
        change(config.mutable_client());
        auto made = node_from(config, "/tmp");
        ASSERT_FALSE(made) << expected;
        EXPECT_EQ(made.error().code(), Code::InvalidArgument);
        EXPECT_NE(made.error().message().find(expected), std::string::npos) << made.error().message();
    }
}

TEST(Fingerprint, HostNetworksBecomeAliases) {
    auto config = base_config();
    auto* network = config.mutable_client()->add_host_network();
    network->set_name("loop");
    network->set_cidr("127.0.0.0/8");
    network->set_reserved_ports("1-3");
    auto made = node_from(config, "/tmp");
    ASSERT_TRUE(made) << made.error().message();
    std::vector<std::string> aliases;
    for (const auto& address : (*made)->node_resources().node_networks(0).addresses()) {
        if (address.address() == "127.0.0.1") aliases.push_back(address.alias());
    }
    EXPECT_EQ(aliases, (std::vector<std::string>{"default", "loop"}));
    EXPECT_EQ((*made)->host_networks().at("loop").cidr(), "127.0.0.0/8");
}

TEST(Fingerprint, ClassIgnoresWhatIsUnique) {
    model::Node a;
    a.set_datacenter("dc1");
    (*a.mutable_attributes())["kernel.name"] = "linux";
    model::Node b = a;
    b.set_name("other");
    (*b.mutable_attributes())["unique.hostname"] = "b";
    (*b.mutable_meta())["unique.serial"] = "7";
    EXPECT_EQ(computed_class(a), computed_class(b));
    (*b.mutable_meta())["rack"] = "r1";
    EXPECT_NE(computed_class(a), computed_class(b));
    model::Node c = a;  // a key and its value must not run together
    (*c.mutable_attributes())["x"] = "yz";
    model::Node d = a;
    (*d.mutable_attributes())["xy"] = "z";
    EXPECT_NE(computed_class(c), computed_class(d));
}

TEST(Fingerprint, DetectorsReadPreparedTrees) {
    char name[] = "/tmp/drover-fingerprint-XXXXXX";
    const std::string root = ::mkdtemp(name);
    for (const char* dir : {"/etc", "/proc", "/sys/class/dmi/id"}) ASSERT_TRUE(make_dirs(root + dir));
    ASSERT_TRUE(write_file(root + "/etc/os-release", "NAME=\"Ubuntu\"\nID=ubuntu\nVERSION_ID=\"24.04\"\n"));
    ASSERT_TRUE(write_file(root + "/etc/machine-id", "3D1219C7c4c5404aaa1f6d2a48adfda4\n"));
    ASSERT_TRUE(write_file(root + "/proc/meminfo", "MemFree: 1 kB\nMemTotal:       24684100 kB\n"));
    const auto config = base_config();
    const Input input{config, "/tmp", root};
    model::Node node;
    ASSERT_TRUE(detect_host(input, node));
    ASSERT_TRUE(detect_memory(input, node));
    EXPECT_EQ(node.attributes().at("os.name"), "ubuntu");
    EXPECT_EQ(node.attributes().at("os.version"), "24.04");
    EXPECT_EQ(node.attributes().at("unique.host_id"), "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4");
    EXPECT_EQ(node.attributes().at("memory.totalbytes"), "25276518400");
    ASSERT_TRUE(write_file(root + "/proc/meminfo", "garbage"));
    EXPECT_FALSE(detect_memory(input, node));
    EXPECT_TRUE(remove_tree(root));
}

TEST(Fingerprint, IdLists) {
    EXPECT_EQ(*parse_id_list("7,0-3, 2"), (std::vector<uint32_t>{0, 1, 2, 3, 7}));
    EXPECT_TRUE(parse_id_list("")->empty());
    for (const char* bad : {"x", "1-", "-1", "3-1", "1,,2", "99999999999", "0-70000"})
        EXPECT_FALSE(parse_id_list(bad)) << bad;
    EXPECT_EQ(format_id_list({0, 1, 2, 5, 7, 8}), "0-2,5,7-8");
    EXPECT_EQ(format_id_list({}), "");
}

}  // namespace
}  // namespace drover::fingerprint
