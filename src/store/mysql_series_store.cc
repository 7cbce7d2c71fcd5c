#include "store/mysql_series_store.h"

#include <algorithm>
#include <utility>

#include "base/format.h"
#include "model/identity.h"
#include "store/mysql_select_in.h"

namespace mi::store {

MysqlSeriesStore::MysqlSeriesStore(std::shared_ptr<MysqlPool> pool)
    : pool_(std::move(pool)),
      repeated_(pool_->metrics().GetCounter(
          "store_repeated_total", "Transactions that were done again after a conflict with another writer.")) {
  for (const DictionaryTable& table : DictionaryTables(pool_->options().dictionary_bytes))
    dictionaries_.emplace_back(table);
}

Result<ApplyResult> MysqlSeriesStore::Apply(std::span<const model::SeriesBatch> batches,
                                            std::span<const StreamPosition> positions) {
  const ApplyCall call(batches, positions);
  // Whatever ends an attempt, be it want of memory: the dictionaries let go of the batches' texts.
  struct Borrowed {
    std::vector<MysqlDictionary>& dictionaries;
    ~Borrowed() {
      for (MysqlDictionary& dictionary : dictionaries) dictionary.Discard();
    }
  };
  Result<ApplyResult> result = Repeat([&](MysqlConnection& connection) {
    const Borrowed borrowed{dictionaries_};
    Result<ApplyResult> attempt = Attempt(connection, call);
    for (MysqlDictionary& dictionary : dictionaries_) dictionary.Remember();
    return attempt;
  });
  NoteWrite(result);
  if (!result) {
    // What a failed call made in the dictionaries is behind no position of ours: a backup that is restored before the
    // next attempt takes it away unnoticed.
    ForgetAll();
    return result;
  }
  inserted_since_checkpoint_ += result->inserted.size();
  last_positions_.Committed(positions);
  return result;
}

Result<ApplyResult> MysqlSeriesStore::Attempt(MysqlConnection& connection, const ApplyCall& call) {
  ApplyResult result;
  if (Status told = TellLateAgain(connection); !told) return Fail(told.error());
  if (Status found = FindKnown(connection, call, result); !found) return Fail(found.error());
  if (Status gathered = GatherFresh(call, result); !gathered) return Fail(gathered.error());
  if (Status resolved = Resolve(connection); !resolved) return Fail(resolved.error());

  const Time began = std::chrono::steady_clock::now();
  const Result<uint64_t> now_ms = ServerNowMs(connection);
  if (!now_ms) return Fail(now_ms.error());
  if (Status given = GiveIds(connection, call, result); !given) return Fail(given.error());
  Result<MysqlTransaction> transaction = MysqlTransaction::Begin(connection);
  if (!transaction) return Fail(transaction.error());
  if (Status done = InsertFresh(connection, *now_ms); !done) return Fail(done.error());
  if (Status done = CheckTime(began); !done) return Fail(done.error());
  if (Status done = MoveSeen(connection, sightings_, *now_ms, result.updated); !done) return Fail(done.error());
  if (Status done = ApplyMetadata(connection, call); !done) return Fail(done.error());
  if (Status done = ApplyPositions(connection, call); !done) return Fail(done.error());
  if (Status done = Commit(*transaction, began, result.updated); !done) return Fail(done.error());
  return result;
}

Status MysqlSeriesStore::FindKnown(MysqlConnection& connection, const ApplyCall& call, ApplyResult& result) {
  run_is_known_.assign(call.plan.runs().size(), 0);
  sightings_.clear();
  std::array<char, 16> bytes{};
  std::vector<std::array<char, 16>> fingerprints;
  fingerprints.reserve(call.plan.runs().size());
  for (const auto& run : call.plan.runs()) fingerprints.push_back(run.front().fingerprint.ToBytes());
  return SelectIn(
      connection,
      "SELECT STRAIGHT_JOIN m.id, m.fingerprint, m.metric, b.tenant, s.first_seen, s.last_seen "
      "FROM metric m FORCE INDEX (fingerprint) JOIN metric_basic_label b ON b.id = m.metric_basic_label_id "
      "JOIN metric_seen s ON s.metric_id = m.id WHERE m.fingerprint IN",
      "", fingerprints.size(), [&](size_t i, MysqlStatement& select) { select.BindText(View(fingerprints[i])); },
      [&](const MysqlStatement& row) -> Status {
        if (row.Text(1).size() != bytes.size()) return {};
        std::ranges::copy(row.Text(1), bytes.begin());
        const auto at = std::ranges::lower_bound(fingerprints, bytes, [](const auto& a, const auto& b) {
          return View(a) < View(b);  // as unsigned bytes
        });
        if (at != fingerprints.end() && *at == bytes) {
          MeetStored(call, static_cast<size_t>(at - fingerprints.begin()), row, result);
        }
        return {};
      });
}

// Fingerprints find, contents decide.
void MysqlSeriesStore::MeetStored(const ApplyCall& call, size_t run, const MysqlStatement& row, ApplyResult& result) {
  run_is_known_[run] = 1;
  for (const PlannedSeries& series : call.plan.runs()[run]) {
    text_.clear();
    model::AppendIdentity(call.plan.LabelsOf(series), text_);
    if (row.Text(2) != text_ || row.Text(3) != call.plan.TenantOf(series).name()) {
      AddCollisions(series, row.Text(2), result);
      continue;
    }
    result.existing += series.occurrences.size();
    if (series.first_seen_ms < row.Signed(4) || series.last_seen_ms > row.Signed(5)) {
      sightings_.push_back({row.Number(0), series.first_seen_ms, series.last_seen_ms});
    }
  }
}

// Followers look back by the longest transaction; what would be seen later than that is not committed.
Status MysqlSeriesStore::CheckTime(Time began) const {
  const std::chrono::seconds longest = pool_->options().longest_transaction;
  const auto taken = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
  if (taken <= longest / 2) return {};
  pool_->CountFault(MysqlFault::kTimeout);
  return Fail(Errc::kUnavailable, format("{}: a transaction took {} ms, and no more than {} s are allowed: rolled back",
                                         AddressOf(pool_->options()), taken.count(), longest.count() / 2));
}

Status MysqlSeriesStore::Commit(MysqlTransaction& transaction, Time began, std::span<const SeenUpdate> moved) {
  if (Status in_time = CheckTime(began); !in_time) return in_time;
  // Before: there may be no memory for it afterwards.
  const size_t before = late_.size();
  for (const SeenUpdate& update : moved) late_.push_back(update.id);
  Status committed = transaction.Commit();
  const auto taken = std::chrono::steady_clock::now() - began;
  if (committed && taken <= pool_->options().longest_transaction) late_.resize(before);
  return committed;
}

void MysqlSeriesStore::ForgetAll() {
  for (MysqlDictionary& dictionary : dictionaries_) dictionary.ForgetAll();
}

}  // namespace mi::store
