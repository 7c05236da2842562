// SPDX-License-Identifier: Apache-2.0
// A stream's file and a request frame as logd meets them on disk and on its sockets.
#include <cstdlib>

#include "base/sys/logd_wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace drover::logd;
    char copy[kStreamBytesMax];
    if (size >= sizeof(RequestFrame)) {
        RequestFrame frame;
        std::memcpy(&frame, data, sizeof frame);
        if (request_ok(frame) && static_cast<int>(frame.type) > static_cast<int>(Request::Stop)) std::abort();
    }
    if (size < sizeof(StreamHeader) || size > sizeof copy) return 0;
    std::memcpy(copy, data, size);
    StreamHeader header;
    std::memcpy(&header, copy, sizeof header);
    header.magic = kStreamMagic;
    header.version = kWireVersion;
    header.bytes = static_cast<uint32_t>(size);
    header.checksum = stream_checksum(header, copy + sizeof header, size - sizeof header);
    std::memcpy(copy, &header, sizeof header);
    StreamView view;
    if (parse_stream(copy, size, &view)) return 0;
    if (std::strlen(view.id) + std::strlen(view.fifo) + std::strlen(view.dir) + std::strlen(view.name) + 4 +
            sizeof header !=
        size)
        std::abort();
    return 0;
}
