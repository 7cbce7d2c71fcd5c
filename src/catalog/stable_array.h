// An array that grows and never moves its elements, so that a writer can append while readers read.
//
//   directory_ ──> [chunk 0] [chunk 1] ...   chunks of equal size; a larger directory replaces a full one
//
// Threads: one writer. A reader may read an element that was appended before the reader learned of it by a load with
// acquire order (of the snapshot's pointer, or of the head of a chain).
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

  // A new element, value-initialised. The writer fills it before it publishes it.
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

  // Old directories are kept, since a reader may use one. Together they are not longer than the newest.
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
