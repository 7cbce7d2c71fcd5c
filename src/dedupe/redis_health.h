// Whether Redis answers: what the threads of the tier tell each other, the metrics and the log.
//
// Threads: safe.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>

#include "base/mutex.h"
#include "base/result.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::dedupe {

struct RedisMetrics {
  explicit RedisMetrics(telemetry::Metrics& metrics);

  telemetry::Gauge& up;
  telemetry::Counter& known;
  telemetry::Counter& unknown;
  telemetry::Counter& unasked;
  telemetry::Counter& errors;
  telemetry::Counter& dropped;
};

class RedisHealth {
 public:
  RedisHealth(telemetry::Logger& log, RedisMetrics& metrics) : log_(log), metrics_(metrics) {}

  // False until it answered for the first time.
  bool up() const { return up_.load(std::memory_order_relaxed); }
  Status Get() const EXCLUDES(mutex_);

  void Answers() EXCLUDES(mutex_);
  // It does not, or not as it should. Each call counts as an error.
  void Fails(const Error& error) EXCLUDES(mutex_);
  // It answers, and takes no writes (out of memory, read-only), until it did again.
  void RefusesWrites(const Error& error) EXCLUDES(mutex_);
  void TakesWrites() EXCLUDES(mutex_);

  // Waits until it is up; false when it is not and the service is stopping.
  bool AwaitUp() EXCLUDES(mutex_);
  // Waits until it is no longer up, or so long. False when the service is stopping.
  bool AwaitFault(std::chrono::milliseconds longest) EXCLUDES(mutex_);
  // Waits so long, or until the service is stopping: then false.
  bool Pause(std::chrono::milliseconds time) EXCLUDES(mutex_);
  // Ends the waits.
  void Stop() EXCLUDES(mutex_);

 private:
  telemetry::Logger& log_;
  RedisMetrics& metrics_;
  std::atomic<bool> up_ = false;
  mutable Mutex mutex_;
  CondVar changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::optional<Error> fault_ GUARDED_BY(mutex_) = Error(Errc::kUnavailable, "redis: not reached yet");
  std::optional<Error> write_fault_ GUARDED_BY(mutex_);
};

}  // namespace mi::dedupe
