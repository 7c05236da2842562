// SPDX-License-Identifier: Apache-2.0
// What the functions of a job file may reach when a person runs the CLI: files and randomness of this
// machine.
#include <dirent.h>
#include <pwd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/strings.h"
#include "hcl/functions.h"
#include "jobspec/job.h"

extern char** environ;

namespace drover::jobspec {

namespace {

constexpr uint64_t kFileBytesMax = 16u << 20;

class LocalEnvironment final : public hcl::FunctionEnvironment {
 public:
    explicit LocalEnvironment(std::string base_dir) : base_dir_(std::move(base_dir)) {}

    bool files_allowed() const override { return true; }
    std::string base_dir() const override { return base_dir_; }

    std::string home_dir() const override {
        if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') return home;
        passwd entry{};
        passwd* found = nullptr;
        std::array<char, 4096> buffer{};
        getpwuid_r(getuid(), &entry, buffer.data(), buffer.size(), &found);
        return found != nullptr ? found->pw_dir : "/";
    }

    Result<std::string> read_file(const std::string& path) const override {
        return drover::read_file(path, kFileBytesMax);
    }

    bool file_exists(const std::string& path) const override {
        struct stat info {};
        return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
    }

    Result<std::vector<std::string>> files_below(const std::string& dir, size_t entries_max) const override {
        std::vector<std::string> found;
        DROVER_CHECK(collect(dir, "", entries_max, found));
        return found;
    }

    std::string random_bytes(size_t count) const override {
        std::string bytes(count, '\0');
        for (size_t filled = 0; filled < count;) {
            auto got = ::getrandom(bytes.data() + filled, count - filled, 0);
            if (got > 0) filled += static_cast<size_t>(got);
        }
        return bytes;
    }

 private:
    // Symbolic links to directories are not followed: they may lead in circles.
    static Status collect(const std::string& dir, const std::string& prefix, size_t entries_max,
                          std::vector<std::string>& found) {
        DROVER_TRY(auto names, list_dir(dir));
        for (const auto& name : names) {
            std::string path = join_path(dir, name);
            struct stat info {};
            if (::lstat(path.c_str(), &info) != 0) continue;  // gone since it was listed
            if (S_ISDIR(info.st_mode)) {
                DROVER_CHECK(collect(path, prefix + name + "/", entries_max, found));
                continue;
            }
            if (S_ISLNK(info.st_mode) && (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)))
                continue;
            if (found.size() >= entries_max)
                return make_error(Code::ResourceExhausted, "{} holds more than {} files", dir, entries_max);
            if (S_ISREG(info.st_mode)) found.push_back(prefix + name);
        }
        return {};
    }

    std::string base_dir_;
};

}  // namespace

std::shared_ptr<const hcl::FunctionEnvironment> local_environment(std::string base_dir) {
    return std::make_shared<LocalEnvironment>(std::move(base_dir));
}

std::map<std::string, std::string> variables_of_environment() {
    constexpr std::string_view kPrefix = "NOMAD_VAR_";
    std::map<std::string, std::string> out;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; entry++) {
        std::string_view text(*entry);
        auto equals = text.find('=');
        if (equals == std::string_view::npos || !text.starts_with(kPrefix)) continue;
        out.emplace(text.substr(kPrefix.size(), equals - kPrefix.size()), text.substr(equals + 1));
    }
    return out;
}

}  // namespace drover::jobspec
