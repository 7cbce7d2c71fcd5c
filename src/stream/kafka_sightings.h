// Gathers activity, so that many requests share a record: what was seen within a moment, bounded together with what is
// on its way.
//
// Threads: safe.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

#include "base/mutex.h"
#include "model/series_batch.h"

namespace mi::stream {

class KafkaSightings {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // Gathers for `delay` or until there are `enough`; takes at most `max_fingerprints`.
  KafkaSightings(std::chrono::milliseconds delay, size_t enough, size_t max_fingerprints)
      : delay_(delay), enough_(enough), max_fingerprints_(max_fingerprints) {}

  // False when that would be too many, or when there is no memory for them.
  bool Add(const model::ActivityBatch& batch, TimePoint now) EXCLUDES(mutex_) {
    const size_t count = batch.fingerprints.size();
    if (under_way_.fetch_add(count) + count > max_fingerprints_) {
      under_way_ -= count;
      return false;
    }
    MutexLock lock(mutex_);
    if (gathered_.fingerprints.empty()) {
      since_ = now;
      gathered_.seen_at_ms = batch.seen_at_ms;
    }
    try {
      gathered_.fingerprints.insert(gathered_.fingerprints.end(), batch.fingerprints.begin(), batch.fingerprints.end());
      return true;
    } catch (const std::bad_alloc&) {
      under_way_ -= count;
      return false;
    }
  }

  // What is to be sent now; empty when that has time.
  model::ActivityBatch TakeDue(TimePoint now, bool at_once) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (!at_once && now - since_ < delay_ && gathered_.fingerprints.size() < enough_) return {};
    return std::exchange(gathered_, {});
  }

  // So many arrived, or were given up; true when that was the last.
  bool Settle(size_t fingerprints) { return under_way_.fetch_sub(fingerprints) == fingerprints; }
  bool empty() const { return under_way_ == 0; }

 private:
  const std::chrono::milliseconds delay_;
  const size_t enough_;
  const size_t max_fingerprints_;
  std::atomic<size_t> under_way_ = 0;  // gathered or sent
  Mutex mutex_;
  model::ActivityBatch gathered_ GUARDED_BY(mutex_);
  TimePoint since_ GUARDED_BY(mutex_);
};

}  // namespace mi::stream
