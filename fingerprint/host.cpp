// SPDX-License-Identifier: Apache-2.0
// Operating system, kernel release, host name, and an id of the machine that survives reinstalling drover.
#include <sys/utsname.h>
#include <unistd.h>

#include "base/strings.h"
#include "base/uuid.h"
#include "fingerprint/detector.h"

namespace drover::fingerprint {
namespace {

std::string os_release(const std::string& text, std::string_view key) {
    for (const auto& line : split(text, '\n')) {
        const auto equals = line.find('=');
        if (equals == std::string::npos || trim(std::string_view(line).substr(0, equals)) != key) continue;
        std::string_view value = trim(std::string_view(line).substr(equals + 1));
        if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') &&
            value.back() == value.front()) {
            value = value.substr(1, value.size() - 2);
        }
        return std::string(value);
    }
    return "";
}

// The firmware's id where it has one, else the installation's, in the form of a UUID.
std::string host_id(const Input& input) {
    const std::string product = to_lower(read_line(input, "/sys/class/dmi/id/product_uuid"));
    if (is_uuid(product)) return product;
    const std::string machine = to_lower(read_line(input, "/etc/machine-id"));
    if (machine.size() == 32) {
        const std::string id = fmt::format("{}-{}-{}-{}-{}", machine.substr(0, 8), machine.substr(8, 4),
                                           machine.substr(12, 4), machine.substr(16, 4), machine.substr(20));
        if (is_uuid(id)) return id;
    }
    return to_lower(read_line(input, "/proc/sys/kernel/random/boot_id"));
}

}  // namespace

Status detect_host(const Input& input, model::Node& node) {
    utsname system{};
    if (::uname(&system) != 0) return Error::from_errno("uname");
    set_attribute(node, "kernel.name", to_lower(system.sysname));
    set_attribute(node, "kernel.version", system.release);
    set_attribute(node, "kernel.arch", system.machine);
    const std::string release = read_line(input, "/etc/os-release");
    const std::string name = os_release(release, "ID");
    std::string version = os_release(release, "VERSION_ID");
    if (name == "debian") {  // os-release has the major version only
        const std::string full = read_line(input, "/etc/debian_version");
        if (!full.empty()) version = full;
    }
    set_attribute(node, "os.name", name.empty() ? "linux" : name);
    set_attribute(node, "os.version", version);
    if (const std::string build = os_release(release, "BUILD_ID"); !build.empty())
        set_attribute(node, "os.build", build);
    set_attribute(node, "unique.hostname", system.nodename);
    if (const std::string id = host_id(input); !id.empty()) set_attribute(node, "unique.host_id", id);
    return {};
}

}  // namespace drover::fingerprint
