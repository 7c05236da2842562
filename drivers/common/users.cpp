// SPDX-License-Identifier: Apache-2.0
#include "drivers/common/users.h"

#include <grp.h>
#include <pwd.h>

#include "base/strings.h"

namespace drover::drivers {

Result<sdk::ProcessUser> find_user(const std::string& user) {
    std::vector<char> buffer(16 << 10);
    struct passwd entry {};
    struct passwd* found = nullptr;
    std::string name = user;
    std::optional<uint64_t> uid, gid;
    if (size_t colon = user.find(':'); colon != std::string::npos) {
        name = user.substr(0, colon);
        gid = parse_uint(user.substr(colon + 1));
        if (!gid) return make_error(Code::InvalidArgument, "user \"{}\": the group must be a number", user);
    }
    if (::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || !found) {
        uid = parse_uint(name);
        constexpr uint64_t kIdMax = 0xfffffffe;  // 2^32 - 1 means "leave it as it is" to the kernel
        if (!uid || *uid > kIdMax || gid.value_or(0) > kIdMax)
            return make_error(Code::NotFound, "user \"{}\" does not exist on this machine", user);
        if (::getpwuid_r(static_cast<uid_t>(*uid), &entry, buffer.data(), buffer.size(), &found) != 0) found = nullptr;
    }
    sdk::ProcessUser out;
    if (!found) {  // a number without a name: itself, and no groups
        out.uid = static_cast<uid_t>(*uid);
        out.gid = static_cast<gid_t>(gid.value_or(*uid));
        return out;
    }
    out.uid = found->pw_uid;
    out.gid = gid ? static_cast<gid_t>(*gid) : found->pw_gid;
    int count = 64;
    out.groups.resize(static_cast<size_t>(count));
    if (::getgrouplist(found->pw_name, out.gid, out.groups.data(), &count) < 0) {
        out.groups.resize(static_cast<size_t>(count));
        if (::getgrouplist(found->pw_name, out.gid, out.groups.data(), &count) < 0) count = 0;
    }
    out.groups.resize(static_cast<size_t>(count));
    return out;
}

Result<IdRanges> IdRanges::parse(const std::string& text, std::string_view field) {
    IdRanges out;
    if (trim(text).empty()) return out;
    for (const std::string& part : split(text, ',')) {
        const std::string_view range = trim(part);
        const size_t dash = range.find('-');
        auto first = parse_uint(trim(range.substr(0, dash)));
        auto last = dash == std::string_view::npos ? first : parse_uint(trim(range.substr(dash + 1)));
        if (!first || !last || *first > *last || *last > UINT32_MAX)
            return make_error(Code::InvalidArgument, "{}: expected ids like \"0,100-199\", found \"{}\"", field, part);
        out.ranges_.emplace_back(*first, *last);
    }
    return out;
}

bool IdRanges::contains(uint64_t id) const {
    for (const auto& [first, last] : ranges_)
        if (id >= first && id <= last) return true;
    return false;
}

Result<DeniedIds> DeniedIds::parse(const std::string& uids, const std::string& gids) {
    DeniedIds out;
    DROVER_TRY(out.uids, IdRanges::parse(uids, "denied_host_uids"));
    DROVER_TRY(out.gids, IdRanges::parse(gids, "denied_host_gids"));
    return out;
}

Status DeniedIds::check(const std::string& name, const sdk::ProcessUser& user) const {
    if (uids.contains(user.uid))
        return make_error(Code::PermissionDenied,
                          "user \"{}\": the agent's plugin config (denied_host_uids) refuses uid {}", name, user.uid);
    std::vector<gid_t> all = user.groups;
    all.push_back(user.gid);
    for (gid_t gid : all)
        if (gids.contains(gid))
            return make_error(Code::PermissionDenied,
                              "user \"{}\": the agent's plugin config (denied_host_gids) refuses gid {}", name, gid);
    return {};
}

}  // namespace drover::drivers
