// SPDX-License-Identifier: Apache-2.0
// The file system that allocation directories are on: its device and size.
#include <sys/statvfs.h>

#include "base/files.h"
#include "base/strings.h"
#include "fingerprint/detector.h"

namespace drover::fingerprint {
namespace {

// The nearest directory that exists: alloc_dir may not have been made yet.
std::string existing_parent(std::string path) {
    while (!path.empty() && !path_exists(path))
        path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    return path.empty() ? "/" : path;
}

// Source of the mount that holds `path`: the longest mount point that is a prefix, the last one of equals.
std::string volume_of(const Input& input, const std::string& path) {
    std::string best_point, best_source;
    for (const auto& line : split(read_line(input, "/proc/self/mounts"), '\n')) {
        const auto fields = split(line, ' ');
        if (fields.size() < 3) continue;
        const std::string point = replace_all(fields[1], "\\040", " ");
        const bool holds = point == "/" || path == point || starts_with(path, point + "/");
        if (holds && point.size() >= best_point.size()) best_point = point, best_source = fields[0];
    }
    return best_source;
}

}  // namespace

Status detect_storage(const Input& input, model::Node& node) {
    const auto& client = input.config.client();
    const std::pair<const char*, int64_t> amounts[] = {{"disk_total_mb", client.disk_total_mb()},
                                                       {"disk_free_mb", client.disk_free_mb()}};
    for (const auto& [key, amount] : amounts) {
        if (amount < 0)
            return make_error(Code::InvalidArgument, "client: {} is {}, expected 0 or more", key, amount);
    }
    const std::string dir = existing_parent(client.alloc_dir().empty() ? input.data_dir : client.alloc_dir());
    struct statvfs info {};
    if (::statvfs(dir.c_str(), &info) != 0) return Error::from_errno(fmt::format("statvfs {}", dir));
    uint64_t total = static_cast<uint64_t>(info.f_blocks) * info.f_frsize;
    if (client.disk_total_mb() > 0) total = static_cast<uint64_t>(client.disk_total_mb()) << 20;
    int64_t usable_mb = static_cast<int64_t>(total >> 20);
    if (client.disk_free_mb() > 0) usable_mb = client.disk_free_mb();
    const std::string volume = volume_of(input, dir);
    if (!volume.empty()) set_attribute(node, "unique.storage.volume", volume);
    set_attribute(node, "unique.storage.bytestotal", std::to_string(total));
    node.mutable_node_resources()->mutable_disk()->set_disk_mb(usable_mb);
    return {};
}

}  // namespace drover::fingerprint
