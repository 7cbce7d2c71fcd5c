#include "stream/activity_queue.h"

#include <utility>

namespace mi::stream {

ActivityQueue::ActivityQueue(size_t max_fingerprints, telemetry::Metrics& metrics)
    : max_fingerprints_(max_fingerprints),
      dropped_(metrics.GetCounter("activity_dropped_total",
                                  "Sightings of known series that were dropped because the index is behind.")) {}

void ActivityQueue::PublishActivity(model::ActivityBatch batch) {
  const size_t count = batch.fingerprints.size();
  if (count == 0) return;
  {
    MutexLock lock(mutex_);
    if (fingerprints_ + count <= max_fingerprints_) {
      fingerprints_ += count;
      batches_.push_back(std::move(batch));
      return;
    }
  }
  dropped_.Add(static_cast<double>(count));
}

bool ActivityQueue::Offer(model::ActivityBatch& batch) {
  const size_t count = batch.fingerprints.size();
  MutexLock lock(mutex_);
  if (fingerprints_ > 0 && fingerprints_ + count > max_fingerprints_) return false;
  if (count == 0) return true;
  fingerprints_ += count;
  batches_.push_back(std::move(batch));
  return true;
}

std::vector<model::ActivityBatch> ActivityQueue::Take(size_t max_fingerprints) {
  std::vector<model::ActivityBatch> taken;
  MutexLock lock(mutex_);
  for (size_t count = 0; count < max_fingerprints && !batches_.empty(); batches_.pop_front()) {
    count += batches_.front().fingerprints.size();
    fingerprints_ -= batches_.front().fingerprints.size();
    taken.push_back(std::move(batches_.front()));
  }
  return taken;
}

size_t ActivityQueue::size() const {
  MutexLock lock(mutex_);
  return fingerprints_;
}

}  // namespace mi::stream
