#include "base/deadline_timer.h"

namespace mi {

using std::chrono::steady_clock;

const Clock& DeadlineTimer::SystemSteady() {
  static const SystemClock clock;
  return clock;
}

DeadlineTimer::DeadlineTimer(const Clock& clock) : clock_(clock), thread_([this] { Run(); }) {}

DeadlineTimer::~DeadlineTimer() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

DeadlineTimer::Id DeadlineTimer::At(steady_clock::time_point deadline, Callback callback) {
  bool first = false;
  Id id = 0;
  {
    MutexLock lock(mutex_);
    id = ++last_id_;
    const auto at = pending_.emplace(std::pair(deadline, id), std::move(callback)).first;
    deadlines_.emplace(id, deadline);
    first = at == pending_.begin();
  }
  if (first) changed_.NotifyAll();
  return id;
}

bool DeadlineTimer::Cancel(Id id) {
  Callback cancelled;  // destroyed after the lock is released
  MutexLock lock(mutex_);
  const auto at = deadlines_.find(id);
  if (at == deadlines_.end()) return false;
  cancelled = std::move(pending_.extract(std::pair(at->second, id)).mapped());
  deadlines_.erase(at);
  return true;
}

void DeadlineTimer::FireAll() {
  decltype(pending_) all;
  {
    MutexLock lock(mutex_);
    all.swap(pending_);
    deadlines_.clear();
  }
  for (auto& [key, callback] : all) callback();
}

// Whether a deadline has passed is asked of the clock; the thread sleeps by the machine's time. They differ only in
// tests, with a ManualClock.
void DeadlineTimer::Run() {
  mutex_.Lock();
  while (!stopping_) {
    if (pending_.empty()) {
      changed_.Wait(mutex_);
      continue;
    }
    const auto left = pending_.begin()->first.first - clock_.Steady();
    if (left > steady_clock::duration::zero()) {
      changed_.WaitUntil(mutex_, steady_clock::now() + left);
      continue;
    }
    auto due = pending_.extract(pending_.begin());
    deadlines_.erase(due.key().second);
    mutex_.Unlock();
    due.mapped()();
    due = {};
    mutex_.Lock();
  }
  mutex_.Unlock();
}

}  // namespace mi
