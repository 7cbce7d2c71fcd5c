// Publish once: which unknown series are on their way to the stream, and who waits for them.
//
// A request claims the fingerprints it does not find in the seen table. Those that another request claimed already are
// awaited, not published again. Claims belong to the batch, not to the connection: a request that gives up (time-out,
// peer gone) fails alone; the batch goes on and settles its claims.
//
// Threads: safe; sharded mutexes, never held while a waiter is called.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "dedupe/seen_set.h"
#include "model/fingerprint.h"

namespace mi::dedupe {

// Waits for the series of one request. Called back once: when all are settled. A request that gave up before
// ignores that; its claims go on.
// Ownership: shared by the request and the claims it waits for. Threads: safe.
class Waiter {
 public:
  // `done` gets success, or the first error among its series that is worth repeating, or else the first; it is called
  // from the thread that settles the last one.
  using Done = std::move_only_function<void(Status)>;
  // Also gets the series whose failure is not worth repeating, as often as they were claimed, in the order in which
  // they were settled: the first error is the first one's, unless another is worth repeating.
  using DoneWithRefused = std::move_only_function<void(Status, std::vector<model::Fingerprint>)>;
  explicit Waiter(DoneWithRefused done) : done_(std::move(done)) {}
  explicit Waiter(Done done)
      : done_([done = std::move(done)](Status status, const std::vector<model::Fingerprint>&) mutable {
          done(std::move(status));
        }) {}

 private:
  friend class InFlightShards;

  void Expect(size_t series) { unsettled_.fetch_add(series, std::memory_order_relaxed); }
  // `series`: whose outcome it is; null for the claiming itself.
  void Settled(const Status& outcome, const model::Fingerprint* series = nullptr);

  DoneWithRefused done_;
  std::atomic<size_t> unsettled_ = 1;  // the claiming itself, so that `done` is not called half-way through it
  Mutex mutex_;
  std::optional<Error> first_error_ GUARDED_BY(mutex_);
  std::vector<model::Fingerprint> refused_ GUARDED_BY(mutex_);
};

class InFlight {
 public:
  static std::unique_ptr<InFlight> Create();
  virtual ~InFlight() = default;

  // Claims each fingerprint that nobody has claimed and gives their indices: publish those, then Settle each, whatever
  // happens. `waiter` is told when all of `fingerprints`, its own and the awaited ones, are settled; at once when there
  // are none. A fingerprint that stands twice is claimed once. Must be called once a waiter.
  // Without memory nothing is claimed, and the waiter is told kOverloaded.
  // Look what you have claimed up once more before you publish it: between your first look and the claim another
  // request may have settled it. What is known by now is settled as durable at once.
  virtual std::vector<size_t> Claim(std::span<const model::Fingerprint> fingerprints,
                                    std::shared_ptr<Waiter> waiter) = 0;

  // Ends claims with what became of them. Mark series seen before: who comes between the two would publish again
  // (SettlePublished does both). What is not claimed is passed over.
  virtual void Settle(std::span<const model::Fingerprint> fingerprints, const Status& outcome) = 0;

  virtual size_t size() const = 0;
};

// The one way from "published" to "seen": marks the series seen if, and only if, they are durable; then settles.
void SettlePublished(std::span<const model::Fingerprint> fingerprints, const Status& outcome, SeenSet& seen,
                     InFlight& in_flight);

}  // namespace mi::dedupe
