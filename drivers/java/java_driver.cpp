// SPDX-License-Identifier: Apache-2.0
#include "drivers/java/java_driver.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "base/clock.h"
#include "base/files.h"
#include "base/strings.h"
#include "drivers/common/subprocess.h"

namespace drover::drivers {
namespace {

constexpr int64_t kVersionNs = 60 * kSecond;  // a JVM on a machine that just booted

// Along the plugin's own PATH: which Java tasks get is the operator's choice, and the one that is
// fingerprinted.
Result<std::string> find_java() {
    const char* path = std::getenv("PATH");
    const std::string search = path && *path ? path : kDefaultPath;
    for (const std::string& dir : split(search, ':'))
        if (std::string file = join_path(dir, "java");
            !dir.empty() && dir[0] == '/' && ::access(file.c_str(), X_OK) == 0)
            return file;
    return make_error(Code::NotFound, "java is not installed (looked in {})", search);
}

}  // namespace

sdk::Fingerprint JavaDriver::fingerprint() {
    sdk::Fingerprint out = oci::ContainerDriver::fingerprint();
    if (out.health != sdk::Health::Healthy) return out;
    auto undetected = [](std::string why) {
        return sdk::Fingerprint{
            .attributes = {}, .health = sdk::Health::Undetected, .description = std::move(why), .error = ""};
    };
    auto path = find_java();
    if (!path) return undetected(path.error().message());
    struct stat info {};
    if (::stat(path->c_str(), &info) != 0) return undetected(*path + ": " + std::strerror(errno));
    const std::string identity = fmt::format("{} {} {}", *path, info.st_ino, info.st_mtime);
    std::lock_guard lock(mutex_);
    if (version_of_ != identity) {
        auto answer = run_command({*path, "-version"}, kVersionNs);
        auto version = answer ? parse_java_version(answer->output) : std::nullopt;
        if (!version)
            return undetected(
                fmt::format("{} -version: {}", *path,
                            answer ? std::string(trim(answer->output)) : answer.error().message()));
        version_ = *version;
        version_of_ = identity;
    }
    out.attributes["driver.java.version"] = {version_.version, ""};
    out.attributes["driver.java.runtime"] = {version_.runtime, ""};
    out.attributes["driver.java.vm"] = {version_.vm, ""};
    return out;
}

Result<std::vector<std::string>> JavaDriver::command_line(const sdk::TaskConfig& task,
                                                          const std::vector<ViewEntry>& view,
                                                          oci::Bundle& bundle) {
    DROVER_TRY(JavaTaskConfig config, java_task_schema().decode(task.msgpack_driver_config));
    DROVER_TRY(std::string java, find_java());
    DROVER_TRY(java, oci::find_in_container(java, task, view, bundle));
    DROVER_TRY(auto arguments, java_arguments(task, config, bundle.work_dir, view));
    arguments.insert(arguments.begin(), java);
    return arguments;
}

}  // namespace drover::drivers
