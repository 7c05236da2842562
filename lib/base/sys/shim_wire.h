// SPDX-License-Identifier: Apache-2.0
// What a shim and those who talk to it have in common: the files of a task directory, the spec, the record,
// the frames of its socket. Header-only, no allocation, no library: the shim is built from it alone, the
// SDK's ProcessTask is the other side. Numbers here are on disk while a task lives across upgrades: add,
// never change.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace drover::shim {

constexpr uint16_t kWireVersion = 1;

// A task directory (root, 0700) holds, in the order of a task's life:
constexpr char kSpecFile[] = "spec";  // the intent: what is to be started; nothing has run yet
constexpr char kLockFile[] = "lock";  // flock held by the living shim: one at a time
constexpr char kStartedFile[] =
    "started";                            // Record, written before the command can run its first instruction
constexpr char kSocketFile[] = "sock";    // the shim answers here while it lives
constexpr char kExitFile[] = "exit";      // Record, durable: how it ended
constexpr char kNoteFile[] = "shim.log";  // what went wrong in a shim, one line each; rarely there

// How far a task is. In `started` only Launching and Running occur, in `exit` only the last three.
enum class Phase : uint32_t {
    None = 0,
    Launching = 1,    // `pid` is the launcher's; the task's process is not known yet
    Running = 2,      // `pid` is the task's
    Exited = 3,       // exit_code or signal tell how
    StartFailed = 4,  // the command never ran; message and error_number tell why
    Lost = 5,         // it is gone, and nobody was there to see how (its shim had been killed)
};

constexpr uint32_t kRecordMagic = 0x43525244;  // "DRRC"
constexpr size_t kMessageBytesMax = 400;

// One struct for `started`, `exit`, the status pipe and every reply. Valid when record_ok() says so.
struct Record {
    uint32_t magic;
    uint16_t version;
    uint16_t bytes;
    Phase phase;
    int32_t pid;
    uint64_t start_ticks;  // field 22 of /proc/PID/stat: with boot_id and pid it names one process for ever
    int64_t started_ns;    // unix time
    int64_t finished_ns;   // unix time, 0 while running
    int32_t exit_code;
    int32_t signal;        // 0 when it exited by itself
    uint32_t oom_killed;   // 1: the kernel's OOM killer ended it
    uint32_t oom_kills;    // processes the OOM killer took in the task's groups
    uint8_t boot_id[16];   // the boot during which this was written
    int32_t error_number;  // errno of a failed start
    uint32_t adopted;      // times a new shim took over
    int32_t shim_pid;
    uint32_t reserved[5];
    char message[kMessageBytesMax];  // NUL-terminated; of StartFailed and Lost
    uint64_t checksum;
};
static_assert(sizeof(Record) == 512);

inline uint64_t fnv64(const void* data, size_t size, uint64_t hash = 0xcbf29ce484222325ull) {
    const unsigned char* at = static_cast<const unsigned char*>(data);
    for (size_t i = 0; i < size; ++i) hash = (hash ^ at[i]) * 0x100000001b3ull;
    return hash;
}
inline void seal_record(Record* record) {
    record->magic = kRecordMagic;
    record->version = kWireVersion;
    record->bytes = sizeof(Record);
    record->message[kMessageBytesMax - 1] = 0;
    record->checksum = fnv64(record, offsetof(Record, checksum));
}
inline bool record_ok(const Record& record) {
    return record.magic == kRecordMagic && record.bytes == sizeof(Record) && record.version >= 1 &&
           record.phase <= Phase::Lost && record.message[kMessageBytesMax - 1] == 0 &&
           record.checksum == fnv64(&record, offsetof(Record, checksum));
}

// ---- the spec: header, then fields of {tag, bytes, payload}; strings carry their NUL and count it
// -------------------

constexpr uint32_t kSpecMagic = 0x50535244;  // "DRSP"
constexpr uint32_t kSpecBytesMax = 8u << 20;

