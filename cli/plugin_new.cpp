// SPDX-License-Identifier: Apache-2.0
// plugin new: writes a project for a driver or device plugin that builds against the installed SDK as it is.
#include <sys/stat.h>

#include "base/files.h"
#include "base/strings.h"
#include "cli/plugin_templates.h"
#include "cli/support.h"
#include "cli/verbs.h"

namespace drover::cli {
namespace {

constexpr size_t kNameMax = 48;

// Drivers are named in job files and attributes, and the name becomes one of files.
bool usable_name(std::string_view name) {
    if (name.empty() || name.size() > kNameMax || name[0] < 'a' || name[0] > 'z') return false;
    return name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == std::string_view::npos;
}

struct File {
    const char* name;
    const char* text;
};

}  // namespace

int plugin_new(Invocation& in) {
    const std::string& kind = in.args[0];
    const std::string& name = in.args[1];
    if (kind != "driver" && kind != "device")
        return usage_error(in, fmt::format("Expected driver or device, found {}", quoted(kind)));
    if (!usable_name(name))
        return fail(in,
                    "Unusable name {}: expected up to {} lower-case letters, digits, dashes and underscores, "
                    "beginning with a letter",
                    quoted(name), kNameMax);
    const bool driver = kind == "driver";
    const std::string dir = fmt::format("drover-{}-{}", kind, name);
    if (::mkdir(dir.c_str(), 0755) != 0) {
        if (errno == EEXIST) return fail(in, "'{}' already exists", dir);
        return fail(in, "Error making the project: {}", Error::from_errno(dir).message());
    }
    const File files[] = {{"CMakeLists.txt", kPluginCmake},
                          {"main.cpp", driver ? kDriverMain : kDeviceMain},
                          {"check.hcl", driver ? kDriverCheck : kDeviceCheck},
                          {"example.nomad.hcl", driver ? kDriverJob : kDeviceJob}};
    for (const File& file : files) {
        const std::string text = replace_all(replace_all(file.text + 1, "@NAME@", name), "@KIND@", kind);
        if (Status written = write_file(join_path(dir, file.name), text, 0644); !written) {
            (void)remove_tree(dir);  // ours alone: it was made above
            return fail(in, "Error writing the project: {}", written.error().message());
        }
    }
    in.io.line(fmt::format("Project of the {} plugin '{}' written to {}: CMakeLists.txt says how to build it",
                           kind, name, dir));
    return kExitOk;
}

}  // namespace drover::cli
