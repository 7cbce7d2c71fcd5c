#include "receive/departures.h"

#include <new>
#include <ranges>
#include <unordered_set>
#include <utility>

#include "base/format.h"
#include "base/mutex.h"
#include "model/identity.h"

namespace mi::receive {
namespace {

using model::Fingerprint;
using SharedArrivals = std::shared_ptr<const Arrivals>;

constexpr size_t kMaxShownBytes = 200;  // of an identity, in an answer

// One answer for the parts of a request that settle apart: its series and its metadata.
class PendingAnswer final : public Expirable {
 public:
  PendingAnswer(int parts, std::chrono::milliseconds timeout, Departures::AnswerWithRefusals answer,
                telemetry::Gauge& in_flight)
      : timeout_(timeout), in_flight_(in_flight), parts_(parts), answer_(std::move(answer)) {
    in_flight_.Add(1);
  }
  ~PendingAnswer() override { in_flight_.Add(-1); }

  void SeriesDone(const Status& outcome, StreamRefusals refusals) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      refusals_.series = refusals.series;
      refusals_.items = refusals.items;
      if (!refusals.first.empty()) refusals_.first = std::move(refusals.first);
    }
    PartDone(outcome);
  }
  void MetadataDone(const Status& outcome, uint64_t statements) EXCLUDES(mutex_) {
    if (!outcome && !IsWorthRepeating(outcome.error().code())) {
      MutexLock lock(mutex_);
      refusals_.statements = statements;
      if (refusals_.first.empty()) refusals_.first = outcome.error().message();
    }
    PartDone(outcome);
  }

  void Expire() override EXCLUDES(mutex_) {
    Departures::AnswerWithRefusals answer;
    {
      MutexLock lock(mutex_);
      answer = std::exchange(answer_, nullptr);
    }
    Call(answer, [this] {
      return Status(
          Fail(Errc::kUnavailable,
               format("the series were not durable within {} ms (receive.answer_timeout), or the service is stopping",
                      timeout_.count())));
    });
  }

 private:
  void PartDone(const Status& outcome) EXCLUDES(mutex_) {
    Departures::AnswerWithRefusals answer;
    Status status;
    {
      MutexLock lock(mutex_);
      if (!outcome && (status_.has_value() || IsWorthRepeating(outcome.error().code()))) status_ = outcome;
      if (--parts_ > 0) return;
      answer = std::exchange(answer_, nullptr);
      status = std::move(status_);
    }
    Call(answer, [&status] { return std::move(status); });
  }

  template <typename MakeStatus>
  void Call(Departures::AnswerWithRefusals& answer, MakeStatus make_status) EXCLUDES(mutex_) {
    if (!answer) return;
    try {
      StreamRefusals refusals;
      {
        MutexLock lock(mutex_);
        refusals = refusals_;
      }
      answer(make_status(), refusals);
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch)
      // The reply goes with `answer`, and answers 500. Who settles claims, or watches the time, goes on with the next.
    }
  }

  const std::chrono::milliseconds timeout_;
  telemetry::Gauge& in_flight_;
  Mutex mutex_;
  int parts_ GUARDED_BY(mutex_);
  Departures::AnswerWithRefusals answer_ GUARDED_BY(mutex_);
  Status status_ GUARDED_BY(mutex_);
  StreamRefusals refusals_ GUARDED_BY(mutex_);
};

// Which of the arrivals the stream will never take.
StreamRefusals RefusalsOf(const Arrivals& all, const Status& outcome, const std::vector<Fingerprint>& refused) {
  StreamRefusals refusals;
  if (refused.empty()) return refusals;
  const std::unordered_set<Fingerprint> wanted(refused.begin(), refused.end());
  for (size_t i = 0; i < all.fingerprints.size(); ++i) {
    if (!wanted.contains(all.fingerprints[i])) continue;
    ++refusals.series;
    if (!all.items.empty()) {
      refusals.items.samples += all.items[i].samples;
      refusals.items.histograms += all.items[i].histograms;
      refusals.items.exemplars += all.items[i].exemplars;
    }
    if (!refusals.first.empty() || all.fingerprints[i] != refused.front()) continue;
    std::string identity = model::FormatIdentity((*all.batch)[i].labels);
    if (identity.size() > kMaxShownBytes) identity.replace(kMaxShownBytes, std::string::npos, "...");
    refusals.first = format("{}: {}", identity, outcome.error().message());
  }
  return refusals;
}

// The arrivals at the given (ascending) indices.
Arrivals Pick(const Arrivals& all, const std::vector<size_t>& indices) {
  Arrivals picked;
  picked.batch = std::make_shared<model::SeriesBatch>(all.batch->tenant(), all.batch->seen_at_ms());
  auto alias = all.aliases.begin();
  for (const size_t index : indices) {
    while (alias != all.aliases.end() && alias->index < index) ++alias;
    if (alias != all.aliases.end() && alias->index == index) {
      picked.aliases.push_back({alias->alias, picked.fingerprints.size()});
    }
    picked.batch->Add(all.fingerprints[index], (*all.batch)[index].labels.canonical());
    picked.fingerprints.push_back(all.fingerprints[index]);
  }
  for (const model::MetricMetadata& metadata : all.batch->metadata()) picked.batch->AddMetadata(metadata);
  picked.metadata_keys = all.metadata_keys;
  return picked;
}

