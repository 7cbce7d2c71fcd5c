// Keeps the seen table of standalone across restarts: it is filled from its snapshot, or else from the store.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "dedupe/seen_set.h"
#include "dedupe/seen_snapshot.h"
#include "store/ports.h"
#include "telemetry/log.h"

namespace mi::app {

struct SeenTableDeps {
  store::CatalogReader& reader;
  const Clock& clock;
  telemetry::Logger& log;
  // Asked repeatedly while the store is read, which takes seconds: whether to give up.
  std::function<bool()> stop_requested = [] { return false; };
};

// A table of everything that is durable. A snapshot that is damaged, unreadable, or of another catalogue or journal is
// deleted, with a line in the log. Errors: those of reading the store; kUnavailable if a stop was requested.
Result<std::unique_ptr<dedupe::SeenSet>> OpenSeenTable(const std::string& snapshot_path,
                                                       const dedupe::SnapshotBinding& now,
                                                       const dedupe::SeenOptions& options, const SeenTableDeps& deps);

// Writes the snapshot. A failure is logged; it only makes the next start slower.
void SaveSeenTable(dedupe::SeenSet& seen, const std::string& snapshot_path,
                   const std::function<Result<dedupe::SnapshotBinding>()>& binding, telemetry::Logger& log);

}  // namespace mi::app
