#include "dedupe/claims.h"

#include <utility>

namespace mi::dedupe {

// Counts parts down and calls back at zero. Errors are noted before the decrement, and the decrement is
// acquire-release: so the thread that reaches zero sees the errors of all parts. Settle() and GiveUp() may race; each
// takes `done_` out under the mutex, so only one of them finds it, and calls it after the mutex is released. A
// successful part costs one atomic operation; only errors and the end take the mutex.
void Waiter::Settle(const Status& outcome, std::optional<model::Fingerprint> series) {
  if (!outcome) {
    const MutexLock lock(mutex_);
    const bool repeat = IsWorthRepeating(outcome.error().code());
    if (!repeat) outcome_.refused.push_back({series, outcome.error()});
    const Status& before = outcome_.status;
    if (before || (repeat && !IsWorthRepeating(before.error().code()))) outcome_.status = outcome;
  }
  if (unsettled_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  Done done;
  Outcome all;
  {
    const MutexLock lock(mutex_);
    done.swap(done_);
    all = std::move(outcome_);
  }
  if (done) done(std::move(all));
}

void Waiter::GiveUp(Error error) {
  Done done;
  {
    const MutexLock lock(mutex_);
    done.swap(done_);
  }
  if (done) done({Fail(std::move(error)), {}});
}

// A claim is an entry in the hash map of its shard. The waiter expects all fingerprints before the first is claimed,
// and one part more, which this function settles at its end: so the callback cannot run while claims are still being
// made, although other threads settle some of the fingerprints meanwhile.
std::vector<size_t> Claims::Claim(std::span<const model::Fingerprint> fingerprints,
                                  const std::shared_ptr<Waiter>& waiter) {
  std::vector<size_t> claimed;
  claimed.reserve(fingerprints.size());
  waiter->Expect(fingerprints.size());
  for (size_t i = 0; i < fingerprints.size(); ++i) {
    Shard& shard = ShardOf(fingerprints[i]);
    const MutexLock lock(shard.mutex);
    const auto [claim, is_new] = shard.claims.try_emplace(fingerprints[i]);
    if (is_new) {
      claim->second.owner = waiter;
      claimed.push_back(i);
    } else {
      claim->second.others.push_back(waiter);
    }
  }
  waiter->Settle({});
  return claimed;
}

// The entry is taken out of the map before its waiters are called, and no lock is held during the calls: a callback may
// claim the same series again. A request that claims between the removal and the calls becomes the new owner. If the
// series is durable, that request finds it in the seen table, where it was put before (SettlePublished); only if the
// table is full, the series is published again. Costs a lock of a shard and a hash look-up per series.
void Claims::Settle(std::span<const model::Fingerprint> fingerprints, const Status& outcome) {
  for (const model::Fingerprint fingerprint : fingerprints) {
    Shard& shard = ShardOf(fingerprint);
    Claimed claim;
    {
      const MutexLock lock(shard.mutex);
      const auto found = shard.claims.find(fingerprint);
      if (found == shard.claims.end()) continue;
      claim = std::move(found->second);
      shard.claims.erase(found);
    }
    claim.owner->Settle(outcome, fingerprint);
    for (const auto& other : claim.others) other->Settle(outcome, fingerprint);
  }
}

size_t Claims::size() const {
  size_t size = 0;
  for (const Shard& shard : shards_) {
    const MutexLock lock(shard.mutex);
    size += shard.claims.size();
  }
  return size;
}

void SettlePublished(std::span<const model::Fingerprint> fingerprints, const Status& outcome, SeenSet& seen,
                     Claims& claims) {
  if (outcome) seen.Insert(fingerprints);
  claims.Settle(fingerprints, outcome);
}

}  // namespace mi::dedupe