SharedArrivals ShareSome(const SharedArrivals& all, const std::vector<size_t>& indices) {
  if (indices.size() == all->fingerprints.size()) return all;
  return std::make_shared<const Arrivals>(Pick(*all, indices));
}

auto FingerprintsAt(const Arrivals& all, const std::vector<size_t>& indices) {
  return indices | std::views::transform([&](size_t index) { return all.fingerprints[index]; });
}

struct Durable {
  std::vector<Fingerprint> series;
  std::vector<Fingerprint> aliases;
};

// Those of `sent` of which is_durable(index) is true; it is asked once each, in order.
template <typename IsDurable>
Durable DurableOf(const Arrivals& sent, IsDurable is_durable) {
  Durable durable;
  auto alias = sent.aliases.begin();
  for (size_t i = 0; i < sent.fingerprints.size(); ++i) {
    const bool aliased = alias != sent.aliases.end() && alias->index == i;
    if (is_durable(i)) {
      durable.series.push_back(sent.fingerprints[i]);
      if (aliased) durable.aliases.push_back(alias->alias);
    }
    if (aliased) ++alias;
  }
  return durable;
}

void MarkSeen(const DeparturesDeps& deps, const Durable& durable) {
  dedupe::SettlePublished(durable.series, {}, deps.seen, deps.in_flight);
  if (!durable.aliases.empty()) deps.seen.InsertAliases(durable.aliases);
}

// Claims that will not be published after all, for want of memory. What is settled already is passed over.
template <typename Fingerprints, typename MetadataDone>
void Abandon(dedupe::InFlight& in_flight, const Fingerprints& claimed, const MetadataDone& metadata_done) {
  const Status failed = Fail(Errc::kOverloaded, "no memory");
  for (const Fingerprint fingerprint : claimed) in_flight.Settle({&fingerprint, 1}, failed);
  if (metadata_done) metadata_done(failed);
}

}  // namespace

Departures::Departures(DeparturesDeps deps) : deps_(deps), deadlines_(deps.clock) {}

void Departures::Send(Arrivals arrivals, std::chrono::milliseconds timeout, Answer answer) {
  Send(std::move(arrivals), timeout,
       AnswerWithRefusals([answer = std::move(answer)](Status durable, const StreamRefusals&) mutable {
         answer(std::move(durable));
       }));
}

void Departures::Send(Arrivals arrivals, std::chrono::milliseconds timeout, AnswerWithRefusals answer) {
  const bool has_metadata = !arrivals.metadata_keys.empty();
  auto pending =
      std::make_shared<PendingAnswer>(has_metadata ? 2 : 1, timeout, std::move(answer), deps_.metrics.in_flight);
  deadlines_.Watch(pending, timeout);
  const auto all = std::make_shared<const Arrivals>(std::move(arrivals));
  auto waiter =
      std::make_shared<dedupe::Waiter>([this, pending, all](Status outcome, const std::vector<Fingerprint>& refused) {
        StreamRefusals refusals;
        try {
          if (!outcome && !IsWorthRepeating(outcome.error().code())) refusals = RefusalsOf(*all, outcome, refused);
        } catch (const std::bad_alloc&) {
          outcome = Fail(Errc::kOverloaded, "no memory");  // whoever repeats it will be told
        }
        deps_.metrics.CountRefusedByStream(refusals.series);
        pending->SeriesDone(outcome, std::move(refusals));
      });
  MetadataDone metadata_done;
  if (has_metadata) {
    metadata_done = [pending, statements = all->metadata_keys.size()](const Status& outcome) {
      pending->MetadataDone(outcome, statements);
    };
  }
  const std::vector<size_t> mine = deps_.in_flight.Claim(all->fingerprints, std::move(waiter));
  try {
    Depart(all, mine, metadata_done);
  } catch (const std::bad_alloc&) {
    Abandon(deps_.in_flight, FingerprintsAt(*all, mine), metadata_done);
  }
}

void Departures::Depart(const SharedArrivals& all, std::vector<size_t> mine, const MetadataDone& metadata_done) {
  const size_t awaited = all->fingerprints.size() - mine.size();
  const size_t claimed = mine.size();
  DropDurable(*all, mine);
  deps_.metrics.known.Add(static_cast<double>(awaited + claimed - mine.size()));
  const bool asks = deps_.shared != nullptr && !mine.empty();
  if (mine.empty() && !metadata_done) return;
  SharedArrivals departing = ShareSome(all, mine);
  if (asks) {
    AskTier(std::move(departing), metadata_done);
  } else {
    Publish(std::move(departing), metadata_done, deps_.metrics.fresh);
  }
}

