// The activity stream inside one process: from the receiver, or from Kafka's activity topic, to the index. Activity
// that does not fit is dropped and counted: the series reports again in its next window.
//
// Threads: safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "stream/deps.h"
#include "stream/ports.h"

namespace mi::stream {

class ActivityQueue final : public ActivityPublisher {
 public:
  // Holds at most `max_fingerprints`, of 16 bytes each.
  ActivityQueue(size_t max_fingerprints, telemetry::Metrics& metrics)
      : max_fingerprints_(max_fingerprints), dropped_(ActivityDropped(metrics)) {}

  // Accepts the whole batch or drops the whole batch.
  void PublishActivity(model::ActivityBatch batch) override EXCLUDES(mutex_) {
    const size_t count = batch.fingerprints.size();
    MutexLock lock(mutex_);
    if (fingerprints_ + count <= max_fingerprints_) return Push(std::move(batch));
    dropped_.Add(static_cast<double>(count));
  }

  // For a caller that can wait: returns false and leaves the batch as it is if it does not fit. An empty queue accepts
  // a batch of any size.
  bool Offer(model::ActivityBatch& batch) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (fingerprints_ > 0 && fingerprints_ + batch.fingerprints.size() > max_fingerprints_) return false;
    Push(std::move(batch));
    return true;
  }

  // Removes the oldest batches, until they hold `max_fingerprints` or more.
  std::vector<model::ActivityBatch> Take(size_t max_fingerprints) EXCLUDES(mutex_) {
    std::vector<model::ActivityBatch> taken;
    MutexLock lock(mutex_);
    for (size_t count = 0; count < max_fingerprints && !batches_.empty(); batches_.pop_front()) {
      count += batches_.front().fingerprints.size();
      fingerprints_ -= batches_.front().fingerprints.size();
      taken.push_back(std::move(batches_.front()));
    }
    return taken;
  }

  size_t size() const EXCLUDES(mutex_) {  // in fingerprints
    MutexLock lock(mutex_);
    return fingerprints_;
  }

 private:
  void Push(model::ActivityBatch batch) REQUIRES(mutex_) {
    if (batch.fingerprints.empty()) return;
    fingerprints_ += batch.fingerprints.size();
    batches_.push_back(std::move(batch));
  }

  const size_t max_fingerprints_;
  telemetry::Counter& dropped_;
  mutable Mutex mutex_;
  std::deque<model::ActivityBatch> batches_ GUARDED_BY(mutex_);
  size_t fingerprints_ GUARDED_BY(mutex_) = 0;
};

}  // namespace mi::stream
