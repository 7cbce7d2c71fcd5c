// Who is told what the index has committed: the catalogue in the same process.
#pragma once

#include <span>

#include "model/series_batch.h"
#include "store/ports.h"

namespace mi::index {

// Called from the worker's thread, after the commit, in the order of the commits. The spans are valid during the call.
class IndexListener {
 public:
  virtual ~IndexListener() = default;
  // `applied` speaks of positions in `batches`. After std::bad_alloc it comes again: what was taken over is there then.
  virtual void OnApplied(std::span<const model::SeriesBatch> batches, const store::ApplyResult& applied) = 0;
  // By activity; what batches move stands in ApplyResult::updated.
  virtual void OnSeenUpdated(std::span<const store::SeenUpdate> updates) = 0;
};

}  // namespace mi::index
