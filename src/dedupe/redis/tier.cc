#include "dedupe/redis/tier.h"

#include <algorithm>
#include <utility>

namespace mi::dedupe {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Look-ups are pipelined: one connection takes hundreds of thousands of keys per second.
constexpr uint64_t kMaxLookupConnections = 4;

size_t LookupConnections(const RedisOptions& options) {
  return std::clamp<uint64_t>(options.pool_size / 4, 1, kMaxLookupConnections);
}

// What the look-ups and the probe leave of the pool.
size_t WriteConnections(const RedisOptions& options, const RedisWriteOptions& write_options) {
  const uint64_t others = LookupConnections(options) + 1;
  const uint64_t left = options.pool_size > others ? options.pool_size - others : 1;
  return std::clamp<uint64_t>(write_options.workers, 1, left);
}

}  // namespace

RedisTier::RedisTier(RedisOptions options, const RedisWriteOptions& write_options, Deps deps)
    : options_(std::move(options)),
      write_options_(write_options),
      metrics_(deps.metrics),
      health_(options_, stop_lookups_, deps.log, metrics_),
      lookups_(LookupConnections(options_), {options_, write_options_, stop_lookups_, health_, metrics_}),
      writes_(WriteConnections(options_, write_options), {options_, write_options_, stop_writes_, health_, metrics_}) {}

void RedisTier::Lookup(std::vector<model::Fingerprint> fingerprints, size_t held_bytes, Answer answer) {
  lookups_.Add(std::move(fingerprints), held_bytes, std::move(answer));
}

void RedisTier::Remember(std::span<const model::Fingerprint> fingerprints) {
  if (!fingerprints.empty()) writes_.Add(fingerprints);
}

void RedisTier::Reconfigure(const RedisWriteOptions& write_options) {
  write_options_.Set(write_options);
  writes_.Resize(WriteConnections(options_, write_options));
}

// The probe ends with the look-ups: during Drain the health is what the writes find.
void RedisTier::StopLookups() {
  stop_lookups_.Request();
  health_.Stop();
  lookups_.Stop();
}

void RedisTier::Drain(milliseconds timeout) {
  const auto deadline = steady_clock::now() + timeout;
  StopLookups();
  writes_.Drain(deadline);
}

void RedisTier::Stop() {
  StopLookups();
  stop_writes_.Request();
  writes_.Stop();
}

}  // namespace mi::dedupe
