#include "app/housekeeping.h"

#include <algorithm>

namespace mi::app {

using std::chrono::steady_clock;

Housekeeping::~Housekeeping() { Stop(); }

void Housekeeping::Every(std::function<std::chrono::milliseconds()> interval, std::function<void()> task) {
  tasks_.push_back({std::move(interval), std::move(task), {}});
}

void Housekeeping::Start() {
  for (Task& task : tasks_) task.waits_since = steady_clock::now();
  thread_ = std::thread([this] { Run(); });
}

void Housekeeping::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  stop_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void Housekeeping::Run() {
  const auto due = [](const Task& task) { return task.waits_since + task.interval(); };
  while (!tasks_.empty()) {
    Task& next = *std::ranges::min_element(tasks_, {}, due);
    // Not all of it at once: the interval may change meanwhile.
    const auto look_at = std::min(due(next), steady_clock::now() + kHealthInterval);
    if (!WaitUntil(look_at)) return;
    if (steady_clock::now() < due(next)) continue;
    next.run();
    next.waits_since = steady_clock::now();
  }
}

bool Housekeeping::WaitUntil(steady_clock::time_point due) {
  MutexLock lock(mutex_);
  while (!stopping_ && steady_clock::now() < due) stop_.WaitUntil(mutex_, due);
  return !stopping_;
}

}  // namespace mi::app
