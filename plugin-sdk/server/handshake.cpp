// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/server/handshake.h"

#include <grp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/strings.h"

namespace drover::sdk {
namespace {

Result<unsigned> find_group(const std::string& name) {
    if (auto gid = parse_uint(name)) return static_cast<unsigned>(*gid);
    errno = 0;
    struct group* entry = ::getgrnam(name.c_str());
    if (!entry) return make_error(Code::NotFound, "PLUGIN_UNIX_SOCKET_GROUP: there is no group \"{}\"", name);
    return static_cast<unsigned>(entry->gr_gid);
}

}  // namespace

Result<HandshakeRequest> read_handshake_request(std::string_view kind, std::string_view name, const EnvLookup& env) {
    if (env(kCookieName) != std::optional<std::string>(kCookieValue)) {
        return make_error(
            Code::FailedPrecondition,
            "This is the {} plugin \"{}\". It is not meant to be run by hand: put it into the agent's "
            "plugin directory (plugin_dir), and the agent starts it and talks to it over a socket.",
            kind, name);
    }
    if (auto versions = env("PLUGIN_PROTOCOL_VERSIONS"); versions && !versions->empty()) {
        bool offered = false;
        for (const std::string& version : split(*versions, ','))
            offered |= trim(version) == std::to_string(kAppProtocol);
        if (!offered) {
            return make_error(Code::InvalidArgument,
                              "PLUGIN_PROTOCOL_VERSIONS: the host offers \"{}\", this plugin speaks {}", *versions,
                              kAppProtocol);
        }
    }
    HandshakeRequest request;
    for (const char* name : {"PLUGIN_UNIX_SOCKET_DIR", "TMPDIR"}) {
        auto dir = env(name);
        if (!dir || dir->empty() || (*dir)[0] != '/') continue;
        request.socket_parent = *dir;
        break;
    }
    if (request.socket_parent.empty()) request.socket_parent = "/tmp";
    if (auto group = env("PLUGIN_UNIX_SOCKET_GROUP"); group && !group->empty()) request.socket_group = *group;
    return request;
}

Result<SocketDir> SocketDir::create(const HandshakeRequest& request) {
    std::optional<unsigned> gid;
    if (request.socket_group) {
        DROVER_TRY(gid, find_group(*request.socket_group));
    }
    // Addresses of unix sockets end at 108 bytes: a long TMPDIR must not stop the plugin.
    constexpr std::string_view kName = "/drover-plugin-XXXXXX";
    std::string parent = request.socket_parent;
    if (parent.size() + kName.size() + 2 >= sizeof(sockaddr_un::sun_path)) parent = "/tmp";
    std::string dir = parent + std::string(kName);
    if (!::mkdtemp(dir.data())) return Error::from_errno(fmt::format("make the socket's directory in {}", parent));
    SocketDir made(dir, gid);
    if (gid) {
        if (::chown(dir.c_str(), static_cast<uid_t>(-1), *gid) != 0) return Error::from_errno("chgrp " + dir);
        if (::chmod(dir.c_str(), 0710) != 0) return Error::from_errno("chmod " + dir);
    }
    return made;
}

Status SocketDir::restrict_socket() const {
    std::string path = socket_path();
    if (gid_ && ::chown(path.c_str(), static_cast<uid_t>(-1), *gid_) != 0) return Error::from_errno("chgrp " + path);
    if (::chmod(path.c_str(), gid_ ? 0660 : 0600) != 0) return Error::from_errno("chmod " + path);
    return {};
}

void SocketDir::remove() {
    if (dir_.empty()) return;
    ::unlink(socket_path().c_str());
    ::rmdir(dir_.c_str());
    dir_.clear();
}

std::string handshake_line(std::string_view socket_path) {
    return fmt::format("{}|{}|unix|{}|grpc|\n", kCoreProtocol, kAppProtocol, socket_path);
}

}  // namespace drover::sdk
