// SPDX-License-Identifier: Apache-2.0
#include "drivers/common/command_path.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/fd.h"
#include "base/files.h"
#include "base/strings.h"

namespace drover::drivers {
namespace {

constexpr int kSymlinksMax = 40;  // as the kernel

#if defined(__x86_64__)
constexpr uint16_t kMachine = EM_X86_64, kMachine32 = EM_386;
#elif defined(__aarch64__)
constexpr uint16_t kMachine = EM_AARCH64, kMachine32 = EM_ARM;
#else
#error "the ELF machine number of this architecture"
#endif

std::string mapped(const std::string& task_path, const std::vector<ViewEntry>& view) {
    for (const ViewEntry& entry : view) {
        if (entry.task_path == "/") return join_path(entry.host_path, task_path);
        if (task_path == entry.task_path) return entry.host_path;
        if (starts_with(task_path, entry.task_path + "/"))
            return entry.host_path + task_path.substr(entry.task_path.size());
    }
    return "";
}

std::string machine_name(uint16_t machine) {
    switch (machine) {
        case EM_X86_64: return "x86_64";
        case EM_386: return "i386";
        case EM_AARCH64: return "aarch64";
        case EM_ARM: return "arm";
        case EM_RISCV: return "riscv";
        case EM_PPC64: return "ppc64";
        case EM_S390: return "s390";
        default: return fmt::format("ELF machine {}", machine);
    }
}

// Somebody (qemu-user, a JVM) may have told the kernel how to run what it cannot run by itself.
bool has_binfmt_handlers() {
    auto names = list_dir("/proc/sys/fs/binfmt_misc");
    return names && std::any_of(names->begin(), names->end(),
                                [](const std::string& n) { return n != "register" && n != "status"; });
}

// What exec would only call "exec format error".
Status check_format(const std::string& task_path, const std::string& path) {
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    unsigned char head[20] = {};
    if (!fd || ::pread(fd.get(), head, sizeof head, 0) < 0) return {};  // unreadable files may be run all the same
    if (head[0] == '#' && head[1] == '!') return {};
    if (std::equal(head, head + SELFMAG, reinterpret_cast<const unsigned char*>(ELFMAG))) {
        const uint16_t machine = static_cast<uint16_t>(head[EI_DATA] == ELFDATA2MSB ? head[18] << 8 | head[19]
                                                                                   : head[19] << 8 | head[18]);
        if (machine == kMachine || machine == kMachine32 || has_binfmt_handlers()) return {};
        return make_error(Code::InvalidArgument, "command \"{}\": is a program for {}, this machine is {}", task_path,
                          machine_name(machine), machine_name(kMachine));
    }
    if (has_binfmt_handlers()) return {};
    return make_error(Code::InvalidArgument, "command \"{}\": is neither a program nor a script that begins with #!",
                      task_path);
}

Status check(const std::string& task_path, const std::vector<ViewEntry>& view) {
    std::string path = host_path(task_path, view);
    if (path.empty())
        return make_error(Code::NotFound, "command \"{}\": no such file in the task's file system", task_path);
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) {
        Error error = Error::from_errno("stat");
        return make_error(error.code(), "command \"{}\": {}", task_path, std::strerror(error.system_errno()));
    }
    if (S_ISDIR(info.st_mode)) return make_error(Code::InvalidArgument, "command \"{}\": is a directory", task_path);
    if (!S_ISREG(info.st_mode))
        return make_error(Code::InvalidArgument, "command \"{}\": is not a regular file", task_path);
    if ((info.st_mode & 0111) == 0)
        return make_error(Code::PermissionDenied, "command \"{}\": is not executable (mode {:04o})", task_path,
                          info.st_mode & 07777);
    return check_format(task_path, path);
}

// A relative path must stay below where it starts, whatever its ".." do.
bool climbs_out(const std::string& relative) {
    int depth = 0;
    for (const std::string& part : split(relative, '/')) {
        if (part.empty() || part == ".") continue;
        depth += part == ".." ? -1 : 1;
        if (depth < 0) return true;
    }
    return false;
}

}  // namespace

std::string host_path(const std::string& task_path, const std::vector<ViewEntry>& view) {
    std::vector<std::string> left = split(task_path, '/');  // components still to walk, the next one last
    std::reverse(left.begin(), left.end());
    std::string at;  // what was walked, as the task sees it, without a symlink; empty: "/"
    for (int links = 0; !left.empty();) {
        const std::string part = std::move(left.back());
        left.pop_back();
        if (part.empty() || part == ".") continue;
        if (part == "..") {
            at = at.substr(0, at.empty() ? 0 : at.rfind('/'));
            continue;
        }
        const std::string next = at + "/" + part, here = mapped(next, view);
        struct stat info {};
        if (here.empty() || ::lstat(here.c_str(), &info) != 0 || !S_ISLNK(info.st_mode)) {
            at = next;  // a directory that only leads to mounts, or nothing: the caller's stat tells
            continue;
        }
        std::string target(4096, '\0');
        ssize_t size = ::readlink(here.c_str(), target.data(), target.size());
        if (size <= 0 || ++links > kSymlinksMax) return "";
        target.resize(static_cast<size_t>(size));
        if (target[0] == '/') at.clear();
        std::vector<std::string> parts = split(target, '/');
        left.insert(left.end(), parts.rbegin(), parts.rend());
    }
    return mapped(at.empty() ? "/" : at, view);
}

Result<std::string> find_command(const std::string& command, const std::string& local_dir, const std::string& work_dir,
                                 const std::string& search_path, const std::vector<ViewEntry>& view) {
    if (command.empty()) return make_error(Code::InvalidArgument, "command: must not be empty");
    if (command[0] == '/') {
        DROVER_CHECK(check(command, view));
        return command;
    }
    if (climbs_out(command))
        return make_error(Code::InvalidArgument, "command \"{}\": leads out of the task's directory", command);
    std::vector<std::string> tried = {local_dir, work_dir};
    if (command.find('/') == std::string::npos)
        for (const std::string& dir : split(search_path, ':'))
            if (!dir.empty() && dir[0] == '/') tried.push_back(dir);
    Status first_real;  // a file that is there but cannot be run says more than "not found"
    for (const std::string& dir : tried) {
        std::string path = join_path(dir, command);
        Status found = check(path, view);
        if (found) return path;
        if (found.error().code() != Code::NotFound && first_real) first_real = std::move(found);
    }
    if (!first_real) return first_real.error();
    return make_error(Code::NotFound, "command \"{}\": not found (looked in {})", command, join(tried, ", "));
}

}  // namespace drover::drivers
