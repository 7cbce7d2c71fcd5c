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
#include <cstdint>
#include <memory>
#include <string>

#include "dedupe/shared_tier.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::dedupe {

// What may change while it runs: metric_store.cache.
struct RedisWriteOptions {
  bool expires = true;                   // isexpire
  std::chrono::seconds expire{604'800};  // expire
  std::chrono::seconds spread{345'600};  // dist_interval: life = expire − spread + random(spread)
  uint64_t workers = 10;                 // worker_num: connections for writes
  uint64_t flush_keys = 1000;            // flush_lens: keys a pipeline, of reads too
  std::chrono::milliseconds flush_interval = std::chrono::seconds(3);  // longest wait for a pipeline to fill
};

struct RedisOptions {
  std::string host = "127.0.0.1";  // or the path of a unix socket, when it begins with '/'
  uint16_t port = 6379;
  std::string username;  // '' = the default user
  std::string password;
  uint64_t db = 0;
  uint64_t pool_size = 16;  // most connections of all kinds; at least 2
  std::chrono::milliseconds timeout = std::chrono::seconds(1);
  RedisWriteOptions writes;
};

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
