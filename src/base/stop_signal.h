// A request to stop, made once, which ends every wait for it at once.
#pragma once

#include <chrono>
#include <expected>

#include "base/file_descriptor.h"
#include "base/mutex.h"

namespace mi {

// Threads: safe. Costs one descriptor (an eventfd), so that a thread can wait for I/O and for the stop together.
class StopSignal {
 public:
  StopSignal();  // ends the process if there is no descriptor left
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  void Request() EXCLUDES(mutex_);
  bool requested() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return requested_;
  }

  // Sleeps. Returns false if the stop was requested before or meanwhile.
  bool WaitUntil(std::chrono::steady_clock::time_point deadline) const EXCLUDES(mutex_);
  bool WaitFor(std::chrono::milliseconds time) const { return WaitUntil(std::chrono::steady_clock::now() + time); }

  // Readable (POLLIN) once the stop is requested. Never read from it.
  int descriptor() const { return event_.get(); }

 private:
  const FileDescriptor event_;
  mutable Mutex mutex_;
  mutable CondVar changed_;
  bool requested_ GUARDED_BY(mutex_) = false;
};

enum class WaitEnd { kTimedOut, kStopped };

// Waits until `fd` is ready for one of `events` (POLLIN, POLLOUT) and returns the events that are ready, errors among
// them (poll(2), revents). A stop wins over readiness. A deadline in the past asks once, without waiting.
std::expected<short, WaitEnd> WaitReady(int fd, short events, std::chrono::steady_clock::time_point deadline,
                                        const StopSignal& stop);

}  // namespace mi
