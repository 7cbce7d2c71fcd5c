// Returns memory that a burst has used to the system. gperftools' allocator keeps freed pages for later, and gives them
// back so slowly that one burst would decide the size of the process for hours.
#pragma once

#include <cstddef>

#include "base/periodic.h"

namespace mi::telemetry {

// Every two seconds, returns the pages that were free all the time. What a steady load frees and takes again is thus
// kept. What exceeds a sixteenth of the memory that the process may use is returned within a quarter of a second, so
// that free pages never fill a small container. Limits what the threads keep for themselves to 4 MB. Without gperftools
// (builds with a sanitizer) it does nothing.
class FreeMemory {
 public:
  FreeMemory();

 private:
  void ReturnUnused();

  const size_t most_kept_;
  size_t least_free_;  // since pages were last returned because nobody needed them
  int looks_ = 0;
  Periodic periodic_;  // last: its thread uses what is above
};

}  // namespace mi::telemetry
