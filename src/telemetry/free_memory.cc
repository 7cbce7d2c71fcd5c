#include "telemetry/free_memory.h"

#include <algorithm>
#include <chrono>

#if MI_PROFILER
#include <gperftools/malloc_extension.h>
#endif

#include "base/available_memory.h"

namespace mi::telemetry {

namespace {

constexpr size_t kAlwaysKept = 4 << 20;  // bytes of free pages
constexpr std::chrono::milliseconds kBetweenLooks{250};
constexpr int kLooksPerReturn = 8;
// The allocator's lock is held while pages are returned, and whoever needs pages waits meanwhile.
constexpr size_t kSliceBytes = 8 << 20;

#if MI_PROFILER
// Of all threads together. What a thread keeps for itself is never returned, and gperftools' default is 32 MB. Threads
// that answer known series allocate nothing, so that less costs them nothing.
constexpr size_t kThreadCacheBytes = 4 << 20;

void LimitThreadCaches() {
  MallocExtension::instance()->SetNumericProperty("tcmalloc.max_total_thread_cache_bytes", kThreadCacheBytes);
}
size_t FreeBytes() {
  size_t bytes = 0;
  MallocExtension::instance()->GetNumericProperty("tcmalloc.pageheap_free_bytes", &bytes);
  return bytes;
}
void Return(size_t bytes) { MallocExtension::instance()->ReleaseToSystem(bytes); }
#else
void LimitThreadCaches() {}
size_t FreeBytes() { return 0; }
void Return(size_t) {}
#endif

}  // namespace

FreeMemory::FreeMemory()
    : most_kept_(std::max<size_t>(kAlwaysKept, AvailableMemory() / 16)),
      least_free_(FreeBytes()),
      periodic_(kBetweenLooks, [this] { ReturnUnused(); }) {
  LimitThreadCaches();
}

void FreeMemory::ReturnUnused() {
  const size_t free = FreeBytes();
  least_free_ = std::min(least_free_, free);
  size_t unneeded = free - std::min(free, most_kept_);
  if (++looks_ == kLooksPerReturn) {
    looks_ = 0;
    unneeded = std::max(unneeded, least_free_ - std::min(least_free_, kAlwaysKept));
    least_free_ = free - unneeded;
  }
  for (size_t left = unneeded; left > 0; left -= std::min(left, kSliceBytes)) Return(std::min(left, kSliceBytes));
}

}  // namespace mi::telemetry
