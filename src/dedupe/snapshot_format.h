// The bytes of seen.snapshot, version 1 (docs/formats/seen-snapshot.md): a header, then the shards. Encodes and
// decodes; does no I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "dedupe/seen_set.h"

namespace mi::dedupe {

// What the entries of a snapshot depend on. It is read after the entries were copied: each of them is in the catalogue
// up to `highest_id`, or in the journal before `journal_next_offset`.
struct SnapshotBinding {
  std::string catalog_uuid;
  uint64_t highest_id = 0;
  std::string journal_uuid;
  int64_t journal_next_offset = 0;
  uint64_t secret_check = 0;
  uint64_t activity_interval_s = 0;  // the unit of the clocks
  bool operator==(const SnapshotBinding&) const = default;
};

struct SnapshotHeader {
  static constexpr size_t kBytes = 256;

  uint32_t shards = 0;
  uint64_t file_bytes = 0;
  uint64_t entries = 0;
  SnapshotBinding binding;
  std::string shards_digest;  // checksum of the checksums of all shards, in order

  // kInvalid if a uuid is too long for its field.
  Result<std::string> Encode() const;
  // kCorrupt if the bytes are damaged, kInvalid if they are of another version. Requires: bytes.size() == kBytes.
  static Result<SnapshotHeader> Decode(std::string_view bytes);
};

// XXH3-128 of `bytes`.
inline constexpr size_t kChecksumBytes = 16;
std::string SnapshotChecksum(std::string_view bytes);

// A shard is its head (time, number of entries), the entries, and a checksum.
inline constexpr size_t kShardHeadBytes = 16;
inline constexpr size_t kSnapshotEntryBytes = 9;
constexpr uint64_t ShardBytes(uint64_t entries) {
  return kShardHeadBytes + entries * kSnapshotEntryBytes + kChecksumBytes;
}
std::string EncodeShard(const SeenEntries& entries);
// The number of entries according to the head. Requires: head.size() >= kShardHeadBytes.
uint64_t EntriesOfShard(std::string_view head);
// kCorrupt if the checksum does not match. Requires: bytes.size() == ShardBytes(EntriesOfShard(bytes)).
Result<SeenEntries> DecodeShard(std::string_view bytes);

}  // namespace mi::dedupe
