// SPDX-License-Identifier: Apache-2.0
#include "agent/allocdir/alloc_dir.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/strings.h"

namespace drover::agent {
namespace {

constexpr size_t kSniffBytes = 512;

Status make_dir(const std::string& path, mode_t mode, Owner owner) {
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
        return Error::from_errno(fmt::format("mkdir {}", path));
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return Error::from_errno(fmt::format("open {}", path));
    if (::fchown(fd.get(), owner.uid, owner.gid) != 0 && errno != EPERM) {
        return Error::from_errno(fmt::format("chown {}", path));
    }
    if (::fchmod(fd.get(), mode) != 0) return Error::from_errno(fmt::format("chmod {}", path));
    return {};
}

std::string relative(const std::string& path) {
    size_t begin = 0;
    while (begin < path.size() && path[begin] == '/') ++begin;
    return begin == path.size() ? std::string(".") : path.substr(begin);
}

Error open_error(const std::string& path, int number) {
    if (number == EXDEV || number == ELOOP) {
        return make_error(Code::PermissionDenied, "Path escapes the alloc directory: {}", path);
    }
    return Error::from_errno(fmt::format("open {}", path), number);
}

model::AllocFileInfo file_info(const std::string& name, const struct stat& st) {
    model::AllocFileInfo info;
    info.set_name(name);
    info.set_is_dir(S_ISDIR(st.st_mode));
    info.set_size(st.st_size);
    info.set_file_mode(file_mode_text(st.st_mode));
    info.set_mod_time(st.st_mtim.tv_sec * kSecond + st.st_mtim.tv_nsec);
    return info;
}

// What Go's http.DetectContentType would mostly say, without its table.
std::string sniff(int fd) {
    char buffer[kSniffBytes];
    const ssize_t n = ::pread(fd, buffer, sizeof buffer, 0);
    if (n <= 0) return "text/plain; charset=utf-8";
    const std::string_view bytes(buffer, static_cast<size_t>(n));
    if (bytes.starts_with("%PDF-")) return "application/pdf";
    if (bytes.starts_with("\x89PNG\r\n\x1a\n")) return "image/png";
    if (bytes.starts_with("\x1f\x8b\x08")) return "application/x-gzip";
    if (bytes.starts_with("PK\x03\x04")) return "application/zip";
    const bool binary = std::any_of(bytes.begin(), bytes.end(), [](char c) {
        const auto u = static_cast<unsigned char>(c);
        return u < 0x20 && u != '\t' && u != '\n' && u != '\r' && u != '\f' && u != 0x1b;
    });
    return binary ? "application/octet-stream" : "text/plain; charset=utf-8";
}

}  // namespace

AllocDir::AllocDir(std::string root, std::string alloc_id)
    : path_(std::move(root) + "/" + std::move(alloc_id)) {}

Status AllocDir::build() const {
    const Owner root{::geteuid(), ::getegid()};
    DROVER_CHECK(make_dir(path_, 0755, root));
    DROVER_CHECK(make_dir(shared(), 0777, root));
    DROVER_CHECK(make_dir(shared() + "/data", 0777, root));
    DROVER_CHECK(make_dir(shared() + "/logs", 0777, root));
    return make_dir(shared() + "/tmp", 01777, root);
}

Status AllocDir::build_task(const std::string& name, Owner secrets_owner) const {
    if (name.empty() || name == "." || name == ".." || name == "alloc" ||
        name.find('/') != std::string::npos || name.find('\0') != std::string::npos) {
        return make_error(Code::InvalidArgument, "task name {:?} cannot name a directory", name);
    }
    const Owner root{::geteuid(), ::getegid()};
    DROVER_CHECK(make_dir(task(name), 0777, root));
    DROVER_CHECK(make_dir(task(name) + "/local", 0777, root));
    DROVER_CHECK(make_dir(task(name) + "/tmp", 01777, root));
    DROVER_CHECK(make_dir(task(name) + "/secrets", 0700, secrets_owner));
    return make_dir(task(name) + "/private", 0700, secrets_owner);
}

Status AllocDir::destroy() const {
    return remove_tree(path_);
}

Result<UniqueFd> AllocDir::open_beneath(const std::string& path, int flags) const {
    UniqueFd root(::open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root) return Error::from_errno(fmt::format("open {}", path_));
    if (path.find('\0') != std::string::npos) return make_error(Code::InvalidArgument, "path has a NUL byte");
    open_how how{};
    how.flags = static_cast<uint64_t>(flags) | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    const std::string inside = relative(path);
    const long fd = ::syscall(SYS_openat2, root.get(), inside.c_str(), &how, sizeof how);
    if (fd < 0) return open_error(path, errno);
    UniqueFd opened(static_cast<int>(fd));
    // Where it really is, whatever links were walked: <task>/secrets and <task>/private are never shown.
    char link[4096];
    const auto proc = fmt::format("/proc/self/fd/{}", opened.get());
    const ssize_t n = ::readlink(proc.c_str(), link, sizeof link);
    if (n < 0) return Error::from_errno(proc);
    const std::string_view real(link, static_cast<size_t>(n));
    char base[4096];
    const auto root_proc = fmt::format("/proc/self/fd/{}", root.get());
    const ssize_t root_n = ::readlink(root_proc.c_str(), base, sizeof base);
    if (root_n > 0 && real.size() > static_cast<size_t>(root_n)) {
        const auto parts = split(real.substr(static_cast<size_t>(root_n) + 1), '/');
        if (parts.size() > 2 && parts[0] != "alloc" && (parts[1] == "secrets" || parts[1] == "private")) {
            return make_error(Code::PermissionDenied, "Reading secret file prohibited: {}", path);
        }
    }
    return opened;
}

Result<std::vector<model::AllocFileInfo>> AllocDir::list(const std::string& path) const {
    DROVER_TRY(const UniqueFd dir, open_beneath(path, O_RDONLY | O_DIRECTORY));
    DROVER_TRY(const auto names, list_dir(fmt::format("/proc/self/fd/{}", dir.get())));
    std::vector<model::AllocFileInfo> infos;
    for (const auto& name : names) {
        struct stat st {};
        if (::fstatat(dir.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) continue;  // gone meanwhile
        infos.push_back(file_info(name, st));
    }
    return infos;
}

Result<model::AllocFileInfo> AllocDir::stat(const std::string& path) const {
    DROVER_TRY(const UniqueFd fd, open_beneath(path, O_PATH));
    struct stat st {};
    if (::fstat(fd.get(), &st) != 0) return Error::from_errno(fmt::format("stat {}", path));
    const auto clean = relative(path);
    const auto slash = clean.find_last_of('/');
    auto info = file_info(slash == std::string::npos ? clean : clean.substr(slash + 1), st);
    if (S_ISREG(st.st_mode)) {
        auto readable = open_beneath(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        if (readable) info.set_content_type(sniff(readable->get()));
    }
    return info;
}

Result<UniqueFd> AllocDir::open(const std::string& path) const {
    DROVER_TRY(UniqueFd fd, open_beneath(path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
    struct stat st {};
    if (::fstat(fd.get(), &st) != 0) return Error::from_errno(fmt::format("stat {}", path));
    if (S_ISDIR(st.st_mode)) return make_error(Code::InvalidArgument, "file {:?} is a directory", path);
    if (!S_ISREG(st.st_mode)) return make_error(Code::InvalidArgument, "{:?} is not a regular file", path);
    return fd;
}

Result<Owner> lookup_owner(const std::string& user) {
    const auto colon = user.find(':');
    const std::string name = user.substr(0, colon);
    Owner owner;
    if (const auto number = parse_uint(name); number && *number <= 0xfffffffeu) {
        owner.uid = static_cast<uid_t>(*number);
        owner.gid = static_cast<gid_t>(*number);
        passwd entry{};
        passwd* found = nullptr;
        std::string buffer(16384, '\0');
        if (::getpwuid_r(owner.uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
            owner.gid = found->pw_gid;
        }
    } else {
        passwd entry{};
        passwd* found = nullptr;
        std::string buffer(16384, '\0');
        if (::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 ||
            found == nullptr) {
            return make_error(Code::InvalidArgument, "unknown user {:?}", name);
        }
        owner = {found->pw_uid, found->pw_gid};
    }
    if (colon == std::string::npos) return owner;
    const std::string group = user.substr(colon + 1);
    if (const auto number = parse_uint(group); number && *number <= 0xfffffffeu) {
        owner.gid = static_cast<gid_t>(*number);
        return owner;
    }
    struct group entry {};
    struct group* found = nullptr;
    std::string buffer(65536, '\0');
    if (::getgrnam_r(group.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) {
        return make_error(Code::InvalidArgument, "unknown group {:?}", group);
    }
    owner.gid = found->gr_gid;
    return owner;
}

std::string file_mode_text(mode_t mode) {
    std::string text;
    if (S_ISDIR(mode)) text += 'd';
    if (S_ISLNK(mode)) text += 'L';
    if (S_ISFIFO(mode)) text += 'p';
    if (S_ISSOCK(mode)) text += 'S';
    if (S_ISCHR(mode)) text += "Dc";
    if (S_ISBLK(mode)) text += 'D';
    if ((mode & S_ISUID) != 0) text += 'u';
    if ((mode & S_ISGID) != 0) text += 'g';
    if ((mode & S_ISVTX) != 0) text += 't';
    if (text.empty()) text = "-";
    const char* letters = "rwxrwxrwx";
    for (int i = 0; i < 9; ++i) text += (mode & (0400u >> i)) != 0 ? letters[i] : '-';
    return text;
}

}  // namespace drover::agent
