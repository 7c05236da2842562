// SPDX-License-Identifier: Apache-2.0
// Which files of this machine a guest may be given. A disk image names other files (its backing image), and
// qemu, which runs as root, would open them: so where an image lies and what it refers to are checked before
// qemu sees it, and qemu is told the formats instead of guessing them from bytes that the guest can write.
#pragma once
#include <string>
#include <vector>

#include "base/result.h"

namespace drover::drivers {

struct GuestFile {
    std::string path;  // without symlinks
    std::vector<std::string>
        formats;  // of images: "raw" or "qcow2", its own and those of the images behind it
};

// `path` (relative to task_dir) as a regular file inside one of `allowed` (directories), all symlinks
// followed. `field` is the job's, for the errors: NotFound, PermissionDenied naming the path and what it
// leads to.
Result<GuestFile> find_guest_file(const std::string& field, const std::string& path,
                                  const std::string& task_dir, const std::vector<std::string>& allowed);

// The same for a disk image, with its format and every image behind it. InvalidArgument: a format we do not
// run.
Result<GuestFile> find_image(const std::string& field, const std::string& path, const std::string& task_dir,
                             const std::vector<std::string>& allowed);

}  // namespace drover::drivers
