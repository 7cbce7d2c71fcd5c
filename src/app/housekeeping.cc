#include "app/housekeeping.h"

#include <algorithm>

namespace mi::app {

using std::chrono::steady_clock;

Housekeeping::~Housekeeping() { Stop(); }

void Housekeeping::Every(std::function<std::chrono::milliseconds()> interval, std::function<void()> task) {
  tasks_.push_back({std::move(interval), std::move(task), {}});
}

void Housekeeping::Start() {
  for (Task& task : tasks_) task.due = steady_clock::now() + task.interval();
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
  while (!tasks_.empty()) {
    Task& next = *std::ranges::min_element(tasks_, {}, &Task::due);
    if (!WaitUntil(next.due)) return;
    next.run();
    next.due = steady_clock::now() + next.interval();
  }
}

bool Housekeeping::WaitUntil(steady_clock::time_point due) {
  MutexLock lock(mutex_);
  while (!stopping_ && steady_clock::now() < due) stop_.WaitUntil(mutex_, due);
  return !stopping_;
}

}  // namespace mi::app
