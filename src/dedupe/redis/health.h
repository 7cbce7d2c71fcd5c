// Whether Redis answers. A thread of its own probes Redis every second, and with backoff while it is away. The threads
// that look up and write report the faults they meet and wait here until Redis is back.
//
// Threads: safe. Logs each fault once, however often it is met.
#pragma once

#include <optional>

#include "base/backoff.h"
#include "base/mutex.h"
#include "base/periodic.h"
#include "base/result.h"
#include "base/stop_signal.h"
#include "dedupe/redis/connection.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::dedupe {

struct RedisMetrics {
  explicit RedisMetrics(telemetry::Metrics& metrics);

  telemetry::Gauge& up;
  telemetry::Counter& known;
  telemetry::Counter& unknown;
  telemetry::Counter& unanswered;
  telemetry::Counter& errors;
  telemetry::Counter& dropped;
};

class RedisHealth {
 public:
  // Everything must outlive it. A request for `stop` interrupts a probe.
  RedisHealth(const RedisOptions& options, const StopSignal& stop, telemetry::Logger& log, RedisMetrics& metrics);
  ~RedisHealth() { Stop(); }

  // Why Redis is down. It is down until it has answered for the first time.
  Status Up() const EXCLUDES(mutex_);
  // Why Redis is down, or else why it refuses writes.
  Status Get() const EXCLUDES(mutex_);

  // Redis does not answer, or refuses: it is down until a probe succeeds.
  void ReportFault(const Error& error) EXCLUDES(mutex_);
  // The outcome of a write that Redis answered. A refusal (out of memory, read-only) does not make Redis down.
  void ReportWrite(const Status& answer) EXCLUDES(mutex_);

  // Waits until Redis is up. False if it is down when Stop() is called.
  bool AwaitUp() EXCLUDES(mutex_);
  // Ends the probing and the waits. Idempotent.
  void Stop() EXCLUDES(mutex_);

 private:
  void Probe() EXCLUDES(mutex_);
  // Returns whether Redis was up until now.
  bool NoteFault(const Error& error) EXCLUDES(mutex_);
  void ReportAnswer() EXCLUDES(mutex_);

  const RedisOptions& options_;
  const StopSignal& stop_;
  telemetry::Logger& log_;
  RedisMetrics& metrics_;
  RedisConnection connection_;          // the prober's
  Backoff backoff_;                     // the prober's
  std::chrono::milliseconds pause_{0};  // the prober's, until the next probe
  mutable Mutex mutex_;
  CondVar changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::optional<Error> fault_ GUARDED_BY(mutex_) = Error(Errc::kUnavailable, "redis: not reached yet");
  std::optional<Error> write_fault_ GUARDED_BY(mutex_);
  Periodic prober_;
};

}  // namespace mi::dedupe
