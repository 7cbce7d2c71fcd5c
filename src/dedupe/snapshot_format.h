// The bytes of seen.snapshot, version 1 (docs/formats/seen-snapshot.md): encoding and decoding, without I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "dedupe/seen_set.h"
#include "dedupe/seen_snapshot.h"

namespace mi::dedupe {

inline constexpr size_t kSnapshotHeaderBytes = 256;
inline constexpr size_t kShardHeadBytes = 16;
inline constexpr size_t kChecksumBytes = 16;
inline constexpr size_t kSnapshotEntryBytes = 9;

struct SnapshotHeader {
  uint32_t shards = 0;
  uint64_t file_bytes = 0;
  uint64_t entries = 0;
  SnapshotBinding binding;
  std::string shards_digest;  // checksum over the checksums of all shards, in their order
};

// XXH3-128 of `bytes`, 16 bytes.
std::string SnapshotChecksum(std::string_view bytes);

// kInvalid when a uuid is too long for its field.
Result<std::string> EncodeHeader(const SnapshotHeader& header);
// Requires: bytes.size() == kSnapshotHeaderBytes. kCorrupt when damaged, kInvalid when of another version.
Result<SnapshotHeader> DecodeHeader(std::string_view bytes);

// Bytes of a shard's head, entries and checksum.
constexpr uint64_t ShardBytes(uint64_t entries) {
  return kShardHeadBytes + entries * kSnapshotEntryBytes + kChecksumBytes;
}
std::string EncodeShard(const SeenEntries& entries);
// How many entries follow. Requires: head.size() == kShardHeadBytes.
uint64_t EntriesOfShard(std::string_view head);
// Requires: bytes.size() == ShardBytes(EntriesOfShard(bytes)).
Result<SeenEntries> DecodeShard(std::string_view bytes);

}  // namespace mi::dedupe
