#include "catalog/series_set.h"

#include <roaring/roaring.h>

#include <array>

#include "base/fatal.h"

namespace mi::catalog {

void SeriesSet::Free::operator()(roaring_bitmap_s* bitmap) const { roaring_bitmap_free(bitmap); }

SeriesSet::SeriesSet(roaring_bitmap_s* owned) : bitmap_(owned) {
  if (owned == nullptr) OutOfMemory();
}
SeriesSet::SeriesSet() : SeriesSet(roaring_bitmap_create()) {}
SeriesSet::SeriesSet(const SeriesSet& other) : SeriesSet(roaring_bitmap_copy(other.bitmap_.get())) {}

SeriesSet SeriesSet::Range(uint64_t begin, uint64_t end) {
  if (begin >= end) return {};
  return SeriesSet(roaring_bitmap_from_range(begin, end, 1));
}

void SeriesSet::Add(Ordinal ordinal) { roaring_bitmap_add(bitmap_.get(), ordinal); }

SeriesSet& SeriesSet::operator&=(const SeriesSet& other) {
  if (this != &other) roaring_bitmap_and_inplace(bitmap_.get(), other.bitmap_.get());
  return *this;
}

SeriesSet& SeriesSet::operator|=(const SeriesSet& other) {
  if (this != &other) roaring_bitmap_or_inplace(bitmap_.get(), other.bitmap_.get());
  return *this;
}

SeriesSet& SeriesSet::operator-=(const SeriesSet& other) {
  if (this == &other) return *this = SeriesSet();
  roaring_bitmap_andnot_inplace(bitmap_.get(), other.bitmap_.get());
  return *this;
}

bool SeriesSet::empty() const { return roaring_bitmap_is_empty(bitmap_.get()); }
uint64_t SeriesSet::size() const { return roaring_bitmap_get_cardinality(bitmap_.get()); }
bool SeriesSet::Contains(Ordinal ordinal) const { return roaring_bitmap_contains(bitmap_.get(), ordinal); }
bool SeriesSet::Intersects(const SeriesSet& other) const {
  return roaring_bitmap_intersect(bitmap_.get(), other.bitmap_.get());
}
uint64_t SeriesSet::CountIn(const SeriesSet& other) const {
  return roaring_bitmap_and_cardinality(bitmap_.get(), other.bitmap_.get());
}
uint64_t SeriesSet::CountInRange(uint64_t begin, uint64_t end) const {
  return roaring_bitmap_range_cardinality(bitmap_.get(), begin, end);
}

void SeriesSet::ForEach(const std::function<bool(Ordinal)>& visit) const {
  roaring_uint32_iterator_t iterator;
  roaring_init_iterator(bitmap_.get(), &iterator);
  std::array<uint32_t, 256> buffer;
  for (;;) {
    const uint32_t count = roaring_read_uint32_iterator(&iterator, buffer.data(), buffer.size());
    for (uint32_t i = 0; i < count; ++i) {
      if (!visit(buffer[i])) return;
    }
    if (count < buffer.size()) return;
  }
}

}  // namespace mi::catalog
