// Calls a task again and again, on a thread of its own.
#pragma once

#include <chrono>
#include <functional>
#include <thread>

#include "base/mutex.h"

namespace mi {

// Threads: safe, except that Stop() and the destructor must not be called by the task itself.
class Periodic {
 public:
  // The first call comes after one interval. `interval` is asked again at least once per second, so it may change.
  Periodic(std::function<std::chrono::milliseconds()> interval, std::function<void()> task);
  Periodic(std::chrono::milliseconds interval, std::function<void()> task)
      : Periodic([interval] { return interval; }, std::move(task)) {}
  ~Periodic() { Stop(); }
  Periodic(const Periodic&) = delete;
  Periodic& operator=(const Periodic&) = delete;

  // Calls the task as soon as possible instead of waiting for the rest of the interval.
  void RunSoon() EXCLUDES(mutex_);
  // Waits for a task that runs; none runs afterwards. Idempotent.
  void Stop() EXCLUDES(mutex_);

 private:
  void Run() EXCLUDES(mutex_);
  // Returns false when stopping.
  bool WaitForTurn() EXCLUDES(mutex_);

  const std::function<std::chrono::milliseconds()> interval_;
  const std::function<void()> task_;
  Mutex mutex_;
  CondVar changed_;
  bool run_soon_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace mi
