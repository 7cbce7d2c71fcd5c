#include "receive/publish_once.h"

#include <atomic>
#include <cassert>
#include <unordered_map>
#include <utility>

#include "base/format.h"
#include "model/identity.h"

namespace mi::receive {
namespace {

using dedupe::Waiter;
using model::Fingerprint;

constexpr size_t kMaxShownBytes = 200;  // of an identity, in an answer

// The series at the given indices, with all metadata.
std::shared_ptr<const NewSeries> Pick(const std::shared_ptr<const NewSeries>& all, const std::vector<size_t>& indices) {
  if (indices.size() == all->fingerprints.size()) return all;
  auto picked = std::make_shared<NewSeries>();
  picked->batch = std::make_shared<model::SeriesBatch>(all->batch->tenant(), all->batch->seen_at_ms());
  for (const size_t i : indices) {
    picked->Add(all->fingerprints[i], (*all->batch)[i].labels.canonical(), all->items[i]);
  }
  for (const model::MetricMetadata& metadata : all->batch->metadata()) picked->batch->AddMetadata(metadata);
  picked->metadata_keys = all->metadata_keys;
  return picked;
}

std::vector<size_t> IndicesOfUnknown(const std::vector<bool>& known) {
  std::vector<size_t> indices;
  for (size_t i = 0; i < known.size(); ++i) {
    if (!known[i]) indices.push_back(i);
  }
  return indices;
}

// Another series with the fingerprint of one that is published goes with it: the index then sees both, refuses one and
// says so. Without this it would count as a repetition, and be lost without a word.
void AddCollisions(const NewSeries& all, std::vector<size_t>& claimed) {
  if (claimed.empty() || claimed.size() == all.fingerprints.size()) return;
  std::unordered_map<Fingerprint, size_t> published;
  for (const size_t i : claimed) published.emplace(all.fingerprints[i], i);
  for (size_t i = 0; i < all.fingerprints.size(); ++i) {
    const auto found = published.find(all.fingerprints[i]);
    if (found == published.end() || (*all.batch)[i].labels == (*all.batch)[found->second].labels) continue;
    claimed.push_back(i);
  }
}

std::string Describe(model::LabelsView labels, const Error& error) {
  std::string identity = model::FormatIdentity(labels);
  if (identity.size() > kMaxShownBytes) identity.replace(kMaxShownBytes, std::string::npos, "...");
  return format("{}: {}", identity, error.message());
}

PublishOutcome OutcomeOf(const NewSeries& all, Waiter::Outcome settled) {
  PublishOutcome outcome{.status = std::move(settled.status)};
  if (outcome.status || IsWorthRepeating(outcome.status.error().code())) return outcome;
  std::unordered_map<Fingerprint, const Error*> refused;
  for (const Waiter::Refused& one : settled.refused) {
    if (one.series) {
      refused.emplace(*one.series, &one.error);
    } else {
      outcome.refused_metadata = all.metadata_keys.size();
      outcome.first_refusal = one.error.message();
    }
  }
  for (size_t i = 0; i < all.fingerprints.size(); ++i) {
    const auto found = refused.find(all.fingerprints[i]);
    if (found == refused.end()) continue;
    if (outcome.refused_series++ == 0) outcome.first_refusal = Describe((*all.batch)[i].labels, *found->second);
    outcome.refused_items += all.items[i];
  }
  return outcome;
}

}  // namespace

// A request that waits for its series.
struct PublishOnce::Pending {
  NewSeries series;
  Done done;
  std::atomic<DeadlineTimer::Id> timer = 0;  // 0: not set yet
};

// Each series of the request goes one of these ways:
//
//   claimed by another request before ------------------------------> wait for its owner
//   claimed here -> seen by now (another request settled it) -------> durable
//                -> the shared tier knows it -----------------------> durable
//                -> published -> the stream has it -----------------> durable
//                             -> the stream refuses it, or is away -> failed
//
// All of them end in Claims::Settle(), which counts down the Waiter. A durable series is marked seen before its claim
// ends, so there is no moment at which another request could publish it again.
void PublishOnce::Publish(NewSeries series, std::chrono::steady_clock::time_point begun,
                          std::chrono::milliseconds timeout, Done done) {
  assert(!series.empty());
  const auto pending = std::make_shared<Pending>(std::move(series), std::move(done));
  const auto waiter =
      std::make_shared<Waiter>([this, pending](Waiter::Outcome outcome) { Finish(*pending, std::move(outcome)); });
  const bool has_metadata = !pending->series.metadata_keys.empty();
  if (has_metadata) waiter->Expect(1);
  deps_.metrics.in_flight.Add(1);
  pending->timer = timer_.At(begun + timeout, [timeout, weak = std::weak_ptr(waiter)] {
    if (const auto waiting = weak.lock()) {
      waiting->GiveUp(Error(Errc::kUnavailable, format("the series were not durable within {} ms "
                                                       "(receive.answer_timeout), or the service is stopping",
                                                       timeout.count())));
    }
  });

  const std::shared_ptr<const NewSeries> all(pending, &pending->series);
  std::vector<size_t> claimed = deps_.claims.Claim(all->fingerprints, waiter);
  SettleDurable(*all, claimed);
  AddCollisions(*all, claimed);
  deps_.metrics.known.Add(static_cast<double>(all->fingerprints.size() - claimed.size()));
  if (claimed.empty() && !has_metadata) return;
  Batch batch{Pick(all, claimed), has_metadata ? waiter : nullptr};
  if (deps_.shared != nullptr && !claimed.empty()) {
    AskTier(std::move(batch));
  } else {
    PublishBatch(std::move(batch), deps_.metrics.fresh);
  }
}

// Called once, by the Waiter: by whichever comes first of the last part and the deadline. A batch of the request may
// still be under way: it shares `pending.series`, which no one changes, and does not touch `pending.done`. The timer is
// not set yet only if it is the timer, or ExpireAll(), that calls: then there is nothing to cancel.
void PublishOnce::Finish(Pending& pending, Waiter::Outcome outcome) {
  timer_.Cancel(pending.timer);
  deps_.metrics.in_flight.Add(-1);
  const PublishOutcome result = OutcomeOf(pending.series, std::move(outcome));
  deps_.metrics.CountRefusedByStream(result.refused_series);
  std::exchange(pending.done, nullptr)(result);
}

// Between the lookup and the claim, another request may have made a series durable and settled its claim.
void PublishOnce::SettleDurable(const NewSeries& all, std::vector<size_t>& claimed) {
  std::vector<Fingerprint> durable;
  std::erase_if(claimed, [&](size_t index) {
    if (!deps_.seen.Contains(all.fingerprints[index])) return false;
    durable.push_back(all.fingerprints[index]);
    return true;
  });
  deps_.claims.Settle(durable, {});
}

void PublishOnce::AskTier(Batch batch) {
  std::vector<Fingerprint> fingerprints = batch.series->fingerprints;
  const size_t bytes = batch.series->batch->byte_size();
  deps_.shared->Lookup(std::move(fingerprints), bytes,
                       [this, batch = std::move(batch)](const Result<std::vector<bool>>& known) {
                         if (known) {
                           OnTierAnswer(batch, *known);
                         } else {
                           PublishBatch(batch, deps_.metrics.fresh);
                         }
                       });
}

void PublishOnce::OnTierAnswer(const Batch& batch, const std::vector<bool>& known) {
  const std::vector<size_t> unknown = IndicesOfUnknown(known);
  deps_.metrics.known.Add(static_cast<double>(known.size() - unknown.size()));
  MarkSeen(*batch.series, known);
  if (unknown.empty() && batch.metadata_waiter == nullptr) return;
  PublishBatch({Pick(batch.series, unknown), batch.metadata_waiter}, deps_.metrics.fresh);
}

void PublishOnce::PublishBatch(Batch batch, telemetry::Counter& published) {
  auto series = batch.series->batch;
  deps_.publisher.Publish(std::move(series),
                          [this, batch = std::move(batch), &published](const stream::PublishResult& result) {
                            OnPublished(batch, result, published);
                          });
}

// Order: first the table and the claims, so that waiting requests are answered; then the shared tier, for which nobody
// waits; then the metadata. If the process dies before the table is saved, the series are in the stream but unknown,
// and are published again: a duplicate. The reverse, a series that is marked seen but not in the stream, cannot happen.
void PublishOnce::OnPublished(const Batch& batch, const stream::PublishResult& result, telemetry::Counter& published) {
  const NewSeries& series = *batch.series;
  published.Add(static_cast<double>(series.fingerprints.size() - result.failures.size()));
  std::vector<bool> is_durable(series.fingerprints.size(), true);
  for (const auto& failure : result.failures) is_durable[failure.index] = false;
  const std::vector<Fingerprint> durable = MarkSeen(series, is_durable);
  for (const auto& failure : result.failures) {
    deps_.claims.Settle({&series.fingerprints[failure.index], 1}, Fail(failure.error));
  }
  if (deps_.shared != nullptr) deps_.shared->Remember(durable);
  if (batch.metadata_waiter == nullptr) return;
  if (result.metadata_failure) {
    batch.metadata_waiter->Settle(Fail(*result.metadata_failure));
  } else {
    deps_.seen_metadata.Insert(series.metadata_keys);
    batch.metadata_waiter->Settle({});
  }
}

// Marks the durable series seen and settles their claims. Returns their fingerprints.
std::vector<Fingerprint> PublishOnce::MarkSeen(const NewSeries& series, const std::vector<bool>& durable) {
  std::vector<Fingerprint> fingerprints;
  for (size_t i = 0; i < durable.size(); ++i) {
    if (!durable[i]) continue;
    fingerprints.push_back(series.fingerprints[i]);
  }
  dedupe::SettlePublished(fingerprints, {}, deps_.seen, deps_.claims);
  return fingerprints;
}

void PublishOnce::Confirm(NewSeries known) {
  assert(!known.empty());
  if (deps_.shared == nullptr) return;
  const auto asked = std::make_shared<const NewSeries>(std::move(known));
  deps_.shared->Lookup(asked->fingerprints, asked->batch->byte_size(),
                       [this, asked](const Result<std::vector<bool>>& found) {
                         if (found) OnConfirmed(asked, *found);
                       });
}

// Forgotten series are claimed like new ones: a request that does not find them in the local table any more waits.
// They stay in that table while they are published again, so other requests do not wait. If publishing fails, they are
// asked for again when their confirmation is due the next time.
void PublishOnce::OnConfirmed(const std::shared_ptr<const NewSeries>& asked, const std::vector<bool>& known) {
  std::vector<Fingerprint> confirmed;
  for (size_t i = 0; i < known.size(); ++i) {
    if (known[i]) confirmed.push_back(asked->fingerprints[i]);
  }
  deps_.seen.Confirm(confirmed);
  const std::vector<size_t> unknown = IndicesOfUnknown(known);
  if (unknown.empty()) return;
  const auto forgotten = Pick(asked, unknown);
  const auto nobody = std::make_shared<Waiter>([](const Waiter::Outcome&) { /* nobody waits */ });
  const std::vector<size_t> claimed = deps_.claims.Claim(forgotten->fingerprints, nobody);
  if (!claimed.empty()) PublishBatch({Pick(forgotten, claimed), nullptr}, deps_.metrics.republished);
}

}  // namespace mi::receive
