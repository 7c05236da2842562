// SPDX-License-Identifier: Apache-2.0
// Moves bytes by splice(2), pipe to file inside the kernel: a kill can come between two calls, never between
// reading and writing. Nothing here keeps a byte of a task in memory, but for copies that are looked at for
// newlines.
#include "logd/stream.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

namespace drover::logd {
namespace {

constexpr uint64_t kIndexMax = 999'999'999;  // a file called NAME.4294967296000 is not ours

// "NAME.12" -> 12; false for anything else, leading zeros too.
bool parse_index(const char* file, const std::string& name, uint64_t* index) {
    if (std::strncmp(file, name.c_str(), name.size()) != 0 || file[name.size()] != '.') return false;
    const char* digits = file + name.size() + 1;
    if (*digits < '0' || *digits > '9' || (digits[0] == '0' && digits[1] != 0)) return false;
    char* end = nullptr;
    *index = std::strtoull(digits, &end, 10);
    return *end == 0 && *index <= kIndexMax;
}

template <class F>
void each_file(int dir_fd, const std::string& name, F&& visit) {
    int fd = ::openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* dir = fd >= 0 ? ::fdopendir(fd) : nullptr;
    while (dirent* entry = dir ? ::readdir(dir) : nullptr) {
        uint64_t index;
        if (parse_index(entry->d_name, name, &index)) visit(index);
    }
    if (dir) ::closedir(dir);
}

}  // namespace

bool Scratch::open() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return false;
    pipe_read = ends[0];
    pipe_write = ends[1];
    ::fcntl(pipe_write, F_SETPIPE_SZ, kPipeBytes);
    void* memory = ::mmap(nullptr, kScratchBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return false;
    bytes = static_cast<char*>(memory);
    return true;
}

void Scratch::forget() {
    ::madvise(bytes, kScratchBytes, MADV_DONTNEED);
}

Stream::Stream(uint64_t key, const StreamView& view)
    : key_(key), fifo_path_(view.fifo), dir_path_(view.dir), name_(view.name) {
    set_limits(view);
}

Stream::~Stream() {
    for (int fd : {fifo_, dir_, file_})
        if (fd >= 0) ::close(fd);
}

void Stream::set_limits(const StreamView& view) {
    files_max_ = view.header.files_max;
    file_bytes_max_ = view.header.file_bytes_max;
}

bool Stream::same_as(const StreamView& view) const {
    struct stat st {};
    return fifo_path_ == view.fifo && dir_path_ == view.dir && name_ == view.name &&
           ::fstat(fifo_, &st) == 0 && st.st_ino == view.header.fifo_ino && st.st_dev == view.header.fifo_dev;
}

size_t Stream::waiting() const {
    int bytes = 0;
    return ::ioctl(fifo_, FIONREAD, &bytes) == 0 && bytes > 0 ? static_cast<size_t>(bytes) : 0;
}

int Stream::open(const StreamView& view, pid_t other) {
    fifo_ = open_fifo(view, other);
    return fifo_ < 0 ? errno : 0;
}

std::string Stream::file_name(uint64_t index) const {
    sys::Text<32> digits;
    digits.add(static_cast<int64_t>(index));
    return name_ + "." + digits.c_str();
}

// Tasks may write into the directory: a link, a FIFO, a hard link to another's file must not become our log
// file.
bool Stream::open_index(uint64_t index, bool exclusive) {
    const std::string name = file_name(index);
    int fd =
        ::openat(dir_, name.c_str(),
                 O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (exclusive ? O_EXCL : 0), 0644);
    if (fd < 0) return false;
    struct stat st {};
    if (::fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1) {
        ::close(fd);
        errno = ELOOP;
        return false;
    }
    if (exclusive) ::fchmod(fd, 0644);  // whatever the umask: people and tools read logs
    if (file_ >= 0) ::close(file_);
    file_ = fd;
    index_ = index;
    return true;
}

bool Stream::open_active() {
    if (dir_ < 0) dir_ = ::open(dir_path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir_ < 0) return false;
    uint64_t highest = 0;
    bool any = false;
    each_file(dir_, name_, [&](uint64_t index) {
        if (!any || index > highest) highest = index;
        any = true;
    });
    bool opened = any ? open_index(highest, false) : open_index(0, true);
    // Something else lies there: leave it alone and go past it.
    for (uint64_t index = highest + 1;
         !opened && (errno == ELOOP || errno == EEXIST || errno == EISDIR || errno == ENXIO) &&
         index <= highest + 100;
         ++index)
        opened = open_index(index, true);
    if (!opened) {
        // The whole directory may have been removed and made again: the next try looks it up anew.
        int saved = errno;
        ::close(dir_);
        dir_ = -1;
        errno = saved;
        return false;
    }
    point_link();
    unlink_oldest();
    return true;
}

void Stream::point_link() {
    const std::string target = file_name(index_), temp = "." + name_ + ".link";
    char now[256];
    ssize_t n = ::readlinkat(dir_, name_.c_str(), now, sizeof now);
    if (n == static_cast<ssize_t>(target.size()) && target.compare(0, target.size(), now, target.size()) == 0)
        return;
    ::unlinkat(dir_, temp.c_str(), 0);
    if (::symlinkat(target.c_str(), dir_, temp.c_str()) == 0 &&
        ::renameat(dir_, temp.c_str(), dir_, name_.c_str()) != 0)
        ::unlinkat(dir_, temp.c_str(), 0);
}

void Stream::unlink_oldest() {
    if (index_ < files_max_) return;
    const uint64_t keep_from = index_ - files_max_ + 1;
    std::vector<uint64_t> old;
    each_file(dir_, name_, [&](uint64_t index) {
        if (index < keep_from) old.push_back(index);
    });
    for (uint64_t index : old) ::unlinkat(dir_, file_name(index).c_str(), 0);
}

// New file, then the link, then the oldest: at each moment the link leads to a file that is there.
bool Stream::rotate() {
    bool opened = false;
    for (uint64_t index = index_ + 1; !opened && index <= index_ + 100; ++index) {
        opened = open_index(index, true);
        if (!opened && errno != EEXIST) return false;
    }
    if (!opened) return false;
    point_link();
    unlink_oldest();
    return true;
}

bool Stream::ends_with_newline(uint64_t size) const {
    char last = 0;
    return size == 0 || (::pread(file_, &last, 1, static_cast<off_t>(size - 1)) == 1 && last == '\n');
}

// The pipe holds more than the file has room for: how much of it still goes into this file.
Stream::Cut Stream::find_cut(Scratch& scratch, size_t waiting, uint64_t size) {
    const size_t room = size < file_bytes_max_ ? static_cast<size_t>(file_bytes_max_ - size) : 0;
    const uint64_t over = size > file_bytes_max_ ? size - file_bytes_max_ : 0;
    const size_t look = room + (over < kOvershootMax ? kOvershootMax - static_cast<size_t>(over) : 0);
    size_t seen = 0;
    ssize_t copied =
        ::tee(fifo_, scratch.pipe_write, look < kScratchBytes ? look : kScratchBytes, SPLICE_F_NONBLOCK);
    while (copied > 0 && seen < static_cast<size_t>(copied)) {
        ssize_t n = ::read(scratch.pipe_read, scratch.bytes + seen, static_cast<size_t>(copied) - seen);
        if (n <= 0) break;
        seen += static_cast<size_t>(n);
    }
    const size_t inside = seen < room ? seen : room;
    if (const void* last = ::memrchr(scratch.bytes, '\n', inside))
        return {static_cast<size_t>(static_cast<const char*>(last) - scratch.bytes) + 1, true};
    if (size > 0 && ends_with_newline(size)) return {0, true};  // the whole line belongs into the next file
    if (const void* first =
            seen > inside ? std::memchr(scratch.bytes + inside, '\n', seen - inside) : nullptr)
        return {static_cast<size_t>(static_cast<const char*>(first) - scratch.bytes) + 1, true};
    if (seen >= look) return {room, true};                            // too long: it is cut
    if (copied <= 0) return {waiting < room ? waiting : room, true};  // no look-ahead to be had
    return {seen, false};                                             // its end has not been written yet
}

size_t Stream::drain(Scratch& scratch) {
    size_t moved = 0;
    while (moved < kTurnBytesMax) {
        const size_t bytes = waiting();
        if (bytes == 0) break;
        struct stat st {};
        if (file_ < 0 || ::fstat(file_, &st) != 0 || st.st_nlink == 0) {
            if (!open_active() || ::fstat(file_, &st) != 0) {
                trouble_ = errno ? errno : EIO;
                return moved;
            }
        }
        const uint64_t size = static_cast<uint64_t>(st.st_size);
        Cut cut{bytes, false};
        if (size + bytes > file_bytes_max_) cut = find_cut(scratch, bytes, size);
        // The end, not our last position: somebody may have truncated the file.
        ::lseek(file_, 0, SEEK_END);
        for (size_t left = cut.bytes; left > 0;) {
            ssize_t n = ::splice(fifo_, nullptr, file_, nullptr, left, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
            if (n <= 0) {
                trouble_ = n < 0 && errno != EAGAIN && errno != EINTR ? errno : 0;
                return moved;  // what is left of the cut is looked at again, from the file's real size
            }
            left -= static_cast<size_t>(n);
            moved += static_cast<size_t>(n);
        }
        trouble_ = 0;
        if (cut.then_rotate && !rotate()) {
            trouble_ = errno ? errno : EIO;
            return moved;
        }
        if (cut.bytes == 0 && !cut.then_rotate) break;
    }
    return moved;
}

}  // namespace drover::logd
