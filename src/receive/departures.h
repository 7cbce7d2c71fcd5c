// Brings what is not durable yet to the stream, once, and answers the request when all of it is.
//
// Series that another request has claimed already are awaited, not published again. What is claimed is first asked for
// in the shared tier, where there is one: another producer may have published it. What the tier cannot say is
// published. A batch belongs to its claims, not to its request: a request that runs out of time fails alone, its series
// are marked seen when the stream has them. Claims are settled whatever happens, also when there is no memory.
//
// Threads: safe. Deps outlive it, and it outlives the last callbacks of the publisher and the tier.
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
#include "receive/stream_refusals.h"
#include "stream/ports.h"

namespace mi::receive {

struct DeparturesDeps {
  dedupe::SeenSet& seen;
  dedupe::SeenSet& seen_metadata;
  dedupe::InFlight& in_flight;
  stream::SeriesPublisher& publisher;
  ReceiveMetrics& metrics;
  const Clock& clock;
  dedupe::SharedTier* shared = nullptr;  // what other producers know; none in standalone
};

class Departures {
 public:
  // Success: all is durable. An error that is worth repeating wins over one that is not.
  using Answer = std::move_only_function<void(Status)>;
  // The error that is not worth repeating comes with all that the stream refused.
  using AnswerWithRefusals = std::move_only_function<void(Status, const StreamRefusals&)>;

  explicit Departures(DeparturesDeps deps);

  // Calls `answer` once: when all arrivals are settled, at the time-out, or at ExpireAll().
  void Send(Arrivals arrivals, std::chrono::milliseconds timeout, AnswerWithRefusals answer);
  void Send(Arrivals arrivals, std::chrono::milliseconds timeout, Answer answer);

  // Series that are known here, but were told to the shared tier long ago. In the background: those that it has let go
  // are published again and told to it; while it is away they are left as they are. Nobody waits for the outcome.
  void Confirm(Arrivals known);

  // For a stop: requests that still wait are answered kUnavailable.
  void ExpireAll() { deadlines_.ExpireAll(); }

 private:
  using SharedArrivals = std::shared_ptr<const Arrivals>;
  // What is settled beside the series: the metadata of a request, as one. None when there is no metadata.
  using MetadataDone = std::function<void(Status)>;

  // Sends off what has been claimed: the arrivals at these indices, ascending.
  void Depart(const SharedArrivals& all, std::vector<size_t> mine, const MetadataDone& metadata_done);
  // Takes out what somebody has made durable between the look-up and the claim, and settles it.
  void DropDurable(const Arrivals& all, std::vector<size_t>& mine);
  // Publishes what the tier does not know.
  void AskTier(SharedArrivals claimed, MetadataDone metadata_done);
  void OnTold(const SharedArrivals& claimed, const MetadataDone& metadata_done, const std::vector<bool>& known);
  void Publish(SharedArrivals claimed, MetadataDone metadata_done, telemetry::Counter& published);
  void OnConfirmed(const SharedArrivals& asked, const std::vector<bool>& known);
  void OnPublished(const Arrivals& sent, const stream::PublishResult& result, telemetry::Counter& published);

  DeparturesDeps deps_;
  AnswerDeadlines deadlines_;
};

}  // namespace mi::receive
