// Objects that are expensive to make, kept for reuse.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "base/mutex.h"

namespace mi {

// Gives out the object that was used last: its memory is likely to be in a cache still. Keeps as many objects as were
// ever in use at once. Threads: safe. Ownership: owns the free objects.
template <typename T>
class FreeList {
 public:
  // Null if none is free.
  std::unique_ptr<T> Take() EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    if (free_.empty()) return nullptr;
    std::unique_ptr<T> object = std::move(free_.back());
    free_.pop_back();
    return object;
  }
  void Put(std::unique_ptr<T> object) EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    free_.push_back(std::move(object));
  }

 private:
  Mutex mutex_;
  std::vector<std::unique_ptr<T>> free_ GUARDED_BY(mutex_);
};

}  // namespace mi
