// A value that is replaced as a whole while others read it: the options that can change without a restart.
#pragma once

#include <memory>
#include <utility>

#include "base/mutex.h"

namespace mi {

// Threads: safe. A reader keeps what it got for as long as it likes.
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
