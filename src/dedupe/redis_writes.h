// Tells Redis what is durable: pipelines of SET EX over several connections. What comes is on its way at once; while a
// pipeline is under way the next one gathers, until it is full or has waited for long enough.
//
// Threads: safe; one thread a connection. Those that are too many after a Resize wait without one, until it is wanted
// again or until Stop(): one of them may stand in a wait for Redis, and who reloads must not wait with it.
// While Redis is away a pipeline waits for it; what is told meanwhile waits up to a bound, beyond it is dropped and
// counted. What Redis refuses (no memory, read-only) is dropped and counted at once.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "dedupe/redis_line.h"
#include "dedupe/redis_parts.h"
#include "model/fingerprint.h"

namespace mi::dedupe {

class RedisWrites {
 public:
  RedisWrites(size_t connections, RedisParts deps);
  ~RedisWrites();

  void Add(std::span<const model::Fingerprint> fingerprints) EXCLUDES(mutex_);

  // More or fewer connections; never waits: those that go finish what they have in hand. Confined to one thread at a
  // time.
  void Resize(size_t connections) EXCLUDES(mutex_);

  // No longer waits for pipelines to fill. Afterwards AwaitFlushed, raise the interrupt, Stop.
  void Finish() EXCLUDES(mutex_);
  void AwaitFlushed(std::chrono::steady_clock::time_point deadline) EXCLUDES(mutex_);
  // Ends the threads; what is left is dropped and counted.
  void Stop() EXCLUDES(mutex_);

 private:
  using Fingerprints = std::vector<model::Fingerprint>;
  // Keys that came together, and when they must be on their way.
  struct Run {
    size_t keys;
    std::chrono::steady_clock::time_point flush_by;
  };

  void Work(size_t number) EXCLUDES(mutex_);
  // The next pipeline; nothing when this thread is to end. A thread that is too many gives its connection up meanwhile.
  Fingerprints Take(size_t number, RedisLine& line) EXCLUDES(mutex_);
  // False when there is no memory for them.
  bool Keep(std::span<const model::Fingerprint> fingerprints, std::chrono::milliseconds longest) REQUIRES(mutex_);
  Fingerprints TakeKeys() REQUIRES(mutex_);
  bool ReadyToFlush() REQUIRES(mutex_);
  void Flush(const Fingerprints& pipeline, RedisLine& line, std::mt19937_64& random);
  void Drop(size_t keys) { deps_.metrics.dropped.Add(static_cast<double>(keys)); }

  const RedisParts deps_;
  Mutex mutex_;
  CondVar changed_;
  CondVar wanted_;  // for threads that are too many: on changed_ they would take others' notices
  std::deque<model::Fingerprint> keys_ GUARDED_BY(mutex_);
  std::deque<Run> runs_ GUARDED_BY(mutex_);  // of keys_, in order
  size_t connections_ GUARDED_BY(mutex_);
  size_t busy_ GUARDED_BY(mutex_) = 0;
  bool finishing_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;  // by number; never fewer
};

}  // namespace mi::dedupe
