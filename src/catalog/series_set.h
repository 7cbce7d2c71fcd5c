// A set of series of one snapshot, as a compressed bitmap over their ordinals.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace mi::catalog {

// The dense number of a series within one process, ascending with its id. Never stored, never shown.
using Ordinal = uint32_t;

// A value: copies are deep; of one that was moved from, only assignment and destruction. Threads: compatible.
class SeriesSet {
 public:
  SeriesSet();
  // Every ordinal in [begin, end).
  static SeriesSet Range(uint64_t begin, uint64_t end);
  SeriesSet(const SeriesSet&);
  SeriesSet(SeriesSet&&) noexcept;
  SeriesSet& operator=(SeriesSet) noexcept;
  ~SeriesSet();

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

  // Ascending; a visitor that returns false ends it.
  void ForEach(const std::function<bool(Ordinal)>& visit) const;

 private:
  friend class SetBuilder;
  struct Bitmap;
  explicit SeriesSet(std::unique_ptr<Bitmap> bitmap);
  std::unique_ptr<Bitmap> bitmap_;
};

}  // namespace mi::catalog
