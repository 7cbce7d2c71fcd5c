// A set of series of one snapshot: a compressed bitmap (CRoaring) over their ordinals.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

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

}  // namespace mi::catalog
