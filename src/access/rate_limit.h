// A bound on requests per time, over all senders together (rate_limit of the web configuration file).
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "base/clock.h"
#include "base/mutex.h"

namespace mi::access {

// A token bucket. Threads: safe.
class RateLimit {
 public:
  explicit RateLimit(const Clock& clock) : clock_(clock) {}

  // One request per interval, and `burst` at once. An interval of 0 is no limit.
  void Configure(std::chrono::nanoseconds interval, uint64_t burst) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    interval_ = interval;
    burst_ = burst;
    full_at_ = {};
  }
  bool TryTake() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (interval_ == std::chrono::nanoseconds(0)) return true;
    const auto now = clock_.Steady();
    const auto next = std::max<std::chrono::steady_clock::time_point>(full_at_, now) + interval_;
    const auto ahead = next - now - std::chrono::nanoseconds(1);
    if (static_cast<uint64_t>(ahead / interval_) >= burst_) return false;  // a product could overflow
    full_at_ = next;
    return true;
  }

 private:
  const Clock& clock_;
  Mutex mutex_;
  std::chrono::nanoseconds interval_ GUARDED_BY(mutex_){0};
  uint64_t burst_ GUARDED_BY(mutex_) = 0;
  std::chrono::steady_clock::time_point full_at_ GUARDED_BY(mutex_);  // when the bucket is full again
};

}  // namespace mi::access
