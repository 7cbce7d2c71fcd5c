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

// A table that holds what is durable. A snapshot that is damaged, unreadable, or of another catalogue or journal, is
// deleted with a log line. Errors: those of reading the store.
Result<std::unique_ptr<dedupe::SeenSet>> OpenSeenTable(const std::string& snapshot_path,
                                                       const dedupe::SnapshotBinding& now,
                                                       const dedupe::SeenOptions& options, store::CatalogReader& reader,
                                                       const Clock& clock, telemetry::Logger& log);

// Writes the snapshot; a failure is logged and costs nothing but the next start's speed.
void SaveSeenTable(dedupe::SeenSet& seen, const std::string& snapshot_path,
                   const std::function<Result<dedupe::SnapshotBinding>()>& binding, telemetry::Logger& log);

}  // namespace mi::app