struct SpecHeader {
    uint32_t magic;
    uint16_t version;
    uint16_t reserved;
    uint32_t bytes;  // of the whole file
    uint32_t fields;
    uint64_t checksum;  // over everything after the header
};
static_assert(sizeof(SpecHeader) == 24);

enum class Tag : uint32_t {
    TaskId = 1,      // string; for people
    Command = 2,     // string, absolute path
    Arg = 3,         // string, repeated, argv[0] first
    Env = 4,         // string "K=V", repeated
    WorkDir = 5,     // string
    StdinPath = 6,   // string; default /dev/null
    StdoutPath = 7,  // string; a FIFO is opened read-write by the shim and held until it is empty
    StderrPath = 8,
    Uid = 9,           // u32
    Gid = 10,          // u32
    Group = 11,        // u32, repeated; given with Uid, an empty list drops all
    Rlimit = 12,       // RlimitField, repeated
    Umask = 13,        // u32
    OomScoreAdj = 14,  // u32 (as int32)
    ShimJoin = 15,  // string, repeated: file the shim writes "0" to (v1 tasks, v2 cgroup.procs) to leave the
                    // plugin's group
    TaskJoin = 16,  // string, repeated: v1, file the child writes "0" to before exec
    TaskCgroup2 = 17,  // string: v2, directory for CLONE_INTO_CGROUP
    KillFreezer = 18,  // string: v1 freezer directory of the task's group
    KillCgroup2 = 19,  // string: v2 directory with cgroup.kill
    OomFile = 20,      // string, repeated: memory.oom_control or memory.events
    PidFile = 21,      // string: launcher mode; Command starts the task and leaves its pid here
    DrainMs = 22,      // u32: how long to hold full FIFOs after the exit
    LaunchMs = 23,     // u32: how long a launcher may take
    NoNewPrivs = 24,   // u32, 1: PR_SET_NO_NEW_PRIVS
    Cgroup =
        25,  // string: path of the task's group, for who recovers and removes it; the shim does not use it
};

struct FieldHeader {
    Tag tag;
    uint32_t bytes;
};
struct RlimitField {
    uint32_t resource;
    uint32_t reserved;
    uint64_t soft;
    uint64_t hard;
};
static_assert(sizeof(RlimitField) == 24);

constexpr bool tag_is_string(Tag tag) {
    switch (tag) {
        case Tag::TaskId:
        case Tag::Command:
        case Tag::Arg:
        case Tag::Env:
        case Tag::WorkDir:
        case Tag::StdinPath:
        case Tag::StdoutPath:
        case Tag::StderrPath:
        case Tag::ShimJoin:
        case Tag::TaskJoin:
        case Tag::TaskCgroup2:
        case Tag::KillFreezer:
        case Tag::KillCgroup2:
        case Tag::OomFile:
        case Tag::PidFile:
        case Tag::Cgroup:
            return true;
        default:
            return false;
    }
}
constexpr uint32_t tag_fixed_bytes(Tag tag) {
    return tag == Tag::Rlimit ? sizeof(RlimitField) : 4;
}

