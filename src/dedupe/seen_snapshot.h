// The seen table on disk, so that it is full after a restart. The file is written under another name and renamed. It
// has checksums, and it is bound to the catalogue and the journal that its entries are in
// (docs/formats/seen-snapshot.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
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

// Writes `path`.tmp, syncs it, renames it to `path`, and syncs the directory. Calls `binding` after the entries were
// copied. Look-ups and inserts go on meanwhile. One call at a time for one path.
// kUnavailable if a system call fails; the file at `path` is then unchanged.
Status WriteSnapshot(SeenSet& seen, const std::string& path, const std::function<Result<SnapshotBinding>()>& binding);

// A table filled from `path`. `now` is the state of the catalogue and the journal at start.
// kUnavailable: the file cannot be read. kCorrupt: it is damaged. kInvalid: it belongs to another catalogue, journal,
// secret or interval, or is ahead of them (a backup was restored). The caller deletes a file that is refused, so that
// it cannot become valid later.
Result<std::unique_ptr<SeenSet>> ReadSnapshot(const std::string& path, const SnapshotBinding& now,
                                              const SeenOptions& options, const Clock& clock);

// The bytes of the file, for the fuzzer: a header, then the shards.
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
// A shard is its time, its number of entries, their keys, their activity clocks, and a checksum.
std::string EncodeShard(const SeenEntries& entries);
// XXH3-128 of `bytes`.
inline constexpr size_t kChecksumBytes = 16;
std::string SnapshotChecksum(std::string_view bytes);

}  // namespace mi::dedupe
