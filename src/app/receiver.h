// The receiving side of a role: requests into the stream, the tables of what is durable already, and the TSDBs that the
// requests are forwarded to.
//
// Ownership: owns the seen tables and the queues to TSDBs; borrows the rest, which outlives it.
// Threads: one of its own, which sweeps the tables; all members but the routes from one thread.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/live.h"
#include "base/memory_budget.h"
#include "base/mutex.h"
#include "base/periodic.h"
#include "base/result.h"
#include "config/config.h"
#include "dedupe/claims.h"
#include "dedupe/seen_set.h"
#include "dedupe/shared_tier.h"
#include "forward/forwarder.h"
#include "net/http.h"
#include "receive/cache_handler.h"
#include "receive/long_work.h"
#include "receive/options.h"
#include "receive/publish_once.h"
#include "receive/receive_metrics.h"
#include "receive/send_handler.h"
#include "receive/write_handler.h"
#include "stream/ports.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::app {

// Of app.shutdown_timeout, for requests that wait in memory for TSDBs.
inline constexpr std::chrono::milliseconds kTimeToForward{500};

class Receiver {
 public:
  struct Deps {
    std::string identity_secret;  // until SetIdentitySecret
    std::unique_ptr<dedupe::SeenSet> seen;
    stream::SeriesPublisher& publisher;
    stream::ActivityPublisher& activity;
    dedupe::SharedTier* shared;  // null in standalone
    const Clock& clock;
    telemetry::Logger& log;
    telemetry::Metrics& metrics;
    MemoryBudget& memory;  // of requests; used until Stop()
  };
  // kInvalid: a malformed URL in remote.write or remote.send.
  static Result<std::unique_ptr<Receiver>> Create(const config::Config& config, Deps deps);

  void RegisterRoutes(net::Router& router);
  // Errors: a TSDB that cannot be used with its options. Then only other TSDBs may have taken their new options.
  Status Reconfigure(const config::Config& config) EXCLUDES(mutex_);
  // Makes fingerprints with another secret from now on. What the tables know is then forgotten in effect: known series
  // are published once more. Threads: any.
  void SetIdentitySecret(const std::string& identity_secret) EXCLUDES(mutex_);

  // From now on new requests get 503; those that wait for the stream continue to wait.
  void Refuse();
  // Answers the requests that wait, for a thread or for the stream, with 503.
  void ExpireAll();
  // Answers what still waits, and sends what waits for TSDBs, for at most `time`. After it no request holds memory.
  // Call it after the listener was drained.
  void Stop(std::chrono::milliseconds time);

  dedupe::SeenSet& seen() { return *seen_; }

 private:
  Receiver(const config::Config& config, Deps deps, std::unique_ptr<forward::Forwarder> remote_write,
           std::unique_ptr<forward::Forwarder> remote_send);

  const std::unique_ptr<forward::Forwarder> remote_write_;
  const std::unique_ptr<forward::Forwarder> remote_send_;  // at most one target
  const std::unique_ptr<dedupe::SeenSet> seen_;
  const bool has_shared_tier_;
  const std::shared_ptr<void> gauges_;
  dedupe::SeenSet seen_metadata_;
  dedupe::Claims claims_;
  receive::ReceiveMetrics receive_metrics_;
  Mutex mutex_;
  receive::ReceiveOptions next_options_ GUARDED_BY(mutex_);  // what options_ is set to
  Live<receive::ReceiveOptions> options_;
  std::optional<receive::WriteHandler> write_;
  std::optional<receive::SendHandler> send_;
  std::optional<receive::PublishOnce> publish_once_;  // destroyed before the handlers: it answers their requests
  receive::LongWork long_work_;                       // destroyed before them and the handlers: it calls both
  receive::CacheHandler cache_;
  Live<std::chrono::milliseconds> cleanup_interval_;
  Periodic sweep_;
};

}  // namespace mi::app
