// SPDX-License-Identifier: Apache-2.0
#include "base/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace drover {
namespace {

std::string parent_of(const std::string& path) {
    auto slash = path.find_last_of('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

Status fsync_dir(const std::string& path) {
    UniqueFd dir(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!dir) return Error::from_errno(fmt::format("open {}", path));
    if (::fsync(dir.get()) != 0 && errno != EINVAL) return Error::from_errno(fmt::format("fsync {}", path));
    return {};
}

Status remove_contents(int dir_fd, dev_t device, const std::string& shown) {
    DIR* dir = ::fdopendir(::dup(dir_fd));
    if (!dir) return Error::from_errno(fmt::format("read {}", shown));
    Status status;
    while (dirent* entry = ::readdir(dir)) {
        std::string_view name = entry->d_name;
        if (name == "." || name == "..") continue;
        struct stat st {};
        if (::fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            if (errno == ENOENT) continue;
            status = Error::from_errno(fmt::format("stat {}/{}", shown, name));
            break;
        }
        const bool is_dir = S_ISDIR(st.st_mode);
        if (is_dir && st.st_dev == device) {
            UniqueFd child(::openat(dir_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
            if (child) {
                status = remove_contents(child.get(), device, fmt::format("{}/{}", shown, name));
                if (!status) break;
            }
        }
        if (::unlinkat(dir_fd, entry->d_name, is_dir ? AT_REMOVEDIR : 0) != 0 && errno != ENOENT) {
            status = Error::from_errno(fmt::format("remove {}/{}", shown, name));
            break;
        }
    }
    ::closedir(dir);
    return status;
}

}  // namespace

Result<std::string> read_file(const std::string& path, uint64_t bytes_max) {
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return Error::from_errno(fmt::format("open {}", path));
    std::string bytes;
    char buffer[16384];
    for (;;) {
        ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
        if (n < 0) {
            if (errno == EINTR) continue;
            return Error::from_errno(fmt::format("read {}", path));
        }
        if (n == 0) return bytes;
        if (bytes.size() + static_cast<size_t>(n) > bytes_max)
            return make_error(Code::ResourceExhausted, "read {}: larger than {} bytes", path, bytes_max);
        bytes.append(buffer, static_cast<size_t>(n));
    }
}

Status write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        ssize_t n = ::write(fd, bytes.data(), bytes.size());
        if (n < 0) {
            if (errno == EINTR) continue;
            return Error::from_errno("write");
        }
        bytes.remove_prefix(static_cast<size_t>(n));
    }
    return {};
}

Status write_file(const std::string& path, std::string_view bytes, mode_t mode) {
    UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
    if (!fd) return Error::from_errno(fmt::format("open {}", path));
    return write_all(fd.get(), bytes).context(path);
}

Status write_file_durable(const std::string& path, std::string_view bytes, mode_t mode) {
    std::string temp = path + ".tmp.XXXXXX";
    UniqueFd fd(::mkostemp(temp.data(), O_CLOEXEC));
    if (!fd) return Error::from_errno(fmt::format("create {}", temp));
    auto written = [&]() -> Status {
        DROVER_CHECK(write_all(fd.get(), bytes).context(temp));
        if (::fchmod(fd.get(), mode) != 0) return Error::from_errno(fmt::format("chmod {}", temp));
        if (::fsync(fd.get()) != 0) return Error::from_errno(fmt::format("fsync {}", temp));
        if (::rename(temp.c_str(), path.c_str()) != 0)
            return Error::from_errno(fmt::format("rename to {}", path));
        return fsync_dir(parent_of(path));
    }();
    if (!written) ::unlink(temp.c_str());
    return written;
}

Status make_dirs(const std::string& path, mode_t mode) {
    // The parents are there, as nearly always.
    if (::mkdir(path.c_str(), mode) == 0)
        return ::chmod(path.c_str(), mode) == 0 ? Status()
                                                : Status(Error::from_errno(fmt::format("chmod {}", path)));
    for (size_t at = 1; at <= path.size(); ++at) {
        if (at != path.size() && path[at] != '/') continue;
        std::string part = path.substr(0, at);
        if (::mkdir(part.c_str(), mode) == 0) {
            if (::chmod(part.c_str(), mode) != 0) return Error::from_errno(fmt::format("chmod {}", part));
        } else if (errno != EEXIST) {
            return Error::from_errno(fmt::format("mkdir {}", part));
        }
    }
    struct stat st {};
    if (::stat(path.c_str(), &st) != 0) return Error::from_errno(fmt::format("stat {}", path));
    if (!S_ISDIR(st.st_mode))
        return make_error(Code::InvalidArgument, "{} exists and is not a directory", path);
    return {};
}

Status remove_tree(const std::string& path) {
    struct stat st {};
    if (::lstat(path.c_str(), &st) != 0)
        return errno == ENOENT ? Status() : Status(Error::from_errno(fmt::format("stat {}", path)));
    if (S_ISDIR(st.st_mode)) {
        UniqueFd dir(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!dir) return Error::from_errno(fmt::format("open {}", path));
        DROVER_CHECK(remove_contents(dir.get(), st.st_dev, path));
        if (::rmdir(path.c_str()) != 0 && errno != ENOENT)
            return Error::from_errno(fmt::format("rmdir {}", path));
        return {};
    }
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
        return Error::from_errno(fmt::format("unlink {}", path));
    return {};
}

Result<std::vector<std::string>> list_dir(const std::string& path) {
    DIR* dir = ::opendir(path.c_str());
    if (!dir) return Error::from_errno(fmt::format("open directory {}", path));
    std::vector<std::string> names;
    while (dirent* entry = ::readdir(dir)) {
        std::string_view name = entry->d_name;
        if (name != "." && name != "..") names.emplace_back(name);
    }
    ::closedir(dir);
    std::sort(names.begin(), names.end());
    return names;
}

bool path_exists(const std::string& path) {
    struct stat st {};
    return ::lstat(path.c_str(), &st) == 0;
}

Status set_nonblocking(int fd) {
    int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return Error::from_errno("fcntl O_NONBLOCK");
    return {};
}

std::string join_path(std::string_view a, std::string_view b) {
    while (!a.empty() && a.back() == '/') a.remove_suffix(1);
    while (!b.empty() && b.front() == '/') b.remove_prefix(1);
    return fmt::format("{}/{}", a, b);
}

}  // namespace drover
