// Memory that is only appended to and never moves, so that a writer can append while readers read. It is freed as a
// whole.
//
// Threads: one writer. A reader may read what was written before the reader learned of it by a load with acquire order
// (of the snapshot's pointer, or of the head of a chain).
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace mi::catalog {

// What malloc needs besides each block.
inline constexpr size_t kMallocHeader = 16;

// Bytes.
class ByteArena {
 public:
  // Uninitialised, unaligned.
  uint8_t* Allocate(size_t size) {
    if (size > left()) AddChunk(size);
    uint8_t* at = at_;
    at_ += size;
    return at;
  }

  // The same at the beginning of a new chunk that has room for `spare` more bytes behind it.
  uint8_t* AllocateInNewChunk(size_t size, size_t spare) {
    AddChunk(size + spare);
    return Allocate(size);
  }

  // How many bytes are left in the chunk, and where they begin.
  size_t left() const { return static_cast<size_t>(end_ - at_); }
  uint8_t* cursor() const { return at_; }
  size_t bytes() const { return bytes_; }

 private:
  static constexpr size_t kSmallest = size_t{64} << 10;
  static constexpr size_t kLargest = size_t{8} << 20;

  // A chunk is 1/32 of all before it, so that about 3 % is unused at most.
  void AddChunk(size_t at_least) {
    const size_t size = std::max(at_least, std::clamp(bytes_ / 32, kSmallest, kLargest));
    chunks_.push_back(std::make_unique_for_overwrite<uint8_t[]>(size));
    at_ = chunks_.back().get();
    end_ = at_ + size;
    bytes_ += size + kMallocHeader;
  }

  uint8_t* at_ = nullptr;
  uint8_t* end_ = nullptr;
  size_t bytes_ = 0;
  std::vector<std::unique_ptr<uint8_t[]>> chunks_;
};

// Elements of equal size, found by their index.
//
//   directory_ ──> [chunk 0] [chunk 1] ...   chunks of equal size; a larger directory replaces a full one
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
