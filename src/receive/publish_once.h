// Brings new series to the stream, each once, and calls back when all of a request's series are durable.
//
// A series that another request has claimed is awaited, not published again. A series that this request claims is first
// looked up in the shared tier, if there is one: another producer may have published it. If the tier does not know it,
// or is away, the series is published. A batch belongs to its claims, not to its request: a request that runs out of
// time fails alone, and its series are marked seen when the stream has them.
//
// The way of an answer (`->` is a call; the callback of the publisher may come from any thread):
//
//   publisher -> OnPublished -> Claims::Settle -> Waiter (the last part) -> Finish -> the handler's Done -> net::Reply
//   DeadlineTimer, ExpireAll -------------------> Waiter::GiveUp ----------^
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/deadline_timer.h"
#include "dedupe/claims.h"
#include "dedupe/seen_set.h"
#include "dedupe/shared_tier.h"
#include "receive/new_series.h"
#include "receive/receive_metrics.h"
#include "stream/ports.h"

namespace mi::receive {

struct PublishOnceDeps {
  dedupe::SeenSet& seen;
  dedupe::SeenSet& seen_metadata;
  dedupe::Claims& claims;
  stream::SeriesPublisher& publisher;
  ReceiveMetrics& metrics;
  const Clock& clock;
  dedupe::SharedTier* shared = nullptr;  // what other producers have published; null in standalone
};

struct PublishOutcome {
  Status status;  // success: everything is durable. An error that is worth repeating wins over one that is not.
  // What the stream will never accept, for example because its record is too large. Everything else is durable. Empty
  // if `status` is worth repeating.
  uint64_t refused_series = 0;
  Items refused_items;            // of those series
  uint64_t refused_metadata = 0;  // entries
  std::string first_refusal;      // one line: what, and why
};

// Threads: safe.
// Ownership: deps outlive it; it outlives the last callbacks of the publisher and the tier.
class PublishOnce {
 public:
  using Done = std::move_only_function<void(const PublishOutcome&)>;

  explicit PublishOnce(PublishOnceDeps deps) : deps_(deps), timer_(deps.clock) {}
  ~PublishOnce() { ExpireAll(); }
  PublishOnce(const PublishOnce&) = delete;
  PublishOnce& operator=(const PublishOnce&) = delete;

  // Never blocks. Calls `done` once: when everything is settled, `timeout` after the request has begun, or at
  // ExpireAll(). `begun`: a time of the clock's Steady(). Requires: !series.empty().
  void Publish(NewSeries series, std::chrono::steady_clock::time_point begun, std::chrono::milliseconds timeout,
               Done done);

  // Asks the shared tier, in the background, whether it still knows these series, which are known here. Those that it
  // has forgotten are published again and added to it. Nobody waits for the outcome. Does nothing while the tier is
  // away. Requires: !known.empty().
  void Confirm(NewSeries known);

  // For a stop: requests that still wait get kUnavailable.
  void ExpireAll() { timer_.FireAll(); }

 private:
  struct Pending;
  // Series that were claimed, together with the metadata of their request; `metadata_waiter` waits for the metadata,
  // and is null if there is none.
  struct Batch {
    std::shared_ptr<const NewSeries> series;
    std::shared_ptr<dedupe::Waiter> metadata_waiter;
  };

  void Finish(Pending& pending, dedupe::Waiter::Outcome outcome);
  void SettleDurable(const NewSeries& all, std::vector<size_t>& claimed);
  void AskTier(Batch batch);
  void OnTierAnswer(const Batch& batch, const std::vector<bool>& known);
  void PublishBatch(Batch batch, telemetry::Counter& published);
  void OnPublished(const Batch& batch, const stream::PublishResult& result, telemetry::Counter& published);
  void OnConfirmed(const std::shared_ptr<const NewSeries>& asked, const std::vector<bool>& known);
  std::vector<model::Fingerprint> MarkSeen(const NewSeries& series, const std::vector<bool>& durable);

  PublishOnceDeps deps_;
  DeadlineTimer timer_;
};

}  // namespace mi::receive
