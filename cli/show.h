// SPDX-License-Identifier: Apache-2.0
// Text blocks that several verbs share: allocations, deployments, placement failures. Pure.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/fwd.h"

namespace drover::model {
class AllocationMetric;
class Deployment;
}  // namespace drover::model

namespace drover::cli {

struct ShowOptions {
    bool verbose = false;
    int64_t now_ns = 0;
};

// The Allocations table of job, eval and node status; newest first. "No allocations placed" when empty.
std::string allocs_table(const std::vector<model::AllocationListStub>& allocs, const ShowOptions& options,
                         bool with_node_name = true);

// The key/value block and the Deployed table.
std::string deployment_text(const model::Deployment& deployment, const ShowOptions& options,
                            std::string_view bold_deployed);

std::string deployed_table(const model::Deployment& deployment);

// One "* ..." line per reason, each behind `prefix`. With `scores` the table of node scores follows.
std::string metrics_text(const model::AllocationMetric& metrics, bool scores, std::string_view prefix);

// `Task Group "g" (failed to place 2 allocations):`
std::string failed_group_title(std::string_view group, const model::AllocationMetric& metrics);

}  // namespace drover::cli
