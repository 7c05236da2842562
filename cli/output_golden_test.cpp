// SPDX-License-Identifier: Apache-2.0
// `job run -output` prints what Nomad's own CLI prints for the same file: tests/golden/nomad/job_output holds
// job files of ours and the JSON recorded for each (its README says how). Compared as JSON values, whatever
// the order of keys.
#include <gtest/gtest.h>

#include <set>

#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "cli/testing/console.h"
#include "model/json/json.h"
#include "proto/model/value.pb.h"

namespace drover::cli {
namespace {

const std::string kFolder = "tests/golden/nomad/job_output/";

// The differences left, none of which a reader of the API can tell from what Nomad prints:
// - a block that is there and empty (`env {}`, identities of which none remains) is an empty value for Nomad
// and
//   null for drover, whose maps and lists do not know whether they were written;
// - keys that only one of the two prints, while they have no value: a service's namespace (the servers'
// matter), and
//   what Consul's gateways and expose paths have that the schema lacks.
const std::set<std::string, std::less<>> kEmptyIsNull = {"Args", "Env", "Identities", "Meta"};
const std::set<std::string, std::less<>> kMayLack = {"MaxConcurrentRequests",
                                                     "MaxConnections",
                                                     "MaxPendingRequests",
                                                     "Namespace",
                                                     "Path",
                                                     "RequestHeaders",
                                                     "ResponseHeaders",
                                                     "SDS",
                                                     "TLS"};

bool is_empty(const model::Value& value) {
    return value.has_null_value() || (value.has_string_value() && value.string_value().empty()) ||
           (value.has_map_value() && value.map_value().fields().empty()) ||
           (value.has_list_value() && value.list_value().values().empty());
}

void normalise(model::Value& value) {
    if (value.has_list_value())
        for (auto& item : *value.mutable_list_value()->mutable_values()) normalise(item);
    if (!value.has_map_value()) return;
    auto& fields = *value.mutable_map_value()->mutable_fields();
    for (auto it = fields.begin(); it != fields.end();) {
        normalise(it->second);
        const bool empty = is_empty(it->second);
        if (empty && kEmptyIsNull.contains(it->first)) it->second.set_null_value(true);
        it = empty && kMayLack.contains(it->first) ? fields.erase(it) : std::next(it);
    }
}

// In one form for both: keys sorted, one value a line.
std::string normal(const std::string& json, const std::string& name) {
    auto value = model::json::parse_value(json);
    EXPECT_TRUE(value) << name << ": " << value.error().message();
    if (!value) return "";
    normalise(*value);
    return model::json::encode_value(*value, 2);
}

TEST(JobOutput, IsAsNomadPrintsIt) {
    log::configure({.level = log::Level::Off});
    auto names = list_dir(kFolder);
    ASSERT_TRUE(names) << names.error().message();
    int files = 0;
    for (const auto& name : *names) {
        if (!ends_with(name, ".nomad.hcl")) continue;
        ++files;
        auto wanted = read_file(kFolder + name + ".json");
        ASSERT_TRUE(wanted) << wanted.error().message();
        testing::Console console;
        EXPECT_EQ(run_command_line({"job", "run", "-output", kFolder + name}, console.streams), 0)
            << console.err;
        EXPECT_EQ(normal(console.out, name), normal(*wanted, name)) << name;
    }
    EXPECT_GE(files, 14);
}

}  // namespace
}  // namespace drover::cli
