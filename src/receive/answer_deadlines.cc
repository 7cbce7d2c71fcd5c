#include "receive/answer_deadlines.h"

#include <algorithm>

namespace mi::receive {

using std::chrono::steady_clock;

AnswerDeadlines::AnswerDeadlines() : thread_([this] { Run(); }) {}

AnswerDeadlines::~AnswerDeadlines() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
  ExpireAll();
}

void AnswerDeadlines::Watch(std::weak_ptr<Expirable> waiting, std::chrono::milliseconds timeout) {
  MutexLock lock(mutex_);
  // What has been answered goes as new ones come, so that only those that wait take memory.
  while (!entries_.empty() && entries_.front().waiting.expired()) entries_.pop_front();
  const auto deadline = steady_clock::now() + timeout;
  // In order also when the time-out was made shorter while others waited.
  const auto later = std::ranges::upper_bound(entries_, deadline, {}, &Entry::deadline);
  const bool first = later == entries_.begin();
  entries_.insert(later, {deadline, std::move(waiting)});
  if (first) changed_.NotifyAll();
}

void AnswerDeadlines::ExpireAll() {
  std::deque<Entry> entries;
  {
    MutexLock lock(mutex_);
    entries.swap(entries_);
  }
  for (const Entry& entry : entries) {
    if (const auto waiting = entry.waiting.lock()) waiting->Expire();
  }
}

void AnswerDeadlines::Run() {
  mutex_.Lock();
  while (!stopping_) {
    while (!entries_.empty() && entries_.front().waiting.expired()) entries_.pop_front();
    if (entries_.empty()) {
      changed_.Wait(mutex_);
      continue;
    }
    const auto deadline = entries_.front().deadline;
    if (steady_clock::now() < deadline) {
      changed_.WaitUntil(mutex_, deadline);
      continue;
    }
    const auto waiting = entries_.front().waiting.lock();
    entries_.pop_front();
    if (waiting == nullptr) continue;
    mutex_.Unlock();
    waiting->Expire();
    mutex_.Lock();
  }
  mutex_.Unlock();
}

}  // namespace mi::receive
