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

}  // namespace drover::drivers
