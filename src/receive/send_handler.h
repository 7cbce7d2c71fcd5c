// POST of OpenTSDB points: check each, index its series like any other, send the good ones on to a TSDB.
//
// Answers as OpenTSDB's /api/put does (docs/formats/opentsdb.md), once the series are durable.
//
// Threads: safe; Handle runs on the server's threads and never blocks.
// Ownership: deps outlive it.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/live.h"
#include "codec/opentsdb.h"
#include "dedupe/seen_set.h"
#include "model/tenant.h"
#include "net/http.h"
#include "receive/departures.h"
#include "receive/options.h"
#include "receive/receive_metrics.h"
#include "stream/ports.h"

namespace mi::receive {

struct SendHandlerOptions {
  std::string identity_secret;
};

struct SendHandlerDeps {
  dedupe::SeenSet& seen;
  stream::ActivityPublisher& activity;
  const Clock& clock;
  ReceiveMetrics& metrics;
  Departures& departures;
  const Live<ReceiveOptions>& options;
  // Takes a JSON array of points. Never blocks. Empty: points are indexed and go nowhere.
  std::function<void(std::string points)> send_on;
};

class SendHandler final : public net::Handler {
 public:
  SendHandler(SendHandlerOptions options, SendHandlerDeps deps);

  void RegisterRoutes(net::Router& router);

  net::HeadDecision Head(const net::Request& request) override;

  // From now on 503: the service is stopping.
  void Refuse() { refusing_ = true; }

 private:
  void Handle(const net::Request& request, net::Reply to);
  struct Sorted;
  Result<Sorted> Sort(const net::Request& request, const model::Tenant& tenant, const ReceiveOptions& options);
  // The series of these points that are not known, once each.
  void SortSeries(const std::vector<const codec::OpenTsdbPoint*>& points, const model::Tenant& tenant,
                  Arrivals& arrivals);
  void CountRequest(int status, std::chrono::steady_clock::time_point begun) const;

  const SendHandlerOptions options_;
  const SendHandlerDeps deps_;
  std::atomic<bool> refusing_ = false;
};

}  // namespace mi::receive
