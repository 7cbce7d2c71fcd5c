#include "receive/answer_deadlines.h"

#include <algorithm>
#include <exception>

namespace mi::receive {

using std::chrono::steady_clock;

namespace {

void Expire(Expirable& waiting) {
  try {
    waiting.Expire();
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch)
    // No memory to answer with. The others that wait are told all the same.
  }
}

}  // namespace

AnswerDeadlines::AnswerDeadlines(const Clock& clock) : clock_(clock), thread_([this] { Run(); }) {}

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
  const auto deadline = clock_.Steady() + timeout;
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
    if (const auto waiting = entry.waiting.lock()) Expire(*waiting);
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
    const auto left = entries_.front().deadline - clock_.Steady();
    if (left > steady_clock::duration::zero()) {
      changed_.WaitUntil(mutex_,
                         steady_clock::now() + left);  // sleeping is the machine's; what the time is, the clock's
      continue;
    }
    const auto waiting = entries_.front().waiting.lock();
    entries_.pop_front();
    if (waiting == nullptr) continue;
    mutex_.Unlock();
    Expire(*waiting);
    mutex_.Lock();
  }
  mutex_.Unlock();
}

}  // namespace mi::receive
