// Publish once: which new series are on their way to the stream, and who waits for each of them.
//
// A request claims the fingerprints that it does not find in the seen table. It publishes those that it gets, and waits
// for those that another request has claimed before. A claim belongs to its batch, not to the connection: if a request
// gives up (timeout, the peer has gone), the batch goes on and settles its claims.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "dedupe/seen_set.h"
#include "model/fingerprint.h"

namespace mi::dedupe {

// Waits until everything that a request needs is settled, and then calls back, once.
// Threads: safe. The callback runs on the thread that settles the last part or calls GiveUp(), without a lock.
// Ownership: shared by the request and the claims that it waits for.
class Waiter {
 public:
  // A part that failed with an error that is not worth repeating.
  struct Refused {
    std::optional<model::Fingerprint> series;  // nothing for a part that is not a series
    Error error;
  };
  struct Outcome {
    Status status;                 // success; or the first error that is worth repeating, otherwise the first error
    std::vector<Refused> refused;  // in the order in which they were settled; once per claim
  };
  using Done = std::move_only_function<void(Outcome)>;
  explicit Waiter(Done done) : done_(std::move(done)) {}

  // Waits for `parts` more calls of Settle(). Call it before Claims::Claim().
  void Expect(size_t parts) { unsettled_.fetch_add(parts, std::memory_order_relaxed); }
  void Settle(const Status& outcome, std::optional<model::Fingerprint> series = std::nullopt) EXCLUDES(mutex_);

  // Calls back now, with `error`, unless the callback has already been called. Later calls of Settle() are ignored.
  void GiveUp(Error error) EXCLUDES(mutex_);

 private:
  std::atomic<size_t> unsettled_ = 1;  // the extra part is Claim() itself, so that `done_` is not called while it runs
  Mutex mutex_;
  Done done_ GUARDED_BY(mutex_);  // empty after it was called
  Outcome outcome_ GUARDED_BY(mutex_);
};

// Threads: safe; one mutex per shard, never held while a waiter is called.
class Claims {
 public:
  // Claims each fingerprint that nobody has claimed, and returns the indices of those: publish them, then Settle()
  // each, whatever happens. A fingerprint that occurs twice is claimed once. `waiter` is called when all of
  // `fingerprints` are settled, whoever claimed them; at once if there are none. Call Claim() once per waiter.
  //
  // Look up again what was claimed, before it is published: between the first lookup and the claim, another request may
  // have made it durable. Settle such a series as durable.
  std::vector<size_t> Claim(std::span<const model::Fingerprint> fingerprints, const std::shared_ptr<Waiter>& waiter);

  // Ends claims and tells those who wait. Ignores fingerprints that are not claimed. A durable series must be in the
  // seen table before its claim ends; otherwise another request could publish it again. SettlePublished() does both.
  void Settle(std::span<const model::Fingerprint> fingerprints, const Status& outcome);

  size_t size() const;

 private:
  // Nearly every claim has one waiter, its owner.
  struct Claimed {
    std::shared_ptr<Waiter> owner;
    std::vector<std::shared_ptr<Waiter>> others;
  };
  struct alignas(64) Shard {
    mutable Mutex mutex;
    std::unordered_map<model::Fingerprint, Claimed> claims GUARDED_BY(mutex);
  };
  Shard& ShardOf(model::Fingerprint fingerprint) { return shards_[fingerprint.hi % shards_.size()]; }

  std::array<Shard, 64> shards_;
};

// Marks the series seen if `outcome` says that they are durable; then settles their claims.
void SettlePublished(std::span<const model::Fingerprint> fingerprints, const Status& outcome, SeenSet& seen,
                     Claims& claims);

}  // namespace mi::dedupe
