// The seen table across restarts: from its snapshot, or else from the store, which is the truth.
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
  // Asked now and then while the store is read, which takes seconds: whether to give up.
  std::function<bool()> stop_asked_for = [] { return false; };
};

// A table that holds what is durable. A snapshot that is damaged, unreadable, or of another catalogue or journal, is
// deleted with a log line. Errors: those of reading the store;
// kUnavailable when it was told to stop.
Result<std::unique_ptr<dedupe::SeenSet>> OpenSeenTable(const std::string& snapshot_path,
                                                       const dedupe::SnapshotBinding& now,
                                                       const dedupe::SeenOptions& options, const SeenTableDeps& deps);

// Writes the snapshot; a failure is logged and costs nothing but the next start's speed.
void SaveSeenTable(dedupe::SeenSet& seen, const std::string& snapshot_path,
                   const std::function<Result<dedupe::SnapshotBinding>()>& binding, telemetry::Logger& log);

}  // namespace mi::app
