#include "dedupe/in_flight.h"

#include <array>
#include <unordered_map>
#include <utility>

namespace mi::dedupe {

void Waiter::Settled(const Status& outcome, const model::Fingerprint* series) {
  if (!outcome) {
    const MutexLock lock(mutex_);
    try {
      const bool repeat = IsWorthRepeating(outcome.error().code());
      if (series != nullptr && !repeat) refused_.push_back(*series);
      const bool retry_wins = first_error_ && repeat && !IsWorthRepeating(first_error_->code());
      if (!first_error_ || retry_wins) first_error_ = outcome.error();
    } catch (const std::bad_alloc&) {
      first_error_ = Error(Errc::kOverloaded, "no memory");  // whoever repeats it will be told
    }
  }
  if (unsettled_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  Status status;
  std::vector<model::Fingerprint> refused;
  {
    const MutexLock lock(mutex_);
    if (first_error_) status = Fail(*first_error_);
    refused.swap(refused_);
  }
  std::exchange(done_, nullptr)(std::move(status), std::move(refused));
}

class InFlightShards final : public InFlight {
 public:
  std::vector<size_t> Claim(std::span<const model::Fingerprint> fingerprints, std::shared_ptr<Waiter> waiter) override {
    std::vector<size_t> claimed;
    claimed.reserve(fingerprints.size());
    waiter->Expect(fingerprints.size());
    size_t index = 0;
    try {
      for (; index < fingerprints.size(); ++index) {
        if (TakePlace(fingerprints[index], waiter)) claimed.push_back(index);
      }
    } catch (const std::bad_alloc&) {
      // Whoever awaits what was claimed here must not wait for ever.
      const Status failed = Fail(Errc::kOverloaded, "no memory");
      for (const size_t mine : claimed) Settle({&fingerprints[mine], 1}, failed);
      claimed.clear();
      for (; index < fingerprints.size(); ++index) waiter->Settled(failed);
    }
    waiter->Settled({});
    return claimed;
  }

  void Settle(std::span<const model::Fingerprint> fingerprints, const Status& outcome) override {
    for (const model::Fingerprint fingerprint : fingerprints) {
      const std::optional<ClaimState> claim = Take(fingerprint);
      if (!claim) continue;
      claim->owner->Settled(outcome, &fingerprint);
      for (const auto& other : claim->others) other->Settled(outcome, &fingerprint);
    }
  }

  size_t size() const override {
    size_t size = 0;
    for (const Shard& shard : shards_) {
      const MutexLock lock(shard.mutex);
      size += shard.claims.size();
    }
    return size;
  }

 private:
  // Nearly every claim is awaited by its owner alone.
  struct ClaimState {
    std::shared_ptr<Waiter> owner;
    std::vector<std::shared_ptr<Waiter>> others;
  };
  struct alignas(64) Shard {
    mutable Mutex mutex;
    std::unordered_map<model::Fingerprint, ClaimState> claims GUARDED_BY(mutex);
  };

  // Whether the place was free: the waiter owns it then, and awaits its owner otherwise. Nothing has changed when it
  // throws.
  bool TakePlace(model::Fingerprint fingerprint, const std::shared_ptr<Waiter>& waiter) {
    Shard& shard = ShardOf(fingerprint);
    const MutexLock lock(shard.mutex);
    const auto [claim, is_new] = shard.claims.try_emplace(fingerprint);
    if (is_new) {
      claim->second.owner = waiter;
    } else {
      claim->second.others.push_back(waiter);
    }
    return is_new;
  }

  std::optional<ClaimState> Take(model::Fingerprint fingerprint) {
    Shard& shard = ShardOf(fingerprint);
    const MutexLock lock(shard.mutex);
    const auto claim = shard.claims.find(fingerprint);
    if (claim == shard.claims.end()) return std::nullopt;
    std::optional<ClaimState> state(std::move(claim->second));
    shard.claims.erase(claim);
    return state;
  }

  Shard& ShardOf(model::Fingerprint fingerprint) { return shards_[fingerprint.hi % shards_.size()]; }

  std::array<Shard, 64> shards_;
};

std::unique_ptr<InFlight> InFlight::Create() { return std::make_unique<InFlightShards>(); }

void SettlePublished(std::span<const model::Fingerprint> fingerprints, const Status& outcome, SeenSet& seen,
                     InFlight& in_flight) {
  if (outcome) seen.Insert(fingerprints);
  in_flight.Settle(fingerprints, outcome);
}

}  // namespace mi::dedupe
