// The activity stream inside one process: hints from receive to index. Full: the hint is dropped and counted; the
// series will be seen again in the next window.
//
// Threads: safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "base/mutex.h"
#include "stream/ports.h"
#include "telemetry/metrics.h"

namespace mi::stream {

class ActivityQueue final : public ActivityPublisher {
 public:
  // Holds at most `max_fingerprints`, of 16 bytes each.
  ActivityQueue(size_t max_fingerprints, telemetry::Metrics& metrics);

  // Splits nothing: a batch is taken whole or dropped whole.
  void PublishActivity(model::ActivityBatch batch) override EXCLUDES(mutex_);

  // For who can wait: takes it, or gives false and leaves it as it is. An empty queue takes a batch of any size.
  bool Offer(model::ActivityBatch& batch) EXCLUDES(mutex_);

  // The oldest batches, until they hold `max_fingerprints` or more; empty when there are none.
  std::vector<model::ActivityBatch> Take(size_t max_fingerprints) EXCLUDES(mutex_);

  size_t size() const EXCLUDES(mutex_);  // in fingerprints

 private:
  const size_t max_fingerprints_;
  telemetry::Counter& dropped_;
  mutable Mutex mutex_;
  std::deque<model::ActivityBatch> batches_ GUARDED_BY(mutex_);
  size_t fingerprints_ GUARDED_BY(mutex_) = 0;
};

}  // namespace mi::stream
