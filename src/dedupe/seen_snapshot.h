// The seen table on disk, so that it is full after a restart. The file is written under another name and renamed. It
// has checksums, and it is bound to the catalogue and the journal that its entries are in
// (docs/formats/seen-snapshot.md).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "dedupe/seen_set.h"
#include "dedupe/snapshot_format.h"

namespace mi::dedupe {

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

}  // namespace mi::dedupe
