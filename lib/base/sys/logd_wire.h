// SPDX-License-Identifier: Apache-2.0
// What drover-logd and the agent have in common: the files of logd's directory, a stream's spec, the frames
// of its two sockets. Header-only, no allocation. Stream specs stay on disk across upgrades: add, never
// change.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/sys/shim_wire.h"  // fnv64

namespace drover::logd {

constexpr uint16_t kWireVersion = 1;

// <data_dir>/client/logd/ (root, 0700):
constexpr char kKeeperLock[] = "keeper.lock";  // flock held by the living keeper; its pid is the content
constexpr char kWorkerLock[] = "worker.lock";  // the same for the worker: one reader of the FIFOs at a time
constexpr char kKeeperSocket[] = "keeper.sock";
constexpr char kWorkerSocket[] = "worker.sock";
constexpr char kStreamsDir[] = "streams";  // one file per stream, named by its key in 16 hex digits
constexpr char kNoteFile[] = "logd.log";   // what went wrong, one line each

// ---- a stream's file: header, then id, fifo, dir and name, each with its NUL
// ---------------------------------------

constexpr uint32_t kStreamMagic = 0x54535244;  // "DRST"
constexpr size_t kStreamBytesMax = 16384;
constexpr size_t kIdBytesMax = 512;
constexpr size_t kPathBytesMax = 4000;
constexpr size_t kNameBytesMax = 200;

struct StreamHeader {
    uint32_t magic;
    uint16_t version;
    uint16_t reserved;
    uint32_t bytes;  // of the whole file
    uint32_t files_max;
    uint64_t file_bytes_max;
    uint64_t fifo_dev;  // the FIFO that was meant, whatever lies at the path later
    uint64_t fifo_ino;
    uint64_t checksum;  // over the strings and the header with this field 0
};
static_assert(sizeof(StreamHeader) == 48);

struct StreamView {
    StreamHeader header;
    const char* id;
    const char* fifo;
    const char* dir;
    const char* name;
};

inline uint64_t stream_checksum(StreamHeader header, const char* strings, size_t size) {
    header.checksum = 0;
    return shim::fnv64(strings, size, shim::fnv64(&header, sizeof header));
}

// nullptr when sound (the view points into `data`), else what is wrong.
inline const char* parse_stream(const char* data, size_t size, StreamView* view) {
    if (size < sizeof(StreamHeader) || size > kStreamBytesMax) return "stream: size";
    std::memcpy(&view->header, data, sizeof view->header);
    const StreamHeader& header = view->header;
    if (header.magic != kStreamMagic) return "stream: not a stream's file";
    if (header.version != kWireVersion) return "stream: version not understood";
    if (header.bytes != size) return "stream: length";
    const char* strings = data + sizeof header;
    if (header.checksum != stream_checksum(header, strings, size - sizeof header)) return "stream: checksum";
    const char** const targets[] = {&view->id, &view->fifo, &view->dir, &view->name};
    const size_t limits[] = {kIdBytesMax, kPathBytesMax, kPathBytesMax, kNameBytesMax};
    size_t left = size - sizeof header;
    for (int i = 0; i < 4; ++i) {
        const void* end = std::memchr(strings, 0, left);
        if (!end) return "stream: string without its end";
        const size_t length = static_cast<size_t>(static_cast<const char*>(end) - strings);
        if (length == 0 || length > limits[i]) return "stream: string too short or too long";
        *targets[i] = strings;
        strings += length + 1;
        left -= length + 1;
    }
    if (left != 0) return "stream: bytes after the strings";
    if (view->fifo[0] != '/' || view->dir[0] != '/') return "stream: path is not absolute";
    if (std::strchr(view->name, '/') || view->name[0] == '.') return "stream: name is not a plain file name";
    if (header.files_max == 0 || header.file_bytes_max == 0) return "stream: a limit is 0";
    return nullptr;
}

inline uint64_t stream_key(const char* id, size_t size) {
    return shim::fnv64(id, size);
}

// ---- frames: requests are one header, replies one Reply
// -------------------------------------------------------------

constexpr uint32_t kFrameMagic = 0x464c5244;  // "DRLF"

enum class Request : uint16_t {
    Hello = 1,  // -> Reply with pid and version; to both
    Open = 2,   // key: read the stream's file (again) and hold (keeper) or drain (worker) it; to both
    Close = 3,  // key: let go; to both; fine when it is not there
    Flush = 4,  // key, argument = ms: -> Reply when the FIFO is empty, or error ETIMEDOUT; worker
    List = 5,   // -> one Reply with `more` per stream, then one without; worker
    Watch = 6,  // -> Reply, then events as Replies with id 0 for as long as the connection lives; worker
    Stop = 7,   // keeper: end the worker, then itself. worker: end at the next chance (a new keeper asks so)
};

struct RequestFrame {
    uint32_t magic;
    uint16_t version;
    Request type;
    uint32_t id;
    uint32_t argument;
    uint64_t key;
};
static_assert(sizeof(RequestFrame) == 24);

struct Reply {
    uint32_t magic;
    uint16_t version;
    uint16_t more;  // List: another one follows
    uint32_t id;    // of the request; 0: an event
    int32_t
        error_number;  // of the request; of an event or stream: why it cannot write (ENOSPC ...), 0: it can
    uint64_t key;
    uint64_t waiting_bytes;
    uint64_t file_index;
    int32_t pid;
    uint32_t full;  // writers wait, nothing is lost
    char message[80];
};
static_assert(sizeof(Reply) == 128);

inline bool request_ok(const RequestFrame& frame) {
    return frame.magic == kFrameMagic && frame.version >= 1 && frame.type >= Request::Hello &&
           frame.type <= Request::Stop;
}
inline Reply make_reply(uint32_t id, int error_number, const char* message = "") {
    Reply reply{};
    reply.magic = kFrameMagic;
    reply.version = kWireVersion;
    reply.id = id;
    reply.error_number = error_number;
    for (size_t i = 0; message[i] && i + 1 < sizeof reply.message; ++i) reply.message[i] = message[i];
    return reply;
}

}  // namespace drover::logd
