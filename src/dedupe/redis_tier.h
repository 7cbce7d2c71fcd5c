// Redis as the shared tier: `mi:` + 16 bytes → `1`, with a life of its own each (docs/formats/redis.md).
//
// Look-ups of several requests go together as pipelined MGETs over a few connections; what is durable is told with
// pipelined SET EX over up to `workers` others. While Redis is away nothing is asked and nothing waits: one thread
// tries to reach it again, with jittered backoff, and what is to be told is kept up to a bound.
//
// Threads: safe; a thread a connection, with blocking waits there and nowhere else. Answers are given from those.
// Ownership: deps outlive it; callbacks of look-ups must be safe to call until Stop() returns.
// Errors: none that stop it; Health() says what is wrong and names the option.
#pragma once

#include <chrono>
#include <memory>

#include "dedupe/redis_options.h"
#include "dedupe/shared_tier.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::dedupe {

struct RedisDeps {
  telemetry::Logger& log;
  telemetry::Metrics& metrics;
};

class RedisTier : public SharedTier {
 public:
  // Does not connect: that begins in the background.
  static std::unique_ptr<RedisTier> Create(RedisOptions options, RedisDeps deps);

  virtual void Reconfigure(RedisWriteOptions options) = 0;

  // Look-ups that wait are answered with an error; what is to be told is flushed until `patience` is over, the rest
  // dropped and counted. The destructor does the same without patience.
  virtual void Stop(std::chrono::milliseconds patience) = 0;
};

}  // namespace mi::dedupe
