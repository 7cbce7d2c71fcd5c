// The look-up side of the Redis tier: asks for the series of several requests together, in pipelined MGETs.
//
// Threads: safe. One thread per connection; it also gives the answers.
// Bounds: what waits is bounded in series and in bytes, and every look-up is answered within redis.timeout.
#pragma once

#include <deque>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "dedupe/redis/health.h"
#include "dedupe/shared_tier.h"

namespace mi::dedupe {

class RedisLookups {
 public:
  RedisLookups(size_t connections, RedisShared shared);
  ~RedisLookups() { Stop(); }

  // As SharedTier::Lookup. Never blocks.
  void Add(std::vector<model::Fingerprint> fingerprints, size_t held_bytes, SharedTier::Answer answer) EXCLUDES(mutex_);

  // Ends the threads and answers what waits with an error. Request `shared.stop` before, or Stop() waits for the
  // look-ups that are under way. Idempotent.
  void Stop() EXCLUDES(mutex_);

 private:
  struct Lookup {
    std::vector<model::Fingerprint> fingerprints;
    size_t held_bytes;
    SharedTier::Answer answer;
    RedisConnection::Deadline deadline;
  };
  using Lookups = std::vector<Lookup>;

  void Run() EXCLUDES(mutex_);
  bool Take(size_t max_keys, Lookups& batch, Lookups& late) EXCLUDES(mutex_);
  Lookup TakeFirst() REQUIRES(mutex_);
  void AnswerBatch(Lookups& batch, RedisConnection& connection, size_t keys_per_command);
  void Refuse(Lookup& lookup, const Error& error);

  const RedisShared shared_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Lookup> waiting_ GUARDED_BY(mutex_);
  size_t waiting_keys_ GUARDED_BY(mutex_) = 0;
  size_t waiting_bytes_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace mi::dedupe
