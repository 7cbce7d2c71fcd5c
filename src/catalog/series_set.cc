#include "catalog/series_set.h"

#include <array>
#include <utility>

#include "catalog/series_bitmap.h"

namespace mi::catalog {

SeriesSet::SeriesSet() : bitmap_(std::make_unique<Bitmap>(roaring_bitmap_create())) {}
SeriesSet::SeriesSet(std::unique_ptr<Bitmap> bitmap) : bitmap_(std::move(bitmap)) {}
SeriesSet::SeriesSet(const SeriesSet& other)
    : bitmap_(std::make_unique<Bitmap>(roaring_bitmap_copy(other.bitmap_->handle))) {}
SeriesSet::SeriesSet(SeriesSet&&) noexcept = default;
SeriesSet& SeriesSet::operator=(SeriesSet other) noexcept {
  std::swap(bitmap_, other.bitmap_);
  return *this;
}
SeriesSet::~SeriesSet() = default;

SeriesSet SeriesSet::Range(uint64_t begin, uint64_t end) {
  if (begin >= end) return {};
  return SeriesSet(std::make_unique<Bitmap>(roaring_bitmap_from_range(begin, end, 1)));
}

void SeriesSet::Add(Ordinal ordinal) { roaring_bitmap_add(bitmap_->handle, ordinal); }

SeriesSet& SeriesSet::operator&=(const SeriesSet& other) {
  if (this != &other) roaring_bitmap_and_inplace(bitmap_->handle, other.bitmap_->handle);
  return *this;
}

SeriesSet& SeriesSet::operator|=(const SeriesSet& other) {
  if (this != &other) roaring_bitmap_or_inplace(bitmap_->handle, other.bitmap_->handle);
  return *this;
}

SeriesSet& SeriesSet::operator-=(const SeriesSet& other) {
  if (this == &other) return *this = SeriesSet();
  roaring_bitmap_andnot_inplace(bitmap_->handle, other.bitmap_->handle);
  return *this;
}

bool SeriesSet::empty() const { return roaring_bitmap_is_empty(bitmap_->handle); }
uint64_t SeriesSet::size() const { return roaring_bitmap_get_cardinality(bitmap_->handle); }
bool SeriesSet::Contains(Ordinal ordinal) const { return roaring_bitmap_contains(bitmap_->handle, ordinal); }
bool SeriesSet::Intersects(const SeriesSet& other) const {
  return roaring_bitmap_intersect(bitmap_->handle, other.bitmap_->handle);
}
uint64_t SeriesSet::CountIn(const SeriesSet& other) const {
  return roaring_bitmap_and_cardinality(bitmap_->handle, other.bitmap_->handle);
}
uint64_t SeriesSet::CountInRange(uint64_t begin, uint64_t end) const {
  return roaring_bitmap_range_cardinality(bitmap_->handle, begin, end);
}

void SeriesSet::ForEach(const std::function<bool(Ordinal)>& visit) const {
  roaring_uint32_iterator_t iterator;
  roaring_init_iterator(bitmap_->handle, &iterator);
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
