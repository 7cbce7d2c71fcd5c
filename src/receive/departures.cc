#include "receive/departures.h"

#include <optional>
#include <utility>

#include "base/format.h"
#include "base/mutex.h"
#include "receive/write_answer.h"

namespace mi::receive {
namespace {

using model::Fingerprint;

// One answer for the parts of a request that settle apart: its series and its metadata.
class PendingAnswer final : public Expirable {
 public:
  PendingAnswer(int parts, std::chrono::milliseconds timeout, Departures::Answer answer, telemetry::Gauge& in_flight)
      : timeout_(timeout), in_flight_(in_flight), parts_(parts), answer_(std::move(answer)) {
    in_flight_.Add(1);
  }
  ~PendingAnswer() override { in_flight_.Add(-1); }

  void PartDone(const Status& outcome) EXCLUDES(mutex_) {
    Departures::Answer answer;
    Status status;
    {
      MutexLock lock(mutex_);
      if (!outcome && (status_.has_value() || IsWorthRepeating(outcome.error().code()))) status_ = outcome;
      if (--parts_ > 0) return;
      answer = std::exchange(answer_, nullptr);
      status = status_;
    }
    if (answer) answer(std::move(status));
  }

  void Expire() override EXCLUDES(mutex_) {
    Departures::Answer answer;
    {
      MutexLock lock(mutex_);
      answer = std::exchange(answer_, nullptr);
    }
    if (!answer) return;
    answer(Fail(Errc::kUnavailable,
                format("the series were not durable within {} ms (receive.answer_timeout), or the service is stopping",
                       timeout_.count())));
  }

 private:
  const std::chrono::milliseconds timeout_;
  telemetry::Gauge& in_flight_;
  Mutex mutex_;
  int parts_ GUARDED_BY(mutex_);
  Departures::Answer answer_ GUARDED_BY(mutex_);
  Status status_ GUARDED_BY(mutex_);
};

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

void Settle(const DeparturesDeps& deps, const Arrivals& sent, const stream::PublishResult& result) {
  std::vector<Fingerprint> durable;
  std::vector<Fingerprint> aliases;
  auto failure = result.failures.begin();
  auto alias = sent.aliases.begin();
  for (size_t i = 0; i < sent.fingerprints.size(); ++i) {
    const bool aliased = alias != sent.aliases.end() && alias->index == i;
    if (failure != result.failures.end() && failure->index == i) {
      ++failure;
    } else {
      durable.push_back(sent.fingerprints[i]);
      if (aliased) aliases.push_back(alias->alias);
    }
    if (aliased) ++alias;
  }
  deps.metrics.fresh.Add(static_cast<double>(durable.size()));
  dedupe::SettlePublished(durable, {}, deps.seen, deps.in_flight);
  if (!aliases.empty()) deps.seen.InsertAliases(aliases);
  for (const auto& failed : result.failures) {
    dedupe::SettlePublished({&sent.fingerprints[failed.index], 1}, Fail(failed.error), deps.seen, deps.in_flight);
  }
}

}  // namespace

Departures::Departures(DeparturesDeps deps) : deps_(deps) {}

void Departures::Send(Arrivals arrivals, std::chrono::milliseconds timeout, Answer answer) {
  const bool has_metadata = !arrivals.metadata_keys.empty();
  auto pending =
      std::make_shared<PendingAnswer>(has_metadata ? 2 : 1, timeout, std::move(answer), deps_.metrics.in_flight);
  deadlines_.Watch(pending, timeout);
  auto waiter = std::make_shared<dedupe::Waiter>([pending](const Status& outcome) { pending->PartDone(outcome); });
  Arrivals claimed = Claim(std::move(arrivals), std::move(waiter));
  if (claimed.empty()) return;
  std::function<void(Status)> metadata_done;
  if (has_metadata) metadata_done = [pending](const Status& outcome) { pending->PartDone(outcome); };
  Publish(std::move(claimed), std::move(metadata_done));
}

Arrivals Departures::Claim(Arrivals arrivals, std::shared_ptr<dedupe::Waiter> waiter) {
  std::vector<size_t> mine = deps_.in_flight.Claim(arrivals.fingerprints, std::move(waiter));
  const size_t awaited = arrivals.fingerprints.size() - mine.size();
  // Between the look-up and the claim, the request that held a claim may have finished.
  std::vector<Fingerprint> durable_meanwhile;
  std::erase_if(mine, [&](size_t index) {
    if (!deps_.seen.Contains(arrivals.fingerprints[index])) return false;
    durable_meanwhile.push_back(arrivals.fingerprints[index]);
    return true;
  });
  deps_.in_flight.Settle(durable_meanwhile, {});
  deps_.metrics.known.Add(static_cast<double>(awaited + durable_meanwhile.size()));
  return mine.size() == arrivals.fingerprints.size() ? std::move(arrivals) : Pick(arrivals, mine);
}

void Departures::Publish(Arrivals arrivals, std::function<void(Status)> metadata_done) {
  auto batch = arrivals.batch;
  deps_.publisher.Publish(std::move(batch), [this, sent = std::move(arrivals),
                                             metadata_done = std::move(metadata_done)](stream::PublishResult result) {
    Settle(deps_, sent, result);
    if (!metadata_done) return;
    if (!result.metadata_failure) deps_.seen_metadata.Insert(sent.metadata_keys);
    metadata_done(result.metadata_failure ? Status(Fail(*result.metadata_failure)) : Status());
  });
}

}  // namespace mi::receive
