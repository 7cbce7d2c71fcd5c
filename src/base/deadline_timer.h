// Calls functions at given moments, on one thread for all of them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"

namespace mi {

// Threads: safe. Callbacks run on the timer's thread, or on that of FireAll(), without a lock, in the order of their
// deadlines; they should be quick, and may call At() and Cancel().
class DeadlineTimer {
 public:
  using Callback = std::move_only_function<void()>;
  using Id = uint64_t;  // never 0

  DeadlineTimer() : DeadlineTimer(SystemSteady()) {}
  explicit DeadlineTimer(const Clock& clock);  // outlives the timer
  ~DeadlineTimer();                            // callbacks that are still pending are destroyed, not called
  DeadlineTimer(const DeadlineTimer&) = delete;
  DeadlineTimer& operator=(const DeadlineTimer&) = delete;

  // `deadline` is a time of the clock's Steady().
  Id At(std::chrono::steady_clock::time_point deadline, Callback callback) EXCLUDES(mutex_);
  Id After(std::chrono::milliseconds time, Callback callback) {
    return At(clock_.Steady() + time, std::move(callback));
  }
  // Returns true if the callback had not begun; it is then destroyed. False if it ran, runs, or was cancelled.
  bool Cancel(Id id) EXCLUDES(mutex_);
  // Calls everything that is pending now, on the caller's thread.
  void FireAll() EXCLUDES(mutex_);

 private:
  static const Clock& SystemSteady();
  void Run() EXCLUDES(mutex_);

  const Clock& clock_;
  Mutex mutex_;
  CondVar changed_;
  std::map<std::pair<std::chrono::steady_clock::time_point, Id>, Callback> pending_ GUARDED_BY(mutex_);
  std::map<Id, std::chrono::steady_clock::time_point> deadlines_ GUARDED_BY(mutex_);  // of what is pending
  Id last_id_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace mi
