// An array that grows and never moves: the writer appends while readers index what was published to them.
//
// Threads: one writer. A reader may index any element that the writer had appended before something with
// release/acquire order (the snapshot pointer, a chain's head) told the reader of it.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

namespace mi::catalog {

template <typename T, size_t kChunk = 4096>
class StableArray {
 public:
  StableArray() { GrowDirectory(16); }

  // A new element, value-initialised: the writer fills it before it tells anybody.
  T& Append() {
    if (size_ == chunks_.size() * kChunk) AddChunk();
    const size_t at = size_++;
    return chunks_[at / kChunk][at % kChunk];
  }

  const T& operator[](size_t i) const { return directory_.load(std::memory_order_acquire)[i / kChunk][i % kChunk]; }
  T& operator[](size_t i) { return directory_.load(std::memory_order_acquire)[i / kChunk][i % kChunk]; }

  // For the writer only.
  size_t size() const { return size_; }
  size_t bytes() const { return chunks_.size() * (kChunk * sizeof(T) + kMallocHeader) + directory_bytes_; }

 private:
  static constexpr size_t kMallocHeader = 16;

  void AddChunk() {
    chunks_.push_back(std::make_unique<T[]>(kChunk));
    if (chunks_.size() > directory_capacity_) GrowDirectory(directory_capacity_ * 2);
    directories_.back()[chunks_.size() - 1] = chunks_.back().get();
  }

  // Old directories stay: a reader may be looking at one. Together they are no longer than the newest.
  void GrowDirectory(size_t capacity) {
    auto directory = std::make_unique<T*[]>(capacity);
    for (size_t i = 0; i < chunks_.size(); ++i) directory[i] = chunks_[i].get();
    directories_.push_back(std::move(directory));
    directory_.store(directories_.back().get(), std::memory_order_release);
    directory_capacity_ = capacity;
    directory_bytes_ += capacity * sizeof(T*) + kMallocHeader;
  }

  std::atomic<T**> directory_{nullptr};
  size_t size_ = 0;
  size_t directory_capacity_ = 0;
  size_t directory_bytes_ = 0;
  std::vector<std::unique_ptr<T[]>> chunks_;
  std::vector<std::unique_ptr<T*[]>> directories_;
};

}  // namespace mi::catalog
