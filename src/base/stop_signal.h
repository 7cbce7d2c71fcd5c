// Asked to stop, once; ends every wait at once.
#pragma once

#include <chrono>

#include "base/mutex.h"

namespace mi {

// Threads: safe.
class StopSignal {
 public:
  void Request() EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      requested_ = true;
    }
    changed_.NotifyAll();
  }
  bool requested() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return requested_;
  }
  // False when it was requested, before or meanwhile.
  bool WaitFor(std::chrono::milliseconds time) EXCLUDES(mutex_) {
    const auto deadline = std::chrono::steady_clock::now() + time;
    MutexLock lock(mutex_);
    while (!requested_) {
      if (!changed_.WaitUntil(mutex_, deadline)) return !requested_;
    }
    return false;
  }

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  bool requested_ GUARDED_BY(mutex_) = false;
};

}  // namespace mi
