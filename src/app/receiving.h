// The receiving side of a role: from the request to the stream, the tables that know what is there already, and the
// TSDBs that get the requests besides.
//
// Ownership: owns the seen tables and the queues to TSDBs; borrows the rest, which outlives it.
// Threads: everything but the routes from one thread; Sweep from one thread.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "app/figures.h"
#include "base/clock.h"
#include "base/live.h"
#include "base/result.h"
#include "config/config.h"
#include "dedupe/in_flight.h"
#include "dedupe/seen_set.h"
#include "dedupe/shared_tier.h"
#include "forward/remote_send.h"
#include "forward/remote_write.h"
#include "net/http.h"
#include "receive/cache_handler.h"
#include "receive/departures.h"
#include "receive/options.h"
#include "receive/receive_metrics.h"
#include "receive/send_handler.h"
#include "receive/write_handler.h"
#include "stream/ports.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::app {

// So much of app.shutdown_timeout gets what waits in memory for TSDBs.
inline constexpr std::chrono::milliseconds kTimeToForward{500};

class Receiving {
 public:
  struct Deps {
    std::unique_ptr<dedupe::SeenSet> seen;
    stream::SeriesPublisher& publisher;
    stream::ActivityPublisher& activity;
    dedupe::SharedTier* shared;  // null in standalone
    const Clock& clock;
    telemetry::Logger& log;
    telemetry::Metrics& metrics;
  };
  // kInvalid: a url of remote.write or remote.send that is none.
  static Result<std::unique_ptr<Receiving>> Create(const config::Config& config,
                                                   const dedupe::SeenOptions& seen_options, Deps deps);

  void RegisterRoutes(net::Router& router);
  // An error: a TSDB that cannot be sent to as it is told; nothing else has changed but the other TSDBs.
  Status Reconfigure(const config::Config& config, const dedupe::SeenOptions& seen_options);

  // From now on 503; what waits for the stream goes on waiting …
  void Refuse();
  // … until this answers it 503.
  void ExpireAll();
  // What waits for TSDBs is sent until `patience` is over. After the last request was answered.
  void StopForwarding(std::chrono::milliseconds patience);

  void Sweep();
  dedupe::SeenSet& seen() { return *seen_; }

 private:
  Receiving(const config::Config& config, const dedupe::SeenOptions& seen_options, Deps deps,
            std::unique_ptr<forward::RemoteWrite> remote_write, std::unique_ptr<forward::RemoteSend> remote_send);

  const std::unique_ptr<forward::RemoteWrite> remote_write_;
  const std::unique_ptr<forward::RemoteSend> remote_send_;
  std::unique_ptr<dedupe::SeenSet> seen_;
  const Figures figures_;
  std::unique_ptr<dedupe::SeenSet> seen_metadata_;
  std::unique_ptr<dedupe::InFlight> in_flight_ = dedupe::InFlight::Create();
  receive::ReceiveMetrics receive_metrics_;
  Live<receive::ReceiveOptions> options_;
  std::optional<receive::WriteHandler> write_;
  std::optional<receive::SendHandler> send_;
  std::optional<receive::Departures> departures_;  // goes before the handlers whose requests it answers at its end
  receive::CacheHandler cache_;
};

}  // namespace mi::app