// Walks a spec in memory. open() checks all of it once (sizes, NULs, checksum, known tags), so that next()
// cannot fail.
class SpecReader {
 public:
    // nullptr when sound, else what is wrong with it.
    const char* open(const void* data, size_t size) {
        data_ = static_cast<const char*>(data);
        size_ = size;
        SpecHeader header;
        if (size < sizeof header) return "spec: shorter than its header";
        std::memcpy(&header, data_, sizeof header);
        if (header.magic != kSpecMagic) return "spec: not a drover spec (magic)";
        if (header.version != kWireVersion) return "spec: version not understood by this shim";
        if (header.bytes != size || size > kSpecBytesMax) return "spec: length differs from its header";
        if (header.checksum != fnv64(data_ + sizeof header, size - sizeof header)) return "spec: checksum";
        at_ = sizeof header;
        for (uint32_t i = 0; i < header.fields; ++i) {
            if (size_ - at_ < sizeof(FieldHeader)) return "spec: field cut short";
            FieldHeader field;
            std::memcpy(&field, data_ + at_, sizeof field);
            at_ += sizeof field;
            if (field.bytes > size_ - at_) return "spec: field longer than the file";
            if (field.tag < Tag::TaskId || field.tag > Tag::Cgroup) return "spec: unknown field";
            if (tag_is_string(field.tag)) {
                if (field.bytes == 0 || data_[at_ + field.bytes - 1] != 0)
                    return "spec: string without its end";
                if (std::memchr(data_ + at_, 0, field.bytes) != data_ + at_ + field.bytes - 1)
                    return "spec: string with a NUL inside";
            } else if (field.bytes != tag_fixed_bytes(field.tag)) {
                return "spec: number of a wrong size";
            }
            at_ += field.bytes;
        }
        if (at_ != size_) return "spec: bytes after the last field";
        at_ = sizeof header;
        return nullptr;
    }
    void rewind() { at_ = sizeof(SpecHeader); }
    const void* data() const { return data_; }
    size_t size() const { return size_; }
    bool next(Tag* tag, const char** payload, uint32_t* bytes) {
        if (at_ >= size_) return false;
        FieldHeader field;
        std::memcpy(&field, data_ + at_, sizeof field);
        *tag = field.tag;
        *payload = data_ + at_ + sizeof field;
        *bytes = field.bytes;
        at_ += sizeof field + field.bytes;
        return true;
    }

 private:
    const char* data_ = nullptr;
    size_t size_ = 0;
    size_t at_ = 0;
};

// ---- the socket: frames of a header and a payload of at most kFrameBytesMax
// -----------------------------------------

constexpr uint32_t kFrameMagic = 0x46535244;  // "DRSF"
constexpr uint32_t kFrameBytesMax = sizeof(Record);

enum class FrameType : uint16_t {
    // requests
    Status = 1,  // -> State at once
    Wait = 2,    // -> State when the exit record is durable; the connection may stay silent for months
    Signal = 3,  // SignalRequest, to the task's process -> State
    Stop = 4,    // StopRequest: signal, wait, then kill the whole cgroup tree -> State when it has exited
    Forget =
        5,  // the record has been read: end as soon as the task has, without waiting for full FIFOs -> State
    // replies
    State = 100,    // Record
    Refused = 101,  // Record with message and error_number: the request could not be done
};

struct FrameHeader {
    uint32_t magic;
    uint16_t version;
    FrameType type;
    uint32_t bytes;  // of the payload
    uint32_t id;     // the reply repeats the request's
};
static_assert(sizeof(FrameHeader) == 16);

struct SignalRequest {
    int32_t signal;
    uint32_t reserved;
};
struct StopRequest {
    int32_t signal;  // 0: kill at once
    uint32_t timeout_ms;
};

inline FrameHeader make_frame(FrameType type, uint32_t bytes, uint32_t id) {
    return FrameHeader{kFrameMagic, kWireVersion, type, bytes, id};
}
inline uint32_t request_bytes(FrameType type) {
    switch (type) {
        case FrameType::Signal:
            return sizeof(SignalRequest);
        case FrameType::Stop:
            return sizeof(StopRequest);
        default:
            return 0;
    }
}

enum class Parse { NeedMore, Ok, Bad };

// Looks at the front of `data`. Ok: header filled, payload points into data, the frame took sizeof header +
// bytes. Bad: this is not one of our peers; close the connection.
inline Parse parse_frame(const void* data, size_t size, FrameHeader* header, const char** payload) {
    if (size < sizeof *header) return Parse::NeedMore;
    std::memcpy(header, data, sizeof *header);
    if (header->magic != kFrameMagic || header->version == 0 || header->bytes > kFrameBytesMax)
        return Parse::Bad;
    if (size - sizeof *header < header->bytes) return Parse::NeedMore;
    *payload = static_cast<const char*>(data) + sizeof *header;
    return Parse::Ok;
}

}  // namespace drover::shim
