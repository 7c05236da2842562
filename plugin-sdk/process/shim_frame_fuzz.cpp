// SPDX-License-Identifier: Apache-2.0
// Foreign bytes as the shim meets them: a stream of frames, a spec, a record. First byte: which of them.
#include <cstdlib>

#include "base/sys/shim_wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace drover::shim;
    if (size == 0) return 0;
    const uint8_t kind = data[0];
    ++data;
    --size;
    if (kind % 3 == 0) {
        while (size > 0) {
            FrameHeader header;
            const char* payload = nullptr;
            if (parse_frame(data, size, &header, &payload) != Parse::Ok) return 0;
            const size_t taken = sizeof header + header.bytes;
            if (taken > size || header.bytes > kFrameBytesMax) std::abort();
            data += taken;
            size -= taken;
        }
    } else if (kind % 3 == 1) {
        // The checksum would keep the fuzzer out: put the right one in.
        char copy[4096];
        if (size < sizeof(SpecHeader) || size > sizeof copy) return 0;
        std::memcpy(copy, data, size);
        SpecHeader header;
        std::memcpy(&header, copy, sizeof header);
        header.magic = kSpecMagic;
        header.version = kWireVersion;
        header.bytes = static_cast<uint32_t>(size);
        header.checksum = fnv64(copy + sizeof header, size - sizeof header);
        std::memcpy(copy, &header, sizeof header);
        SpecReader reader;
        if (reader.open(copy, size)) return 0;
        Tag tag;
        const char* payload;
        uint32_t bytes;
        while (reader.next(&tag, &payload, &bytes)) {
            if (tag_is_string(tag) && std::strlen(payload) + 1 != bytes) std::abort();
            if (payload + bytes > copy + size) std::abort();
        }
    } else if (size >= sizeof(Record)) {
        Record record;
        std::memcpy(&record, data, sizeof record);
        seal_record(&record);
        if (record_ok(record) && std::strlen(record.message) >= kMessageBytesMax) std::abort();
    }
    return 0;
}
