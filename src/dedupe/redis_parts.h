// What the two halves of the tier, look-ups and writes, work with. All of it outlives them.
#pragma once

#include "base/live.h"
#include "dedupe/redis_connection.h"
#include "dedupe/redis_health.h"
#include "dedupe/redis_tier.h"

namespace mi::dedupe {

struct RedisParts {
  const RedisOptions& options;
  const Live<RedisWriteOptions>& live;
  const Interrupt& interrupt;
  RedisHealth& health;
  RedisMetrics& metrics;
};

}  // namespace mi::dedupe