void Departures::DropDurable(const Arrivals& all, std::vector<size_t>& mine) {
  std::vector<Fingerprint> durable_meanwhile;
  std::erase_if(mine, [&](size_t index) {
    if (!deps_.seen.Contains(all.fingerprints[index])) return false;
    durable_meanwhile.push_back(all.fingerprints[index]);
    return true;
  });
  deps_.in_flight.Settle(durable_meanwhile, {});
}

void Departures::AskTier(SharedArrivals claimed, MetadataDone metadata_done) {
  std::vector<Fingerprint> fingerprints = claimed->fingerprints;
  const size_t bytes = claimed->batch->byte_size();
  deps_.shared->Lookup(std::move(fingerprints), bytes,
                       [this, claimed = std::move(claimed),
                        metadata_done = std::move(metadata_done)](const Result<std::vector<bool>>& known) {
                         try {
                           if (known) {
                             OnTold(claimed, metadata_done, *known);
                           } else {
                             Publish(claimed, metadata_done, deps_.metrics.fresh);
                           }
                         } catch (const std::bad_alloc&) {
                           Abandon(deps_.in_flight, claimed->fingerprints, metadata_done);
                         }
                       });
}

void Departures::OnTold(const SharedArrivals& claimed, const MetadataDone& metadata_done,
                        const std::vector<bool>& known) {
  std::vector<size_t> unknown;
  const Durable durable = DurableOf(*claimed, [&](size_t index) {
    if (!known[index]) unknown.push_back(index);
    return known[index];
  });
  SharedArrivals rest = unknown.empty() && !metadata_done ? nullptr : ShareSome(claimed, unknown);
  deps_.metrics.known.Add(static_cast<double>(durable.series.size()));
  MarkSeen(deps_, durable);
  if (rest != nullptr) Publish(std::move(rest), metadata_done, deps_.metrics.fresh);
}

void Departures::Publish(SharedArrivals claimed, MetadataDone metadata_done, telemetry::Counter& published) {
  auto batch = claimed->batch;
  deps_.publisher.Publish(std::move(batch), [this, sent = std::move(claimed), metadata_done = std::move(metadata_done),
                                             &published](const stream::PublishResult& result) {
    try {
      OnPublished(*sent, result, published);
    } catch (const std::bad_alloc&) {
      return Abandon(deps_.in_flight, sent->fingerprints, metadata_done);  // durable, but nobody could be told
    }
    if (!metadata_done) return;
    if (!result.metadata_failure) deps_.seen_metadata.Insert(sent->metadata_keys);
    metadata_done(result.metadata_failure ? Status(Fail(*result.metadata_failure)) : Status());
  });
}

void Departures::OnPublished(const Arrivals& sent, const stream::PublishResult& result, telemetry::Counter& published) {
  auto failure = result.failures.begin();
  const Durable durable = DurableOf(sent, [&](size_t index) {
    if (failure == result.failures.end() || failure->index != index) return true;
    ++failure;
    return false;
  });
  published.Add(static_cast<double>(durable.series.size()));
  MarkSeen(deps_, durable);
  for (const auto& failed : result.failures) {
    dedupe::SettlePublished({&sent.fingerprints[failed.index], 1}, Fail(failed.error), deps_.seen, deps_.in_flight);
  }
  if (deps_.shared != nullptr) deps_.shared->Remember(durable.series);
}

void Departures::Confirm(Arrivals known) {
  if (deps_.shared == nullptr) return;
  const auto asked = std::make_shared<const Arrivals>(std::move(known));
  deps_.shared->Lookup(asked->fingerprints, asked->batch->byte_size(),
                       [this, asked](const Result<std::vector<bool>>& found) {
                         if (found) OnConfirmed(asked, *found);
                       });
}

// Published again as a claim like any other: who finds it gone from the local table meanwhile awaits it.
void Departures::OnConfirmed(const SharedArrivals& asked, const std::vector<bool>& known) {
  std::vector<size_t> mine;
  SharedArrivals forgotten;
  try {
    std::vector<size_t> unknown;
    const Durable confirmed = DurableOf(*asked, [&](size_t index) {
      if (!known[index]) unknown.push_back(index);
      return known[index];
    });
    deps_.seen.Confirm(confirmed.series);
    if (unknown.empty()) return;
    forgotten = ShareSome(asked, unknown);
    auto nobody = std::make_shared<dedupe::Waiter>([](const Status&) { /* nobody waits */ });
    mine = deps_.in_flight.Claim(forgotten->fingerprints, std::move(nobody));
    if (!mine.empty()) Publish(ShareSome(forgotten, mine), {}, deps_.metrics.republished);
  } catch (const std::bad_alloc&) {
    if (!mine.empty()) Abandon(deps_.in_flight, FingerprintsAt(*forgotten, mine), MetadataDone());
  }
}

}  // namespace mi::receive
