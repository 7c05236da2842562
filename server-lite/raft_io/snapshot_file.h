// SPDX-License-Identifier: Apache-2.0
// The snapshot file: a head (magic, log index), length-prefixed records, and a tail with their number and
// checksum. Written to a temporary name, fsynced, renamed, directory fsynced: the name always stands for a
// whole file.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "server-lite/raft/consensus.h"

namespace drover::server::raft {

Status write_snapshot_file(const std::string& path, uint64_t index, uint64_t term,
                           const std::function<Status(const RecordSink&)>& writer);

struct SnapshotInfo {
    uint64_t index = 0;
    uint64_t term = 0;
};
// Checks the whole file first (DataLoss naming it), then hands the records to `restore`.
Result<SnapshotInfo> read_snapshot_file(const std::string& path,
                                        const std::function<Status(const RecordSource&)>& restore);

// CRC-32 (IEEE), of `bytes` after `seed`.
uint32_t crc32(std::string_view bytes, uint32_t seed = 0);

}  // namespace drover::server::raft
