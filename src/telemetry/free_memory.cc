#include "telemetry/free_memory.h"

#include <algorithm>
#include <chrono>

#if MI_PROFILER
#include <gperftools/malloc_extension.h>
#endif

namespace mi::telemetry {

namespace {

constexpr size_t kAlwaysKept = 16 << 20;
// The allocator's lock is held while pages are returned, and whoever needs pages waits meanwhile.
constexpr size_t kSliceBytes = 8 << 20;

#if MI_PROFILER
size_t FreeBytes() {
  size_t bytes = 0;
  MallocExtension::instance()->GetNumericProperty("tcmalloc.pageheap_free_bytes", &bytes);
  return bytes;
}
void Return(size_t bytes) { MallocExtension::instance()->ReleaseToSystem(bytes); }
#else
size_t FreeBytes() { return 0; }
void Return(size_t) {}
#endif

}  // namespace

FreeMemory::FreeMemory() : periodic_(std::chrono::seconds(2), [this] { ReturnUnused(); }) {}

void FreeMemory::ReturnUnused() {
  const size_t unused = std::min(FreeBytes(), free_before_);
  for (size_t left = unused - std::min(unused, kAlwaysKept); left > 0; left -= std::min(left, kSliceBytes)) {
    Return(std::min(left, kSliceBytes));
  }
  free_before_ = FreeBytes();
}

}  // namespace mi::telemetry
