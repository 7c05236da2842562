// SPDX-License-Identifier: Apache-2.0
#include "drivers/qemu/qemu_image.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <climits>
#include <cstdlib>

#include "base/fd.h"
#include "base/files.h"
#include "base/strings.h"

namespace drover::drivers {
namespace {

constexpr int kBackingDepthMax = 16;
constexpr uint64_t kBackingNameMax = 1023;  // qcow2's own limit

Result<std::string> real_path(const std::string& path) {
    char* resolved = ::realpath(path.c_str(), nullptr);
    if (!resolved) return Error::from_errno(path);
    std::string out = resolved;
    ::free(resolved);
    return out;
}

bool inside(const std::string& path, const std::vector<std::string>& allowed) {
    for (const std::string& dir : allowed) {
        auto real = real_path(dir);
        if (real && starts_with(path, *real == "/" ? "/" : *real + "/")) return true;
    }
    return false;
}

uint64_t big_endian(const std::string& bytes, size_t at, size_t size) {
    uint64_t out = 0;
    for (size_t i = 0; i < size; ++i) out = out << 8 | static_cast<uint8_t>(bytes[at + i]);
    return out;
}

Result<std::string> read_at(int fd, uint64_t offset, size_t size) {
    std::string bytes(size, '\0');
    ssize_t n = ::pread(fd, bytes.data(), size, static_cast<off_t>(offset));
    if (n < 0) return Error::from_errno("read");
    bytes.resize(static_cast<size_t>(n));
    return bytes;
}

// Formats that qemu knows and that may name other files, or that would not boot as raw: refused by name.
const char* foreign_format(const std::string& head) {
    auto at = [&](size_t offset, std::string_view magic) {
        return head.size() >= offset + magic.size() && head.compare(offset, magic.size(), magic) == 0;
    };
    if (at(0, "KDMV") || at(0, "COWD") || at(0, "# Disk DescriptorFile")) return "vmdk";
    if (at(0, "vhdxfile")) return "vhdx";
    if (at(0, "conectix")) return "vpc";
    if (at(0, std::string_view("QED\0", 4))) return "qed";
    if (at(64, "\x7f\x10\xda\xbe")) return "vdi";
    if (at(0, "WithoutFreeSpace") || at(0, "WithouFreSpacExt")) return "parallels";
    return nullptr;
}

struct Header {
    std::string format;
    std::string backing;
};

Result<Header> read_header(const std::string& field, const std::string& path) {
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!fd) return Error::from_errno(fmt::format("{}: \"{}\"", field, path));
    DROVER_TRY(std::string head, read_at(fd.get(), 0, 512));
    if (const char* other = foreign_format(head))
        return make_error(Code::InvalidArgument,
                          "{}: \"{}\" is a {} image; expected raw or qcow2 (qemu-img convert makes one)",
                          field, path, other);
    if (head.size() < 104 || head.compare(0, 4, "QFI\xfb") != 0) return Header{"raw", ""};
    const uint64_t version = big_endian(head, 4, 4);
    if (version != 2 && version != 3)
        return make_error(Code::InvalidArgument, "{}: \"{}\" is a qcow image of version {}; expected 2 or 3",
                          field, path, version);
    constexpr uint64_t kExternalDataFile = 1 << 2;
    if (version == 3 && (big_endian(head, 72, 8) & kExternalDataFile) != 0)
        return make_error(Code::PermissionDenied,
                          "{}: \"{}\" keeps its data in another file, which is not allowed", field, path);
    const uint64_t offset = big_endian(head, 8, 8), size = big_endian(head, 16, 4);
    if (offset == 0) return Header{"qcow2", ""};
    if (size > kBackingNameMax)
        return make_error(Code::InvalidArgument, "{}: \"{}\": a backing file's name of {} bytes", field, path,
                          size);
    DROVER_TRY(std::string backing, read_at(fd.get(), offset, size));
    return Header{"qcow2", backing};
}

}  // namespace

Result<GuestFile> find_guest_file(const std::string& field, const std::string& path,
                                  const std::string& task_dir, const std::vector<std::string>& allowed) {
    const std::string full = path[0] == '/' ? path : join_path(task_dir, path);
    auto real = real_path(full);
    if (!real && real.error().code() == Code::NotFound)
        return make_error(Code::NotFound, "{}: \"{}\" does not exist", field, full);
    if (!real) return std::move(real).error().context(field);
    if (!inside(*real, allowed)) {
        return make_error(
            Code::PermissionDenied,
            "{}: \"{}\"{} is outside of what is allowed: the allocation's directory and the plugin's "
            "image_paths",
            field, full, *real == full ? "" : fmt::format(" (which is \"{}\")", *real));
    }
    struct stat info {};
    if (::stat(real->c_str(), &info) != 0) return Error::from_errno(fmt::format("{}: \"{}\"", field, full));
    if (!S_ISREG(info.st_mode))
        return make_error(Code::InvalidArgument, "{}: \"{}\" is not a regular file", field, full);
    return GuestFile{*real, {}};
}

Result<GuestFile> find_image(const std::string& field, const std::string& path, const std::string& task_dir,
                             const std::vector<std::string>& allowed) {
    DROVER_TRY(GuestFile image, find_guest_file(field, path, task_dir, allowed));
    DROVER_TRY(Header header, read_header(field, image.path));
    image.formats.push_back(header.format);
    std::string below = image.path;
    for (int depth = 0; !header.backing.empty(); ++depth) {
        const std::string name = fmt::format("{}: the image behind \"{}\"", field, below);
        if (depth == kBackingDepthMax)
            return make_error(Code::InvalidArgument, "{}: more than {} images behind one another", name,
                              kBackingDepthMax);
        // "nbd:...", "json:{...}", "ssh://...": qemu's own protocols reach anything.
        if (header.backing.substr(0, header.backing.find('/')).find(':') != std::string::npos)
            return make_error(Code::PermissionDenied, "{}: \"{}\" is no plain path", name, header.backing);
        DROVER_TRY(GuestFile next,
                   find_guest_file(name, header.backing, below.substr(0, below.rfind('/')), allowed));
        below = next.path;
        DROVER_TRY(header, read_header(name, below));
        image.formats.push_back(header.format);
    }
    return image;
}

}  // namespace drover::drivers
