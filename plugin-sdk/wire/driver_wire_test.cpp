// SPDX-License-Identifier: Apache-2.0
// Every value survives the trip through its message (also serialised), and messages with nothing in them are read.
#include "plugin-sdk/wire/driver_wire.h"

#include <gtest/gtest.h>

namespace drover::sdk::wire {
namespace {

template <class M, class T>
T trip(const T& in) {
    M written;
    to_proto(in, &written);
    M read;
    EXPECT_TRUE(read.ParseFromString(written.SerializeAsString()));
    return from_proto(read);
}

TaskConfig task_config() {
    TaskConfig c;
    c.id = "a/web/1";
    c.name = "web";
    c.alloc_id = "a";
    c.job_id = "j";
    c.job_name = "jn";
    c.parent_job_id = "p";
    c.task_group_name = "g";
    c.namespace_name = "ns";
    c.node_id = "n";
    c.node_name = "nn";
    c.msgpack_driver_config = std::string("\x80\x00\xff", 3);
    c.env = {{"A", "1"}, {"B", ""}};
    c.device_env = {{"D", "2"}};
    c.resources.cpu_mhz = 500;
    c.resources.memory_mb = 256;
    c.resources.memory_max_mb = 512;
    c.resources.networks = {{"eth0", "10.0.0.0/8", "10.0.0.1", 10, {{"http", 80}}, {{"dyn", 20000}}}};
    c.resources.linux_resources = {100000, 50000, 500, 256 << 20, -5, "0-1", 0.25, "/sys/fs/cgroup/x"};
    c.resources.ports = {{"http", 20000, 80, "127.0.0.1"}};
    c.mounts = {{"/t", "/h", true, "private", "z", "vol"}};
    c.devices = {{"/dev/a", "/dev/b", "rwm"}};
    c.user = "nobody";
    c.alloc_dir = "/alloc";
    c.stdout_path = "/o";
    c.stderr_path = "/e";
    c.network_isolation = NetworkIsolation{NetworkMode::Group, "/ns", {{"l", "v"}}, HostsConfig{"h", "1.2.3.4"}};
    c.dns = DnsConfig{{"1.1.1.1"}, {"s"}, {"o"}};
    return c;
}

TEST(DriverWire, RoundTrips) {
    TaskHandle handle{7, task_config(), TaskState::Running, std::string("\0x", 2)};
    EXPECT_EQ((trip<driverpb::TaskHandle>(handle)), handle);
    EXPECT_EQ((trip<driverpb::TaskHandle>(TaskHandle{})), TaskHandle{});
    StartedTask started{handle, DriverNetwork{{{"http", 80}}, "10.1.1.1", true}};
    EXPECT_EQ((trip<driverpb::StartTaskResponse>(started)), started);
    Capabilities capabilities{true, true, FsIsolation::Image, {NetworkMode::Host, NetworkMode::Group}, true, false,
                              true, true};
    EXPECT_EQ((trip<driverpb::DriverCapabilities>(capabilities)), capabilities);
    EXPECT_EQ((trip<driverpb::DriverCapabilities>(Capabilities{})), Capabilities{});
    Fingerprint fingerprint{{{"driver.x", {true, ""}},
                             {"driver.x.mem", {int64_t{4}, "GiB"}},
                             {"f", {1.5, ""}},
                             {"s", {std::string("t"), ""}}},
                            Health::Healthy,
                            "ok",
                            "err"};
    EXPECT_EQ((trip<driverpb::FingerprintResponse>(fingerprint)), fingerprint);
    ExitResult exit{3, 9, true, "lost"};
    EXPECT_EQ((trip<driverpb::WaitTaskResponse>(exit)), exit);
    TaskStatus status{"id", "name",           TaskState::Exited, 1700000000123456789,
                      0,    {1, 2, true, ""}, {{"pid", "1"}},    std::nullopt};
    EXPECT_EQ((trip<driverpb::InspectTaskResponse>(status)), status);
    TaskStats stats{"id", 1700000000000000001, {{1.0, 2.0, 3.0, 4, 5, 6.0}, {1, 2, 3, 4, 5, 6, 7}}, {{"12", {}}}};
    stats.by_pid["12"].cpu.percent = 0.0;
    EXPECT_EQ((trip<driverpb::TaskStats>(stats)), stats);
    TaskEvent event{"id", "alloc", "task", 5, "pulling", {{"k", "v"}}};
    EXPECT_EQ((trip<driverpb::DriverTaskEvent>(event)), event);
    ExecOutput output{"out", std::string("\xff", 1), {1, 0, false, ""}};
    EXPECT_EQ((trip<driverpb::ExecTaskResponse>(output)), output);
    CreatedNetwork network{*task_config().network_isolation, true};
    EXPECT_EQ((trip<driverpb::CreateNetworkResponse>(network)), network);
    PluginInfo info{PluginType::Driver, "exec", "0.1.0", {"v0.1.0"}};
    EXPECT_EQ((trip<basepb::PluginInfoResponse>(info)), info);
}

TEST(DriverWire, AgentConfigIsChecked) {
    AgentConfig config{
        14000, 14512,
        Topology{{0, 1}, 2, {10, 20, 20, 10}, {{0, 1, 2, CpuCore::Grade::Efficiency, true, 1, 2, 3}}, 9, 8}};
    basepb::NomadConfig message;
    to_proto(config, &message);
    EXPECT_EQ(*from_proto(message), config);
    message.mutable_driver()->mutable_topology()->mutable_distances()->set_dimension(3);
    auto bad = from_proto(message);
    ASSERT_FALSE(bad);
    EXPECT_NE(bad.error().message().find("dimension 3 needs 9 values, found 4"), std::string::npos);
    EXPECT_EQ(*from_proto(basepb::NomadConfig()), AgentConfig{});
}

// What a Go host dereferences without looking must be there, whatever the value.
TEST(DriverWire, FillsWhatMustNotBeAbsent) {
    driverpb::TaskStats stats;
    to_proto(TaskStats{}, &stats);
    EXPECT_TRUE(stats.has_agg_resource_usage());
    EXPECT_TRUE(stats.has_timestamp());
    driverpb::InspectTaskResponse inspect;
    to_proto(TaskStatus{}, &inspect);
    EXPECT_TRUE(inspect.task().has_result());
    EXPECT_EQ(inspect.task().started_at().seconds(), -62135596800);
    driverpb::TaskConfig config;
    to_proto(TaskConfig{}, &config);
    EXPECT_TRUE(config.resources().has_linux_resources());
    EXPECT_TRUE(config.resources().allocated_resources().has_cpu());
    EXPECT_TRUE(config.resources().allocated_resources().has_memory());
    driverpb::ExecTaskResponse output;
    to_proto(ExecOutput{}, &output);
    EXPECT_TRUE(output.has_result());
    structspb::Attribute attribute;
    to_proto(Attribute{}, &attribute);
    EXPECT_EQ(attribute.value_case(), structspb::Attribute::kStringVal);
}

TEST(DriverWire, SpecsRoundTripAndAreBounded) {
    HclSpec literal;
    literal.kind = HclSpec::Kind::Literal;
    literal.literal = "\"x\"";
    HclSpec with_default;
    with_default.kind = HclSpec::Kind::Default;
    with_default.nested = {HclSpec::attr("a", "string"), literal};
    HclSpec map;
    map.kind = HclSpec::Kind::BlockMap;
    map.name = "m";
    map.labels = {"l"};
    map.nested = {HclSpec::object({})};
    HclSpec array;
    array.kind = HclSpec::Kind::Array;
    array.nested = {literal, HclSpec{}};
    HclSpec set = HclSpec::block_list("s", HclSpec::object({}), 1, 2);
    set.kind = HclSpec::Kind::BlockSet;
    HclSpec all = HclSpec::object({{"a", with_default},
                                   {"m", map},
                                   {"r", array},
                                   {"s", set},
                                   {"b", HclSpec::block("b", HclSpec::object({}), true)},
                                   {"l", HclSpec::block_list("l", HclSpec::attr("x", "number", true))},
                                   {"k", HclSpec::block_attrs("k", "list(string)", true)}});
    hclspecpb::Spec message;
    to_proto(all, &message);
    auto again = from_proto(message);
    ASSERT_TRUE(again) << again.error().message();
    EXPECT_EQ(*again, all);

    hclspecpb::Spec deep;
    hclspecpb::Spec* at = &deep;
    for (int i = 0; i < 70; ++i) at = at->mutable_array()->add_values();
    auto refused = from_proto(deep);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message().find("more than 64 levels deep"), std::string::npos);
}

TEST(DriverWire, ErrorsCarryTheRetryBit) {
    grpc::Status status = to_status(recoverable_error("no image"));
    EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
    EXPECT_EQ(from_status(status).retry(), Retry::Yes);
    EXPECT_EQ(from_status(status).message(), "no image");
    status = to_status(make_error(Code::NotFound, "no such task"));
    EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
    EXPECT_EQ(from_status(status).retry(), Retry::No);
    // A host would take these for the death of the plugin.
    EXPECT_EQ(to_status(Error(Code::Unavailable, "x")).error_code(), grpc::StatusCode::UNKNOWN);
    EXPECT_EQ(to_status(Error(Code::Cancelled, "x")).error_code(), grpc::StatusCode::UNKNOWN);
    // Details that are not what they should be.
    EXPECT_EQ(from_status(grpc::Status(grpc::StatusCode::UNKNOWN, "m", "\xff\xff")).retry(), Retry::No);
}

TEST(DriverWire, TimesSaturate) {
    EXPECT_EQ(duration_from_proto(duration_to_proto(-1500000000)), -1500000000);
    google::protobuf::Duration huge;
    huge.set_seconds(std::numeric_limits<int64_t>::max());
    EXPECT_EQ(duration_from_proto(huge), std::numeric_limits<int64_t>::max());
    EXPECT_EQ(timestamp_from_proto(timestamp_to_proto(-1)), -1);
    EXPECT_EQ(timestamp_from_proto(timestamp_to_proto(0)), 0);
}

}  // namespace
}  // namespace drover::sdk::wire
