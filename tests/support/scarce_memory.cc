#include "support/scarce_memory.h"

#include <atomic>
#include <cstdlib>
#include <limits>
#include <new>

namespace mi::tests {
namespace {

constexpr size_t kAllIsGiven = std::numeric_limits<size_t>::max();
std::atomic<size_t> refused_bytes = kAllIsGiven;
std::atomic<size_t> refused_times = 0;

}  // namespace

ScarceMemory::ScarceMemory(size_t from_bytes) {
  refused_times = 0;
  refused_bytes = from_bytes;
}

ScarceMemory::~ScarceMemory() { refused_bytes = kAllIsGiven; }

size_t ScarceMemory::refusals() const { return refused_times; }

#ifndef MI_SANITIZES_THREAD
static void* Give(size_t bytes) {
  if (bytes < refused_bytes.load(std::memory_order_relaxed)) {
    if (void* const block = std::malloc(bytes)) return block;
  }
  ++refused_times;
  throw std::bad_alloc();
}
#endif

}  // namespace mi::tests

#ifndef MI_SANITIZES_THREAD
// Those of arrays come here by themselves; nothrow is AddressSanitizer's own, unless it stands here as well.
void* operator new(size_t bytes) { return mi::tests::Give(bytes); }
void* operator new(size_t bytes, const std::nothrow_t& /*tag*/) noexcept {
  try {
    return mi::tests::Give(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, size_t) noexcept { std::free(block); }
#endif
