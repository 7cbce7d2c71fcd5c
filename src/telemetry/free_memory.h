// Returns memory that a burst has used to the system. gperftools' allocator keeps freed pages for later, and gives them
// back so slowly that one burst would decide the size of the process for hours.
#pragma once

#include <cstddef>

#include "base/periodic.h"

namespace mi::telemetry {

// Every two seconds, returns the pages that were free at this look and at the one before. What a steady load frees and
// takes again between two looks is thus mostly kept. Without gperftools (builds with a sanitizer) it does nothing.
class FreeMemory {
 public:
  FreeMemory();

 private:
  void ReturnUnused();

  size_t free_before_ = 0;
  Periodic periodic_;  // last: its thread uses what is above
};

}  // namespace mi::telemetry
