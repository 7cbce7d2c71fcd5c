// The threads on which streamed answers make their chunks, so that a long computation holds up no connection.
#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace mi::net {

// Threads: safe. Bounded by its users: a connection has one job at a time.
class ChunkWorkers {
 public:
  using Job = std::move_only_function<void()>;

  explicit ChunkWorkers(unsigned threads);
  ~ChunkWorkers();  // finishes the jobs that run, drops those that wait

  void Run(Job job) EXCLUDES(mutex_);

 private:
  void Work() EXCLUDES(mutex_);

  Mutex mutex_;
  CondVar not_empty_;
  std::deque<Job> jobs_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace mi::net
