// One bound for the memory that clients can make the process hold: requests while they arrive, what they expand to,
// queries while they are computed, and answers until they are read.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace mi {

// Counts bytes. It allocates nothing itself. Threads: safe.
class MemoryBudget {
 public:
  explicit MemoryBudget(uint64_t limit) : limit_(limit) {}

  bool TryTake(uint64_t bytes) {
    if (used_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= limit_) return true;
    GiveBack(bytes);
    return false;
  }
  void GiveBack(uint64_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
  uint64_t used() const { return used_.load(std::memory_order_relaxed); }
  uint64_t limit() const { return limit_; }

 private:
  const uint64_t limit_;
  std::atomic<uint64_t> used_{0};
};

// Bytes taken from a budget, which the destructor gives back. The budget must outlive it. Threads: confined to one.
class MemoryHold {
 public:
  explicit MemoryHold(MemoryBudget& budget) : budget_(&budget) {}
  MemoryHold(MemoryHold&& other) noexcept : budget_(other.budget_), bytes_(std::exchange(other.bytes_, 0)) {}
  MemoryHold& operator=(MemoryHold&& other) noexcept {
    std::swap(budget_, other.budget_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MemoryHold() {
    if (bytes_ > 0) budget_->GiveBack(bytes_);
  }

  // Takes `bytes` more. Returns false if the budget does not allow it; then nothing changes.
  bool TryGrow(uint64_t bytes) {
    if (!budget_->TryTake(bytes)) return false;
    bytes_ += bytes;
    return true;
  }
  void Clear() { budget_->GiveBack(std::exchange(bytes_, 0)); }
  uint64_t bytes() const { return bytes_; }
  const MemoryBudget& budget() const { return *budget_; }

 private:
  MemoryBudget* budget_;
  uint64_t bytes_ = 0;
};

}  // namespace mi
