// Work that takes long, on threads of its own: a request that is large, or that contains many series, does not delay
// the requests of others, which share a thread of the server with it.
//
// The threads take one job of each peer in turn, and a peer leaves one thread to the others (base/fair_queue.h). So a
// peer with many long requests delays mainly itself. A job for which there is no room is refused at once (503).
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string_view>
#include <thread>
#include <vector>

#include "base/fair_queue.h"
#include "base/memory_budget.h"
#include "base/result.h"

namespace mi::receive {

struct LongWorkOptions {
  unsigned threads = 0;  // 0: one more than there are cores, so that a peer that leaves one can use every core
  size_t max_waiting = 1024;
  size_t max_waiting_per_peer = 128;
};

// Threads: safe. Ownership: owns the jobs that wait. What jobs refer to must outlive it.
class LongWork {
 public:
  // Called once: without an error on one of the threads, to be done; otherwise with kOverloaded or kUnavailable, on
  // the thread of Add() or Expire(), to be given up.
  using Job = std::move_only_function<void(Status)>;

  explicit LongWork(LongWorkOptions options = {});
  ~LongWork() { Stop(); }
  LongWork(const LongWork&) = delete;
  LongWork& operator=(const LongWork&) = delete;

  unsigned threads() const { return options_.threads; }

  // Never blocks. `peer`: whose turn it is.
  void Add(std::string_view peer, Job job);

  // For a stop: gives up the jobs that wait, and all later ones. Those that are being done go on.
  void Expire();
  // The same, then waits for those that are being done. Idempotent.
  void Stop();

 private:
  const LongWorkOptions options_;
  FairQueue<Job> jobs_;
  std::vector<std::thread> threads_;
};

// kOverloaded if a request has waited for longer than its sender waits for the answer. `timeout`:
// receive.answer_timeout.
Status CheckWaited(std::chrono::steady_clock::duration waited, std::chrono::milliseconds timeout);

// Takes memory that a request needs, beside what `hold` has and beside the `body_bytes` that its connection holds for
// it. kOverloaded: it must wait until others give some back. kTooLarge: it never fits, even alone.
Status TakeMemory(MemoryHold& hold, uint64_t bytes, uint64_t body_bytes = 0);

}  // namespace mi::receive
