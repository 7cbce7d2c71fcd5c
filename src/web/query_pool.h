// The threads on which queries run, so that none of them holds up the writes that share the process.
#pragma once

#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"

namespace mi::web {

enum class Turn { kRun, kRefused };

// Threads: safe. Ownership: what waits at the end is still run, so that each request gets its answer.
class QueryPool {
 public:
  // Called exactly once.
  using Job = std::move_only_function<void(Turn)>;

  QueryPool(unsigned threads, size_t queue_capacity);
  ~QueryPool();
  QueryPool(const QueryPool&) = delete;
  QueryPool& operator=(const QueryPool&) = delete;

  // Takes no more, answers what waits, ends the threads. Called once or left to the destructor.
  void Stop();
  // Runs `job` on a thread of the pool; refuses it, on the caller's thread, when the queue is full.
  void Run(Job job);

 private:
  BoundedQueue<Job> queue_;
  std::vector<std::thread> threads_;
};

}  // namespace mi::web
