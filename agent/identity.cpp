// SPDX-License-Identifier: Apache-2.0
#include "agent/identity.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cstdlib>

#include "base/files.h"
#include "base/strings.h"
#include "base/uuid.h"

namespace drover::agent {
namespace {

Result<std::string> load_or_make(const std::string& path) {
    auto text = read_file(path, 4096);
    if (!text && text.error().code() != Code::NotFound) return std::move(text).error();
    if (text) {
        const std::string id(trim(*text));
        if (!is_uuid(id))
            return make_error(Code::InvalidArgument, "{}: expected a UUID, found {:?}", path,
                              id.substr(0, 64));
        return id;
    }
    const std::string id = new_uuid();
    DROVER_CHECK(write_file_durable(path, id, 0600));
    return id;
}

}  // namespace

Result<Identity> load_identity(const std::string& client_dir) {
    Identity identity;
    DROVER_TRY(identity.node_id, load_or_make(client_dir + "/client-id"));
    DROVER_TRY(identity.secret_id, load_or_make(client_dir + "/secret-id"));
    return identity;
}

Result<UniqueFd> lock_directory(const std::string& client_dir) {
    const std::string path = client_dir + "/lock";
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) return Error::from_errno(fmt::format("open {}", path));
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            return make_error(Code::FailedPrecondition, "{} is used by another agent (it holds {})",
                              client_dir, path);
        }
        return Error::from_errno(fmt::format("lock {}", path));
    }
    return fd;
}

Result<std::string> boot_id() {
    const char* other = ::getenv("DROVER_BOOT_ID_FILE");
    DROVER_TRY(
        const auto text,
        read_file(other != nullptr && *other != '\0' ? other : "/proc/sys/kernel/random/boot_id", 4096));
    return std::string(trim(text));
}

}  // namespace drover::agent
