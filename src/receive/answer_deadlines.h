// Answers requests whose series take too long to become durable, so that their senders repeat them.
//
// Threads: safe; a thread of its own watches the deadlines.
// Ownership: shares what it watches until it is answered or its time is up.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"

namespace mi::receive {

// One request that waits. Expire() may race with the answer: the first one counts.
class Expirable {
 public:
  virtual ~Expirable() = default;
  virtual void Expire() = 0;
};

class AnswerDeadlines {
 public:
  explicit AnswerDeadlines(const Clock& clock);  // which outlives it
  ~AnswerDeadlines();                            // expires all that still wait
  AnswerDeadlines(const AnswerDeadlines&) = delete;
  AnswerDeadlines& operator=(const AnswerDeadlines&) = delete;

  // Held weakly: what has been answered is forgotten as others come.
  void Watch(std::weak_ptr<Expirable> waiting, std::chrono::milliseconds timeout) EXCLUDES(mutex_);
  // For a stop: whoever still waits is told at once.
  void ExpireAll() EXCLUDES(mutex_);

 private:
  struct Entry {
    std::chrono::steady_clock::time_point deadline;
    std::weak_ptr<Expirable> waiting;
  };
  void Run() EXCLUDES(mutex_);

  const Clock& clock_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Entry> entries_ GUARDED_BY(mutex_);  // by deadline
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace mi::receive
