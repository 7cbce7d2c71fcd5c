// Memory that runs out where a test wants it: operator new of the whole test binary refuses large blocks for a while.
#pragma once

#include <cstddef>

namespace mi::tests {

// While it lives, `new` of at least `refused_bytes` throws std::bad_alloc, on every thread. One at a time.
class ScarceMemory {
 public:
  // Where it cannot be had, a test is skipped: ThreadSanitizer has an operator new of its own.
#ifdef MI_SANITIZES_THREAD
  static constexpr bool kToBeHad = false;
#else
  static constexpr bool kToBeHad = true;
#endif

  explicit ScarceMemory(size_t refused_bytes);
  ~ScarceMemory();
  ScarceMemory(const ScarceMemory&) = delete;
  ScarceMemory& operator=(const ScarceMemory&) = delete;

  size_t refusals() const;  // a test that saw none has tested nothing
};

}  // namespace mi::tests
