// What a SeriesSet is made of; for the .cc files of this room.
#pragma once

#include <roaring/roaring.h>

#include <new>

#include "catalog/series_set.h"

namespace mi::catalog {

// Owns the library's handle.
struct SeriesSet::Bitmap {
  explicit Bitmap(roaring_bitmap_t* taken) : handle(taken) {
    if (handle == nullptr) throw std::bad_alloc();
  }
  Bitmap(const Bitmap&) = delete;
  Bitmap& operator=(const Bitmap&) = delete;
  ~Bitmap() { roaring_bitmap_free(handle); }

  roaring_bitmap_t* handle;
};

}  // namespace mi::catalog
