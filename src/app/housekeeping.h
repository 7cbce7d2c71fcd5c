// What is done now and then, beside everything else, on one thread: sweeps, snapshots, figures.
#pragma once

#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace mi::app {

// How often /ready hears from the parts of a role.
inline constexpr std::chrono::milliseconds kHealthInterval{1'000};

// Threads: Every() before Start(); the destructor ends the thread after the task that runs.
class Housekeeping {
 public:
  Housekeeping() = default;
  ~Housekeeping();
  Housekeeping(const Housekeeping&) = delete;
  Housekeeping& operator=(const Housekeeping&) = delete;

  // `interval` is asked each second, so that it can change while the service runs.
  void Every(std::function<std::chrono::milliseconds()> interval, std::function<void()> task);
  void Start();
  void Stop() EXCLUDES(mutex_);

 private:
  struct Task {
    std::function<std::chrono::milliseconds()> interval;
    std::function<void()> run;
    std::chrono::steady_clock::time_point waits_since;
  };
  void Run() EXCLUDES(mutex_);
  bool WaitUntil(std::chrono::steady_clock::time_point due) EXCLUDES(mutex_);  // false: stopping

  std::vector<Task> tasks_;
  Mutex mutex_;
  CondVar stop_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace mi::app
