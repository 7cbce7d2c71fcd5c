// For containers that each request fills again: empties them, but keeps their memory up to a bound.
#pragma once

#include <cstddef>

namespace mi {

// Memory above these bounds is kept only while requests use it, so that one huge request does not hold it forever.
inline constexpr size_t kHugeBytes = 4 << 20;
inline constexpr size_t kHugeBuckets = 1 << 16;

// Empties a vector or string for its next use. Frees its memory if it is huge and the last use needed little of it.
template <typename Array>
  requires requires(const Array& array) { array.capacity(); }
void Restart(Array& array) {
  const size_t bytes = array.capacity() * sizeof(typename Array::value_type);
  if (bytes > kHugeBytes && array.size() < array.capacity() / 8) {
    Array().swap(array);  // assigning an empty string would keep the memory
  } else {
    array.clear();
  }
}

// The same for a hash set or map. Clearing one costs time for all of its buckets, however few are in use.
template <typename Table>
  requires requires(const Table& table) { table.bucket_count(); }
void Restart(Table& table) {
  if (table.bucket_count() > kHugeBuckets) {
    Table().swap(table);
  } else {
    table.clear();
  }
}

}  // namespace mi
