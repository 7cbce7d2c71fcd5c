// A set of series of one snapshot: a compressed bitmap (CRoaring) over their ordinals. And how it is built.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

struct roaring_bitmap_s;

namespace mi::catalog {

// The dense number of a series within one process, in the order in which series were read. Never stored, never shown.
using Ordinal = uint32_t;

// A value: copies are deep. A set that was moved from can only be assigned to or destroyed. Threads: compatible.
class SeriesSet {
 public:
  SeriesSet();
  // Every ordinal in [begin, end).
  static SeriesSet Range(uint64_t begin, uint64_t end);
  SeriesSet(const SeriesSet&);
  SeriesSet(SeriesSet&&) noexcept = default;
  SeriesSet& operator=(SeriesSet other) noexcept {
    bitmap_.swap(other.bitmap_);
    return *this;
  }

  void Add(Ordinal ordinal);
  SeriesSet& operator&=(const SeriesSet& other);
  SeriesSet& operator|=(const SeriesSet& other);
  SeriesSet& operator-=(const SeriesSet& other);

  bool empty() const;
  uint64_t size() const;
  bool Contains(Ordinal ordinal) const;
  bool Intersects(const SeriesSet& other) const;
  uint64_t CountIn(const SeriesSet& other) const;  // |this ∩ other|

  uint64_t CountInRange(uint64_t begin, uint64_t end) const;  // |this ∩ [begin, end)|

  bool IntersectsRange(uint64_t begin, uint64_t end) const;  // whether any ordinal of [begin, end) is in it

  // Visits in ascending order. A visitor that returns false ends it.
  void ForEach(const std::function<bool(Ordinal)>& visit) const;

 private:
  friend class SetBuilder;
  struct Free {
    void operator()(roaring_bitmap_s* bitmap) const;
  };
  explicit SeriesSet(roaring_bitmap_s* owned);

  std::unique_ptr<roaring_bitmap_s, Free> bitmap_;
};

// The number of ordinals in a window of the postings (postings.h): a quarter of a block of a compressed bitmap.
inline constexpr uint32_t kWindow = 1U << 14;
inline constexpr uint32_t kWindowWords = kWindow / 64;

// Sets the bits [begin, begin + count).
void SetBits(uint64_t* words, uint32_t begin, uint32_t count);

// Collects ordinals in any order, and repeated ones, and makes a SeriesSet of them. They are plain bits until they are
// compressed at the end. Takes 8 KB for every 65,536 ordinals among which there is one in the set.
//
// Threads: compatible.
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
