// MysqlSeriesStore: times that move, by batches and by activity.
#include "store/mysql_series_store.h"

#include <algorithm>

#include "store/mysql_select_in.h"

namespace mi::store {
namespace {

constexpr size_t kSightingsAtOnce = 5'000;  // times moved in a transaction: what others wait for

}  // namespace

// Locks the rows in the order of their ids, so that what is told and written is what others see next.
Status MysqlSeriesStore::MoveSeen(MysqlConnection& connection, std::span<const Sighting> sightings, uint64_t now_ms,
                                  std::vector<SeenUpdate>& updated) {
  if (sightings.empty()) return {};
  std::vector<Sighting> sorted(sightings.begin(), sightings.end());
  std::ranges::sort(sorted, {}, &Sighting::id);
  std::vector<SeenUpdate> moved;
  const Status read = SelectIn(
      connection, "SELECT metric_id, first_seen, last_seen FROM metric_seen FORCE INDEX (PRIMARY) WHERE metric_id IN",
      "ORDER BY metric_id FOR UPDATE", sorted.size(),
      [&](size_t i, MysqlStatement& select) { select.Bind(sorted[i].id); },
      [&](const MysqlStatement& row) -> Status {
        const auto sighting = std::ranges::lower_bound(sorted, row.Number(0), {}, &Sighting::id);
        if (sighting == sorted.end() || sighting->id != row.Number(0)) return {};
        const int64_t first = std::min(row.Signed(1), sighting->first_seen_ms);
        const int64_t last = std::max(row.Signed(2), sighting->last_seen_ms);
        if (first != row.Signed(1) || last != row.Signed(2)) moved.push_back({sighting->id, first, last});
        return {};
      });
  if (!read) return read;
  seen_rows_.Clear();
  for (const SeenUpdate& update : moved) {
    seen_rows_.Number(update.id).Number(update.first_seen_ms).Number(update.last_seen_ms).Number(now_ms);
  }
  updated.insert(updated.end(), moved.begin(), moved.end());
  return connection.Insert("metric_seen (metric_id, first_seen, last_seen, changed)", seen_rows_,
                           "ON DUPLICATE KEY UPDATE first_seen = VALUES(first_seen), last_seen = VALUES(last_seen), "
                           "changed = VALUES(changed)");
}

// Waits, as every writer, for a transaction that the server has not ended yet.
Status MysqlSeriesStore::TellLateAgain(MysqlConnection& connection) {
  if (late_.empty()) return {};
  std::ranges::sort(late_);
  Status told = SelectIn(
      connection, "UPDATE metric_seen SET changed = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS UNSIGNED) WHERE metric_id IN",
      "", late_.size(), [&](size_t i, MysqlStatement& update) { update.Bind(late_[i]); },
      [](const MysqlStatement&) { return Status(); });
  if (told) late_.clear();
  return told;
}

Result<std::vector<SeenUpdate>> MysqlSeriesStore::ApplyActivity(std::span<const model::ActivityBatch> batches) {
  Result<std::vector<SeenUpdate>> moved = MoveActivity(batches);
  NoteWrite(moved);
  return moved;
}

Result<std::vector<SeenUpdate>> MysqlSeriesStore::MoveActivity(std::span<const model::ActivityBatch> batches) {
  std::vector<std::pair<std::array<char, 16>, int64_t>> sorted;
  for (const auto& [fingerprint, last_seen_ms] : MergeActivity(batches)) {
    sorted.emplace_back(fingerprint.ToBytes(), last_seen_ms);  // ascending by bytes, too
  }

  std::vector<Sighting> sightings;
  Status found = Repeat([&](MysqlConnection& connection) {
    sightings.clear();
    return SelectIn(
        connection,
        "SELECT STRAIGHT_JOIN m.id, m.fingerprint, s.last_seen FROM metric m FORCE INDEX (fingerprint) "
        "JOIN metric_seen s ON s.metric_id = m.id WHERE m.fingerprint IN",
        "", sorted.size(), [&](size_t i, MysqlStatement& select) { select.BindText(View(sorted[i].first)); },
        [&](const MysqlStatement& row) -> Status {
          const auto at =
              std::ranges::lower_bound(sorted, row.Text(1), {}, [](const auto& one) { return View(one.first); });
          if (at == sorted.end() || View(at->first) != row.Text(1) || at->second <= row.Signed(2)) return {};
          sightings.push_back({row.Number(0), INT64_MAX, at->second});
          return {};
        });
  });
  if (!found) return Fail(found.error());
  std::ranges::sort(sightings, {}, &Sighting::id);

  std::vector<SeenUpdate> updated;
  for (size_t begin = 0; begin < sightings.size(); begin += kSightingsAtOnce) {
    const auto slice =
        std::span<const Sighting>(sightings).subspan(begin, std::min(kSightingsAtOnce, sightings.size() - begin));
    Result<std::vector<SeenUpdate>> moved = Repeat([&](MysqlConnection& connection) -> Result<std::vector<SeenUpdate>> {
      std::vector<SeenUpdate> now;
      if (Status told = TellLateAgain(connection); !told) return Fail(told.error());
      const Time began = std::chrono::steady_clock::now();
      const Result<uint64_t> now_ms = ServerNowMs(connection);
      if (!now_ms) return Fail(now_ms.error());
      Result<MysqlTransaction> transaction = MysqlTransaction::Begin(connection);
      if (!transaction) return Fail(transaction.error());
      if (Status done = MoveSeen(connection, slice, *now_ms, now); !done) return Fail(done.error());
      if (Status done = Commit(*transaction, began, now); !done) return Fail(done.error());
      return now;
    });
    if (!moved) return Fail(moved.error());
    updated.insert(updated.end(), moved->begin(), moved->end());
  }
  return updated;
}

}  // namespace mi::store
