// Collects ordinals in any order, and repeated ones, and makes a SeriesSet of them. They are plain bits until they are
// compressed at the end. Takes 8 KB for every 65,536 ordinals among which there is one in the set.
//
// Threads: compatible.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "catalog/series_set.h"

namespace mi::catalog {

// The number of ordinals in a window of the postings (postings.h): a quarter of a block of a compressed bitmap.
inline constexpr uint32_t kWindow = 1U << 14;
inline constexpr uint32_t kWindowWords = kWindow / 64;

// Sets the bits [begin, begin + count).
void SetBits(uint64_t* words, uint32_t begin, uint32_t count);

class SetBuilder {
 public:
  // For ordinals below `series`.
  explicit SetBuilder(uint32_t series) : blocks_((uint64_t{series} + kBlock - 1) / kBlock) {}

  // The words of a window (kWindowWords of them), to set bits in.
  uint64_t* Window(uint32_t window) {
    return Words(window / kWindowsInBlock) + window % kWindowsInBlock * kWindowWords;
  }
  void Add(Ordinal ordinal) { Words(ordinal / kBlock)[ordinal % kBlock / 64] |= uint64_t{1} << ordinal % 64; }

  SeriesSet Build() const;

 private:
  static constexpr uint32_t kBlock = 1U << 16;
  static constexpr uint32_t kBlockWords = kBlock / 64;
  static constexpr uint32_t kWindowsInBlock = kBlock / kWindow;
  using Block = std::array<uint64_t, kBlockWords>;

  uint64_t* Words(uint32_t block) {
    if (blocks_[block] == nullptr) blocks_[block] = std::make_unique<Block>();
    return blocks_[block]->data();
  }

  std::vector<std::unique_ptr<Block>> blocks_;
};

}  // namespace mi::catalog
