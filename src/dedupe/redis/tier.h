// Redis as the shared tier: the key of a series exists while some producer knows it to be durable
// (docs/formats/redis.md).
//
//   Lookup ───> queue ──> up to 4 connections ───> MGET       RedisHealth ──> 1 connection: a probe every second
//   Remember ─> queue ──> `workers` connections ─> SET EX     pool_size bounds their sum
//
// While Redis is away, look-ups fail at once and writes wait. Both queues are bounded: a look-up that does not fit is
// answered with an error; a series that does not fit is dropped and counted.
//
// Threads: safe. One thread per connection; only these threads wait for Redis, and they give the answers.
// Ownership: deps outlive it. The callbacks of look-ups must be safe to call until Drain() returns.
// Errors: none ends it. Health() says what is wrong and names the option.
#pragma once

#include <chrono>
#include <memory>

#include "base/live.h"
#include "base/stop_signal.h"
#include "dedupe/redis/health.h"
#include "dedupe/redis/options.h"
#include "dedupe/shared_tier.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::dedupe {

class RedisTier final : public SharedTier {
 public:
  struct Deps {
    telemetry::Logger& log;
    telemetry::Metrics& metrics;
  };

  // Connects in the background.
  RedisTier(RedisOptions options, const RedisWriteOptions& write_options, Deps deps);
  ~RedisTier() override;

  void Lookup(std::vector<model::Fingerprint> fingerprints, size_t held_bytes, Answer answer) override;
  void Remember(std::span<const model::Fingerprint> fingerprints) override;
  Status Health() const override { return health_.Get(); }

  // Takes effect at once. From one thread at a time.
  void Reconfigure(const RedisWriteOptions& write_options);

  // Answers the look-ups that wait with an error, then sends the writes that wait, for at most `timeout`.
  void Drain(std::chrono::milliseconds timeout);
  // Ends the threads. Drops and counts the writes that are left. Idempotent.
  void Stop();

 private:
  class Lookups;
  class Writes;

  void StopLookups();

  const RedisOptions options_;
  Live<RedisWriteOptions> write_options_;
  RedisMetrics metrics_;
  StopSignal stop_lookups_;  // ends the waits for Redis of look-ups and probes
  StopSignal stop_writes_;   // the same for writes
  RedisHealth health_;
  const std::unique_ptr<Lookups> lookups_;
  const std::unique_ptr<Writes> writes_;
};

}  // namespace mi::dedupe
