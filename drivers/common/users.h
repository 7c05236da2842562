// SPDX-License-Identifier: Apache-2.0
// From the user of a job file to the numbers a process runs with, and which numbers the operator refuses.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "drover/process_task.h"

namespace drover::drivers {

// A name or "uid" or "uid:gid"; with all the groups the machine's user database has for it. NotFound naming the user.
Result<sdk::ProcessUser> find_user(const std::string& user);

// Ids as an operator lists them: "0,100-199,65534".
class IdRanges {
 public:
    // InvalidArgument naming `field` and the part that is wrong. Empty text: no ids.
    static Result<IdRanges> parse(const std::string& text, std::string_view field);
    bool contains(uint64_t id) const;
    const std::vector<std::pair<uint64_t, uint64_t>>& ranges() const { return ranges_; }  // both ends belong to it

 private:
    std::vector<std::pair<uint64_t, uint64_t>> ranges_;
};

// denied_host_uids and denied_host_gids of a plugin's config.
struct DeniedIds {
    IdRanges uids;
    IdRanges gids;

    static Result<DeniedIds> parse(const std::string& uids, const std::string& gids);
    // PermissionDenied when the user, its group or one of its groups is refused. `name` as the job has it.
    Status check(const std::string& name, const sdk::ProcessUser& user) const;
};

}  // namespace drover::drivers
