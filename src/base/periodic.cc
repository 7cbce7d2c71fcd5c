#include "base/periodic.h"

#include <algorithm>
#include <utility>

namespace mi {

using std::chrono::steady_clock;

Periodic::Periodic(std::function<std::chrono::milliseconds()> interval, std::function<void()> task)
    : interval_(std::move(interval)), task_(std::move(task)), thread_([this] { Run(); }) {}

void Periodic::RunSoon() {
  {
    MutexLock lock(mutex_);
    run_soon_ = true;
  }
  changed_.NotifyAll();
}

void Periodic::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void Periodic::Run() {
  while (WaitForTurn()) task_();
}

// Sleeps in steps of at most one second, and asks for the interval after each: an interval that a reload shortens takes
// effect within a second.
bool Periodic::WaitForTurn() {
  constexpr std::chrono::seconds kLongestStep{1};
  const auto begin = steady_clock::now();
  MutexLock lock(mutex_);
  while (!stopping_ && !run_soon_) {
    const auto due = begin + interval_();
    const auto now = steady_clock::now();
    if (now >= due) break;
    changed_.WaitUntil(mutex_, std::min(due, now + kLongestStep));
  }
  run_soon_ = false;
  return !stopping_;
}

}  // namespace mi
