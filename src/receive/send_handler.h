// POST of OpenTSDB points: each is checked, its series is indexed like one of remote write, and the valid points are
// sent on to a TSDB. Answers as OpenTSDB's /api/put does (docs/formats/opentsdb.md), once the series are durable.
//
// Threads: safe; runs on the server's threads, for long bodies on those of LongWork, and from the answer on also on
// those that settle the last series. Never blocks.
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
#include "receive/long_work.h"
#include "receive/options.h"
#include "receive/publish_once.h"

namespace mi::receive {

struct SendHandlerDeps {
  IntakeDeps intake;
  PublishOnce& publish_once;
  const Live<ReceiveOptions>& options;
  LongWork& long_work;
  MemoryBudget& memory;
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
  // What the sender wants to read: nothing but the status, the counts, or each fault.
  enum class Verbosity : uint8_t { kNone, kSummary, kDetails };
  class PointReport;
  // A request whose points are not read yet.
  struct Unread {
    model::Tenant tenant;
    Verbosity verbosity;
    net::Reply reply;
    MemoryHold memory;  // of the points, and then of the new series
    std::chrono::steady_clock::time_point begun;
  };

  static Verbosity VerbosityOf(const net::Request& request);
  void Handle(const net::Request& request, net::Reply to);
  void Read(std::string_view body, Unread request) const;
  Result<Intake::Sorted> Sort(const std::vector<codec::OpenTsdbPoint>& points, Unread& request,
                              const ReceiveOptions& options) const;
  void CountRequest(int status, std::chrono::steady_clock::time_point begun) const;

  const SendHandlerDeps deps_;
  std::atomic<bool> refusing_ = false;
};

}  // namespace mi::receive
