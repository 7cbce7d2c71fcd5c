// How long a question may be thought about.
#pragma once

#include <atomic>
#include <chrono>

#include "base/clock.h"

namespace mi::query {

// Looked at between the steps of a question. What was found when it has ended is not the answer.
//
// Threads: safe. Ownership: borrows the clock and the flag.
class Patience {
 public:
  Patience(const Clock& clock, std::chrono::steady_clock::time_point deadline, const std::atomic<bool>& stopping)
      : clock_(clock), deadline_(deadline), stopping_(stopping) {}

  // Once true, true for ever: at the deadline, or as soon as the service stops.
  bool ended() const { return stopping() || clock_.Steady() >= deadline_; }
  bool stopping() const { return stopping_.load(std::memory_order_relaxed); }

 private:
  const Clock& clock_;
  const std::chrono::steady_clock::time_point deadline_;
  const std::atomic<bool>& stopping_;
};

}  // namespace mi::query
