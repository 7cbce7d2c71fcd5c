// Memory for bytes that are written once and never moved. It is freed as a whole.
//
// Threads: one writer. Readers follow pointers that were published to them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace mi::catalog {

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
  static constexpr size_t kMallocHeader = 16;

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

}  // namespace mi::catalog
