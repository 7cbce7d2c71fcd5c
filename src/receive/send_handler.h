// POST of OpenTSDB points: each is checked, its series is indexed like one of remote write, and the valid points are
// sent on to a TSDB. Answers as OpenTSDB's /api/put does (docs/formats/opentsdb.md), once the series are durable.
//
// Threads: safe; runs on the server's threads, and from the answer on also on those that settle the last series. Never
// blocks.
// Ownership: deps outlive it.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/live.h"
#include "codec/opentsdb.h"
#include "net/http.h"
#include "receive/intake.h"
#include "receive/options.h"
#include "receive/publish_once.h"

namespace mi::receive {

struct SendHandlerDeps {
  IntakeDeps intake;
  PublishOnce& publish_once;
  const Live<ReceiveOptions>& options;
  // Takes a JSON array of points. Never blocks. Empty: points are indexed and sent nowhere.
  std::function<void(std::string points)> send_on;
};

class SendHandler final : public net::Handler {
 public:
  explicit SendHandler(SendHandlerDeps deps);

  void RegisterRoutes(net::Router& router);

  net::HeadDecision Head(const net::Request& request) override;

  // From now on 503: the service is stopping.
  void Refuse() { refusing_ = true; }

 private:
  void Handle(const net::Request& request, net::Reply to);
  Result<Intake::Sorted> Sort(const std::vector<codec::OpenTsdbPoint>& points, const model::Tenant& tenant,
                              const ReceiveOptions& options) const;
  void CountRequest(int status, std::chrono::steady_clock::time_point begun) const;

  const SendHandlerDeps deps_;
  std::atomic<bool> refusing_ = false;
};

}  // namespace mi::receive
