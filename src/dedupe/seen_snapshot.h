// The seen table on disk, so that a restart is warm: written beside and renamed, checksummed, and bound to the
// catalogue and the journal that it speaks of (docs/formats/seen-snapshot.md).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "dedupe/seen_set.h"

namespace mi::dedupe {

// What the entries of a snapshot rest on. Taken after the entries were copied: all of them are in the catalogue up to
// `highest_id`, or in the journal before `journal_next_offset`.
struct SnapshotBinding {
  std::string catalog_uuid;
  uint64_t highest_id = 0;
  std::string journal_uuid;
  int64_t journal_next_offset = 0;
  uint64_t secret_check = 0;
  uint64_t activity_interval_s = 0;  // another interval makes the clocks meaningless
  friend bool operator==(const SnapshotBinding&, const SnapshotBinding&) = default;
};

// Writes `path`.tmp, syncs, renames, syncs the directory. `binding` is asked for after the entries have been copied.
// Runs beside lookups and inserts; one call at a time for one path. kUnavailable when the disk refuses: what stood at
// `path` before is then untouched.
Status WriteSnapshot(SeenSet& seen, const std::string& path, const std::function<Result<SnapshotBinding>()>& binding);

// A table filled from `path`. `now` is what the catalogue and the journal say at start: kCorrupt when the file is
// damaged, kInvalid when it is of another catalogue, journal, secret or interval, or ahead of them (a backup was
// restored); each says why. kUnavailable when there is no file. The caller deletes what was refused, so that it can
// never become valid again.
Result<std::unique_ptr<SeenSet>> ReadSnapshot(const std::string& path, const SnapshotBinding& now, SeenOptions options,
                                              const Clock& clock);

}  // namespace mi::dedupe
