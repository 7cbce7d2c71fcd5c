#include "dedupe/redis_tier.h"

#include <algorithm>
#include <new>
#include <random>
#include <utility>

#include "base/live.h"
#include "dedupe/redis_health.h"
#include "dedupe/redis_line.h"
#include "dedupe/redis_lookups.h"
#include "dedupe/redis_thread.h"
#include "dedupe/redis_writes.h"

namespace mi::dedupe {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kProbeInterval = std::chrono::seconds(1);
constexpr milliseconds kFirstPause{50};
constexpr milliseconds kLongestPause = std::chrono::seconds(5);
// Of the pool, for look-ups: pipelined, one connection takes hundreds of thousands of keys a second.
constexpr uint64_t kMostLookupConnections = 4;

size_t LookupConnections(const RedisOptions& options) {
  return std::clamp<uint64_t>(options.pool_size / 4, 1, kMostLookupConnections);
}

// What is left of the pool, but for the watch's own.
size_t WriteConnections(const RedisOptions& options, const RedisWriteOptions& live) {
  const uint64_t others = LookupConnections(options) + 1;
  const uint64_t left = options.pool_size > others ? options.pool_size - others : 1;
  return std::clamp<uint64_t>(live.workers, 1, left);
}

class RedisTierThreads final : public RedisTier {
 public:
  RedisTierThreads(RedisOptions options, RedisDeps deps)
      : options_(std::move(options)),
        live_(options_.writes),
        metrics_(deps.metrics),
        health_(deps.log, metrics_),
        lookups_(LookupConnections(options_), {options_, live_, stop_asking_, health_, metrics_}),
        writes_(WriteConnections(options_, options_.writes), {options_, live_, stop_writing_, health_, metrics_}),
        watch_(RedisThread([this] { Watch(); })) {}

  ~RedisTierThreads() override { Stop(milliseconds(0)); }

  void Lookup(std::vector<model::Fingerprint> fingerprints, size_t held_bytes, Answer answer) override {
    lookups_.Ask(std::move(fingerprints), held_bytes, std::move(answer));
  }

  void Remember(std::span<const model::Fingerprint> fingerprints) override {
    if (!fingerprints.empty()) writes_.Add(fingerprints);
  }

  Status Health() const override { return health_.Get(); }

  void Reconfigure(RedisWriteOptions options) override {
    live_.Set(options);
    writes_.Resize(WriteConnections(options_, options));
  }

  void Stop(milliseconds patience) override {
    if (!watch_.joinable()) return;
    const auto deadline = steady_clock::now() + patience;
    stop_asking_.Raise();
    health_.Stop();
    watch_.join();
    lookups_.Stop();
    writes_.Finish();
    writes_.AwaitFlushed(deadline);
    stop_writing_.Raise();
    writes_.Stop();
  }

 private:
  // Keeps health_ true: asks now and then, at once when somebody met a fault, and tries to come back.
  void Watch() {
    RedisLine line(options_, stop_asking_);
    std::mt19937_64 random(std::random_device{}());
    milliseconds pause = kFirstPause;
    for (bool going = true; going;) {
      try {
        going = Look(line, random, pause);
      } catch (const std::bad_alloc&) {
        going = health_.Pause(kFirstPause);
      }
    }
  }

  // False at the stop.
  bool Look(RedisLine& line, std::mt19937_64& random, milliseconds& pause) {
    const auto deadline = steady_clock::now() + options_.timeout;
    const Status answers = line.Do(deadline, [&](RedisConnection& connection) { return connection.Probe(deadline); });
    if (answers) {
      health_.Answers();
      pause = kFirstPause;
      return health_.AwaitFault(kProbeInterval);
    }
    if (!stop_asking_.raised()) health_.Fails(answers.error());  // or it may be that alone
    // All producers lose it at once; they should not come back at once.
    const milliseconds now = pause / 2 + milliseconds(random() % static_cast<uint64_t>(pause.count()));
    pause = std::min(pause * 2, kLongestPause);
    return health_.Pause(now);
  }

  const RedisOptions options_;
  Live<RedisWriteOptions> live_;
  RedisMetrics metrics_;
  RedisHealth health_;
  Interrupt stop_asking_;
  Interrupt stop_writing_;
  RedisLookups lookups_;
  RedisWrites writes_;
  std::thread watch_;
};

}  // namespace

std::unique_ptr<RedisTier> RedisTier::Create(RedisOptions options, RedisDeps deps) {
  return std::make_unique<RedisTierThreads>(std::move(options), deps);
}

}  // namespace mi::dedupe
