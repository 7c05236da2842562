// SPDX-License-Identifier: Apache-2.0
#include "drivers/java/java_command.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/fd.h"
#include "base/files.h"
#include "base/strings.h"

namespace drover::drivers {
namespace {

bool any_starts_with(const std::vector<std::string>& options,
                     std::initializer_list<std::string_view> prefixes) {
    return std::any_of(options.begin(), options.end(), [&](const std::string& option) {
        return std::any_of(prefixes.begin(), prefixes.end(),
                           [&](std::string_view prefix) { return starts_with(option, prefix); });
    });
}

// Whether the user has chosen a heap, in one of the places that a JVM reads options from. (A file of options,
// "@...", is believed to.)
bool chooses_heap(const sdk::TaskConfig& task, const std::vector<std::string>& options) {
    std::vector<std::string> all = options;
    for (const char* name : {"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"})
        if (auto found = task.env.find(name); found != task.env.end())
            for (const std::string& option : split(found->second, ' ')) all.push_back(option);
    return any_starts_with(
        all, {"-Xmx", "-XX:MaxHeapSize=", "-XX:MaxRAM", "-XX:Flags=", "-XX:VMOptionsFile=", "@"});
}

std::string absolute(const std::string& path, const std::string& work_dir) {
    return path[0] == '/' ? path : join_path(work_dir, path);
}

// Not following the last link: it may be meant for the task's view.
bool there(const std::string& task_path, const std::vector<ViewEntry>& view) {
    const std::string path = host_path(task_path, view);
    struct stat info {};
    return !path.empty() && ::lstat(path.c_str(), &info) == 0;
}

Status check_jar(const std::string& jar, const std::string& work_dir, const std::vector<ViewEntry>& view) {
    const std::string path = absolute(jar, work_dir);
    if (!there(path, view)) return make_error(Code::NotFound, "jar_path: \"{}\" does not exist", path);
    UniqueFd fd(::open(host_path(path, view).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    char magic[4] = {};
    if (!fd) return {};  // a link, which the task's view resolves
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode))
        return make_error(Code::InvalidArgument, "jar_path: \"{}\" is not a regular file", path);
    if (::read(fd.get(), magic, sizeof magic) != sizeof magic || std::string_view(magic, 2) != "PK")
        return make_error(Code::InvalidArgument, "jar_path: \"{}\" is no jar file (no zip archive)", path);
    return {};
}

// Where all of the class path are directories, a missing class is seen at once; archives are the JVM's to
// read, and without a class path it may be one of the JVM's own.
Status check_class(const JavaTaskConfig& config, const std::string& work_dir,
                   const std::vector<ViewEntry>& view) {
    if (config.class_path.empty() || config.class_name.find('/') != std::string::npos ||
        any_starts_with(config.jvm_options,
                        {"-cp", "-classpath", "--class-path", "-p", "--module", "-m", "@"}))
        return {};
    const std::string file = replace_all(config.class_name, ".", "/") + ".class";
    std::vector<std::string> tried;
    for (const std::string& entry : split(config.class_path, ':')) {
        if (ends_with(entry, ".jar") || ends_with(entry, ".zip") || ends_with(entry, "*")) return {};
        const std::string dir = entry.empty() || entry == "." ? work_dir : absolute(entry, work_dir);
        if (there(join_path(dir, file), view)) return {};
        tried.push_back(dir);
    }
    return make_error(Code::NotFound, "class: \"{}\": no {} in {}", config.class_name, file,
                      join(tried, ", "));
}

}  // namespace

int64_t java_heap_mb(int64_t memory_mb) {
    return std::clamp(memory_mb - 256, memory_mb / 2, memory_mb * 3 / 4);
}

Result<std::vector<std::string>> java_arguments(const sdk::TaskConfig& task, const JavaTaskConfig& config,
                                                const std::string& work_dir,
                                                const std::vector<ViewEntry>& view) {
    std::vector<std::string> out;
    const int64_t memory_mb = std::max(task.resources.memory_mb, task.resources.memory_max_mb);
    if (memory_mb > 0 && !chooses_heap(task, config.jvm_options))
        out.push_back(fmt::format("-Xmx{}m", java_heap_mb(memory_mb)));
    out.insert(out.end(), config.jvm_options.begin(), config.jvm_options.end());
    if (!config.class_path.empty()) out.insert(out.end(), {"-cp", config.class_path});
    if (!config.jar_path.empty()) {
        if (!config.class_name.empty())
            return make_error(Code::InvalidArgument, "jar_path, class: expected one of the two, found both");
        DROVER_CHECK(check_jar(config.jar_path, work_dir, view));
        out.insert(out.end(), {"-jar", config.jar_path});
    } else if (!config.class_name.empty()) {
        if (config.class_name[0] == '-')
            return make_error(Code::InvalidArgument, "class: expected a name, found \"{}\"",
                              config.class_name);
        DROVER_CHECK(check_class(config, work_dir, view));
        out.push_back(config.class_name);
    } else {
        return make_error(Code::InvalidArgument, "jar_path, class: expected one of the two, found none");
    }
    out.insert(out.end(), config.args.begin(), config.args.end());
    return out;
}

std::optional<JavaVersion> parse_java_version(const std::string& output) {
    const std::vector<std::string> lines = split(output, '\n');
    for (size_t i = 0; i + 2 < lines.size(); ++i) {
        size_t at = lines[i].find(" version \"");
        if (at == std::string::npos) continue;
        at += 10;
        size_t end = lines[i].find('"', at);
        if (end == std::string::npos) continue;
        return JavaVersion{lines[i].substr(at, end - at), std::string(trim(lines[i + 1])),
                           std::string(trim(lines[i + 2]))};
    }
    return std::nullopt;
}

}  // namespace drover::drivers
