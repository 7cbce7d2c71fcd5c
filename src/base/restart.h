// Containers that are filled anew for each request, and keep their memory from one to the next.
#pragma once

#include <cstddef>

namespace mi {

// Memory above this is kept only while it is in use: what one monstrous request took is not kept for ever.
inline constexpr size_t kHugeBytes = 4 << 20;
inline constexpr size_t kHugeBuckets = 1 << 16;

// Empties a vector or string for its next use. Its memory goes when it is huge and the last use took little of it.
template <typename Array>
  requires requires(const Array& array) { array.capacity(); }
void Restart(Array& array) {
  const size_t bytes = array.capacity() * sizeof(typename Array::value_type);
  if (bytes > kHugeBytes && array.size() < array.capacity() / 8) {
    Array().swap(array);  // a string that is assigned a short one keeps its memory
  } else {
    array.clear();
  }
}

// The same for a set or map of hashes: to clear one costs all of its buckets, however few are in use.
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
