// When the computation of an answer is given up.
#pragma once

#include <atomic>
#include <chrono>

#include "base/clock.h"

namespace mi::query {

// Checked between the steps of a computation. Whatever the computation has found once the deadline has passed is not
// the answer.
//
// Threads: safe. Ownership: borrows the clock and the flag.
class Deadline {
 public:
  Deadline(const Clock& clock, std::chrono::steady_clock::time_point at, const std::atomic<bool>& stopping)
      : clock_(clock), at_(at), stopping_(stopping) {}

  // True from the deadline on, or as soon as the service stops. Never becomes false again.
  bool passed() const { return stopping() || clock_.Steady() >= at_; }
  bool stopping() const { return stopping_.load(std::memory_order_relaxed); }

 private:
  const Clock& clock_;
  const std::chrono::steady_clock::time_point at_;
  const std::atomic<bool>& stopping_;
};

}  // namespace mi::query
