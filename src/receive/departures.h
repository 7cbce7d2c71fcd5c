// Brings what is not durable yet to the stream, once, and answers the request when all of it is.
//
// Series that another request has claimed already are awaited, not published again. A batch belongs to its claims, not
// to its request: a request that runs out of time fails alone, its series are marked seen when the stream has them.
//
// Threads: safe. Deps outlive it, and it outlives the publisher's last callback.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "dedupe/in_flight.h"
#include "dedupe/seen_set.h"
#include "dedupe/shared_tier.h"
#include "receive/answer_deadlines.h"
#include "receive/arrivals.h"
#include "receive/receive_metrics.h"
#include "stream/ports.h"

namespace mi::receive {

struct DeparturesDeps {
  dedupe::SeenSet& seen;
  dedupe::SeenSet& seen_metadata;
  dedupe::InFlight& in_flight;
  stream::SeriesPublisher& publisher;
  ReceiveMetrics& metrics;
  dedupe::SharedTier* shared = nullptr;  // what other producers know; none in standalone
};

class Departures {
 public:
  // Success: all is durable. An error that is worth repeating wins over one that is not.
  using Answer = std::move_only_function<void(Status)>;

  explicit Departures(DeparturesDeps deps);

  // Calls `answer` once: when all arrivals are settled, at the time-out, or at ExpireAll().
  void Send(Arrivals arrivals, std::chrono::milliseconds timeout, Answer answer);

  // For a stop: requests that still wait are answered kUnavailable.
  void ExpireAll() { deadlines_.ExpireAll(); }

 private:
  void Publish(Arrivals arrivals, std::function<void(Status)> metadata_done);
  // Those of `arrivals` that this request has claimed and that nobody has made durable meanwhile.
  Arrivals Claim(Arrivals arrivals, std::shared_ptr<dedupe::Waiter> waiter);

  DeparturesDeps deps_;
  AnswerDeadlines deadlines_;
};

}  // namespace mi::receive
