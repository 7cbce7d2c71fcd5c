// The write side of the Redis tier: tells Redis which series are durable, in pipelines of SETs over several
// connections. A series is sent at once while nothing is under way. Otherwise it waits until its pipeline is full, but
// at most flush_interval.
//
// Threads: safe. One thread per connection.
// Errors: while Redis is away, series wait, up to a bound. Series beyond the bound, and those that Redis refuses, are
//         dropped and counted.
#pragma once

#include <chrono>
#include <deque>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "dedupe/redis/health.h"

namespace mi::dedupe {

class RedisWrites {
 public:
  RedisWrites(size_t connections, RedisShared shared);
  ~RedisWrites() { Stop(); }

  void Add(std::span<const model::Fingerprint> fingerprints) EXCLUDES(mutex_);

  // Changes the number of connections. Never waits: a surplus thread finishes its pipeline, closes its connection and
  // sleeps until it is needed again. Confined to one thread at a time.
  void Resize(size_t connections) EXCLUDES(mutex_);

  // Sends what waits, without waiting for pipelines to fill, until the deadline or until Redis is away.
  void Drain(std::chrono::steady_clock::time_point deadline) EXCLUDES(mutex_);
  // Ends the threads; drops and counts what is left. Request `shared.stop` before, or Stop() waits for the pipelines
  // that are under way. Idempotent.
  void Stop() EXCLUDES(mutex_);

 private:
  using Fingerprints = std::vector<model::Fingerprint>;
  struct Waiting {
    model::Fingerprint fingerprint;
    std::chrono::steady_clock::time_point flush_by;
  };

  void Run(size_t number) EXCLUDES(mutex_);
  Fingerprints Take(size_t number, RedisConnection& connection) EXCLUDES(mutex_);
  bool ReadyToFlush() REQUIRES(mutex_);
  void Write(const Fingerprints& pipeline, RedisConnection& connection, std::mt19937_64& random);
  void Drop(size_t keys) { shared_.metrics.dropped.Add(static_cast<double>(keys)); }

  const RedisShared shared_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Waiting> waiting_ GUARDED_BY(mutex_);
  size_t connections_ GUARDED_BY(mutex_) = 0;
  size_t busy_ GUARDED_BY(mutex_) = 0;  // threads that send a pipeline
  bool draining_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;  // by number; at least `connections_`
};

}  // namespace mi::dedupe
