// A value that is replaced as a whole while other threads read it: options that change without a restart.
#pragma once

#include <memory>
#include <utility>

#include "base/mutex.h"

namespace mi {

// Threads: safe. A reader may keep the value that it got for as long as it needs.
template <typename T>
class Live {
 public:
  explicit Live(T value) : value_(std::make_shared<const T>(std::move(value))) {}

  std::shared_ptr<const T> Get() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return value_;
  }
  void Set(T value) EXCLUDES(mutex_) {
    auto fresh = std::make_shared<const T>(std::move(value));
    MutexLock lock(mutex_);
    value_.swap(fresh);
  }

 private:
  mutable Mutex mutex_;
  std::shared_ptr<const T> value_ GUARDED_BY(mutex_);
};

}  // namespace mi
