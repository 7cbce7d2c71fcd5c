// What the computation of one answer may cost: time and memory. And the other reasons to give it up.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/memory_budget.h"

namespace mi::query {

// Checked in every loop of a computation whose length a client can choose. Whatever the computation has found once a
// bound is exceeded is not the answer.
//
// Threads: confined to one; the flags may be set from any. Ownership: borrows the clock and `stopping`; shares
// `abandoned`; owns what it holds of the budget.
class Bounds {
 public:
  struct Options {
    std::chrono::steady_clock::time_point deadline;
    const std::atomic<bool>& stopping;  // the service stops
    std::shared_ptr<const std::atomic<bool>>
        abandoned;  // shared with the connection: nobody waits any more; may be null
  };
  enum class Reason { kNone, kDeadline, kStopping, kAbandoned, kMemory };

  Bounds(const Clock& clock, Options options, MemoryHold memory)
      : clock_(clock), options_(std::move(options)), memory_(std::move(memory)) {}

  // Never becomes false again.
  bool exceeded() { return reason() != Reason::kNone; }
  Reason reason() {
    if (reason_ != Reason::kNone) return reason_;
    if (options_.stopping.load(std::memory_order_relaxed)) {
      reason_ = Reason::kStopping;
    } else if (options_.abandoned != nullptr && options_.abandoned->load(std::memory_order_relaxed)) {
      reason_ = Reason::kAbandoned;
    } else if (clock_.Steady() >= options_.deadline) {
      reason_ = Reason::kDeadline;
    }
    return reason_;
  }

  // Takes `bytes` more of the memory budget. Returns false if there is no room; then the bounds are exceeded.
  bool Hold(uint64_t bytes) {
    if (memory_.TryGrow(bytes)) return true;
    if (reason_ == Reason::kNone) reason_ = Reason::kMemory;
    return false;
  }
  // What is held so far, for an answer that outlives the computation.
  MemoryHold TakeMemory() { return std::move(memory_); }

 private:
  const Clock& clock_;
  const Options options_;
  MemoryHold memory_;
  Reason reason_ = Reason::kNone;
};

// The same for a computation that may be unbounded, as in tests and benchmarks: null never exceeds.
inline bool Exceeded(Bounds* bounds) { return bounds != nullptr && bounds->exceeded(); }
inline bool Hold(Bounds* bounds, uint64_t bytes) { return bounds == nullptr || bounds->Hold(bytes); }

}  // namespace mi::query
