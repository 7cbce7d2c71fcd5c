#include "store/mysql/series_store.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <utility>

#include "base/clock.h"
#include "base/format.h"
#include "base/utf8.h"
#include "model/identity.h"
#include "store/metadata_plan.h"
#include "store/rows.h"

// Apply, while others do the same:
//
//   1. SELECT the known fingerprints
//   2. find or insert the dictionary rows of the new series     own transaction, committed
//   3. take a block of series ids                               own transaction, committed
//   4. series, times, postings, metadata, positions             one transaction, each table in the order of its key
//
// The order of keys means that of two writers with the same series one waits for the other, and that they never wait
// for each other. The second one waits for the first at the fingerprint that both insert, then gets a duplicate key,
// rolls back, and begins again at 1, where it finds the series. So no row is left half done and no id is given twice. A
// block of ids that was taken in vain leaves a gap. The dictionary rows of 2 stay, unused, until somebody needs them.
//
// Followers read rows by `changed`, the server's time when a row was written, and look back by longest_transaction
// (MysqlCatalogReader::ReadSeenChanges). So a transaction must become visible within that time: after half of it a
// store gives up (CheckTime), and what may still have become visible later is touched again (TouchLate).
//
// The database may be dropped and made anew between two statements. A connection does not notice that, and ids in
// memory and fingerprints, made with the old catalogue's secret, would be wrong in the new one. So the transaction of 4
// begins with the question which catalogue it is (MysqlPool::ConfirmCatalog). Asked before 3 too, it gives a clear
// error instead of ids that are too small.
namespace mi::store {
namespace {

constexpr size_t kPostingsAtOnce = 1'024;      // a multiple of the rows of an INSERT
constexpr size_t kSeenPerTransaction = 5'000;  // times that activity changes at once: how long others wait

// The key of a row of stream_position (stream, partition) or metric_metadata (tenant, family, and the slot unless it is
// the first).
Hash16 HashOf(std::initializer_list<std::string_view> parts) {
  std::string key;
  for (const std::string_view part : parts) AppendNetstring(part, key);
  return DictionaryHash(key);
}

// A row of metric_metadata. A family has kMostMetadataTexts of them.
struct MetadataSlot {
  Hash16 hash;
  TenantFamily key;
  size_t number;
};

// The slots of all families. Refuses texts that MySQL cannot keep.
Result<std::vector<MetadataSlot>> SlotsOf(const std::map<TenantFamily, std::vector<StoredMetadata>>& planned) {
  std::vector<MetadataSlot> slots;
  for (const auto& [key, statements] : planned) {
    for (const StoredMetadata& said : statements) {
      const model::MetricMetadata& text = said.metadata;
      for (const std::string* part : {&text.family, &text.type, &text.help, &text.unit}) {
        if (!IsValidUtf8(*part)) return Fail(Errc::kInvalid, "metadata that is not UTF-8");
      }
    }
    slots.push_back({HashOf({key.first, key.second}), key, 0});
    for (size_t slot = 1; slot < kMostMetadataTexts; ++slot) {
      slots.push_back({HashOf({key.first, key.second, format("{}", slot)}), key, slot});
    }
  }
  return slots;
}

Result<std::vector<StreamPosition>> ReadPositions(MysqlConnection& connection) {
  MysqlStatement* select = TRY(connection.Query("SELECT stream, partition_id, next_offset FROM stream_position"));
  std::vector<StreamPosition> positions;
  while (TRY(select->Fetch())) positions.push_back(StreamPositionOf(*select));
  return positions;
}

// Takes `count` ids of a table for good and returns the first. Requires: no transaction is open, since other writers
// would wait for its end.
Result<uint64_t> TakeIds(MysqlConnection& connection, std::string_view table, uint64_t count) {
  MysqlStatement* take = TRY(
      connection.Query("UPDATE metric_next_id SET next_id = LAST_INSERT_ID(next_id + ?) WHERE name = ?", count, table));
  if (take->affected_rows() != 1) {
    return Fail(Errc::kCorrupt, format("metric_next_id has no row \"{}\": restore a backup", table));
  }
  // Ids begin at 1. A proxy in between may lose the answer, and 0 would give ids that others have.
  if (take->insert_id() > count) return take->insert_id() - count;
  return Fail(Errc::kInternal, format("{}: the answer to LAST_INSERT_ID(expression) is {} after {} ids were taken",
                                      AddressOf(connection.options()), take->insert_id(), count));
}

// MySQL keeps only UTF-8 in its text columns.
Status CheckUtf8(const ApplyPlan& plan, std::span<const NewSeries> all) {
  for (const NewSeries& series : all) {
    for (const model::Label& label : plan.LabelsOf(series.planned)) {
      if (IsValidUtf8(label.name) && IsValidUtf8(label.value)) continue;
      return Fail(Errc::kInvalid, format("a label is not UTF-8, and MySQL keeps only that: {}",
                                         model::FormatIdentity(plan.LabelsOf(series.planned))));
    }
  }
  return {};
}

// The row has the hash of the wanted text, but its own text has another: it is damaged.
Status CorrectDictionaryRow(MysqlConnection& connection, const DictionaryTable& table, uint64_t id,
                            Dictionary::Wanted& wanted) {
  std::string columns;
  for (const std::string_view column : table.columns) {
    columns += format("{}{} = ?", columns.empty() ? "" : ", ", column);
  }
  MysqlStatement* update = TRY(connection.Prepare(format("UPDATE {} SET {} WHERE id = ?", table.name, columns)));
  for (size_t i = 0; i < table.columns.size(); ++i) update->Bind(wanted.values[i]);
  TRY(update->Bind(id).Run());
  wanted.Settle(id, true);
  return {};
}

Status FindDictionaryRows(MysqlConnection& connection, const DictionaryTable& table,
                          std::span<Dictionary::Wanted* const> missing, std::string_view lock) {
  if (missing.empty()) return {};
  std::string before = "SELECT hash, id";
  for (const std::string_view column : table.columns) before += format(", {}", column);
  before += format(" FROM {} FORCE INDEX (hash) WHERE hash IN", table.name);
  std::vector<std::pair<uint64_t, Dictionary::Wanted*>> damaged;  // by the id of the row
  TRY(connection.SelectIn(
      before, lock, missing.size(), [&](size_t i) { return View(missing[i]->hash); },
      [&](size_t i, const MysqlStatement& row) -> Status {
        SettleByRow(row, 1, 2, table, *missing[i]);
        const bool refused = missing[i]->id == 0;
        if (refused && DictionaryHash(DictionaryKeyOf(row, 2, table)) != missing[i]->hash) {
          damaged.emplace_back(row.Number(1), missing[i]);
        }
        return {};
      }));
  for (const auto& [id, wanted] : damaged) TRY(CorrectDictionaryRow(connection, table, id, *wanted));
  return {};
}

// The ids are ours, and there is no ON DUPLICATE KEY: with AUTO_INCREMENT and that, MariaDB 10.11 silently left rows
// out when four writers inserted the same ones.
Status InsertDictionaryRows(MysqlConnection& connection, const DictionaryTable& table,
                            std::span<Dictionary::Wanted* const> missing) {
  const uint64_t first = TRY(TakeIds(connection, table.name, missing.size()));
  std::string into = format("{} (id, hash", table.name);
  for (const std::string_view column : table.columns) into += format(", {}", column);
  into += ")";
  MysqlRows rows(into);
  uint64_t id = first;
  for (const Dictionary::Wanted* wanted : missing) {
    std::vector<MysqlValue> row = {id++, View(wanted->hash)};
    row.insert(row.end(), wanted->values.begin(), wanted->values.begin() + table.columns.size());
    rows.Add(std::move(row));
  }
  MysqlTransaction transaction = TRY(MysqlTransaction::Begin(connection));
  TRY(connection.Insert(rows));
  TRY(transaction.Commit());
  id = first;
  for (Dictionary::Wanted* wanted : missing) wanted->Settle(id++, true);
  return {};
}

}  // namespace

MysqlSeriesStore::MysqlSeriesStore(std::shared_ptr<MysqlPool> pool)
    : pool_(std::move(pool)),
      repeated_(pool_->metrics().GetCounter("store_repeated_total",
                                            "Transactions that were done again after a conflict with another writer.")),
      dictionaries_(pool_->options().dictionary_bytes),
      known_positions_(AddressOf(pool_->options()), pool_->fatal()) {}

Result<ApplyResult> MysqlSeriesStore::Apply(std::span<const model::SeriesBatch> batches,
                                            std::span<const StreamPosition> positions) {
  const ApplyPlan plan(batches);
  Result<ApplyResult> result = Repeat([&](MysqlConnection& connection) {
    const Time began = std::chrono::steady_clock::now();
    return OverloadedIfLate(began, TryApply(connection, plan, batches, positions));
  });
  pool_->ReportWrite(this, result ? nullptr : &result.error());
  if (result) inserted_since_checkpoint_ += result->inserted.size();
  return result;
}

Result<ApplyResult> MysqlSeriesStore::TryApply(MysqlConnection& connection, const ApplyPlan& plan,
                                               std::span<const model::SeriesBatch> batches,
                                               std::span<const StreamPosition> positions) {
  if (!stored_fingerprint_) stored_fingerprint_.emplace(pool_->identity_secret());
  SeriesMerge merge(plan, dictionaries_, SystemClock().NowMs(), *stored_fingerprint_);
  TRY(TouchLate(connection));
  TRY(FindKnown(connection, plan, merge));
  merge.CollectNew();
  TRY(CheckUtf8(plan, merge.new_series()));
  for (Dictionary* dictionary : dictionaries_.all()) TRY(SettleDictionary(connection, *dictionary));
  merge.RefuseClashes();

  const Time began = std::chrono::steady_clock::now();
  const uint64_t now_ms = TRY(pool_->ConfirmCatalog(connection));
  TRY(AssignIds(connection, merge));
  MysqlTransaction transaction = TRY(MysqlTransaction::Begin(connection));
  TRY(pool_->ConfirmCatalog(connection));
  TRY(InsertNew(connection, merge, now_ms));
  TRY(HealDamaged(connection, merge));
  TRY(CheckTime(began));
  const std::vector<SeenUpdate> moved = TRY(MoveSeen(connection, merge.Moved(), now_ms));
  TRY(ApplyMetadata(connection, batches));
  TRY(ApplyPositions(connection, positions));
  TRY(Commit(transaction, began, moved));

  // Only ids that are behind a position are remembered: if the database goes back, ApplyPositions notices it before a
  // row with a lost id is committed.
  if (!positions.empty()) dictionaries_.Remember();
  known_positions_.NoteCommitted(positions);
  return merge.TakeResult(moved);
}

Status MysqlSeriesStore::FindKnown(MysqlConnection& connection, const ApplyPlan& plan, SeriesMerge& merge) {
  std::vector<Hash16> fingerprints;  // ascending, as the runs are
  fingerprints.reserve(plan.runs().size());
  for (const auto& run : plan.runs()) fingerprints.push_back(run.front().fingerprint.ToBytes());
  return connection.SelectIn(
      "SELECT STRAIGHT_JOIN m.fingerprint, m.id, m.metric, b.tenant, s.first_seen, s.last_seen "
      "FROM metric m FORCE INDEX (fingerprint) JOIN metric_basic_label b ON b.id = m.metric_basic_label_id "
      "JOIN metric_seen s ON s.metric_id = m.id WHERE m.fingerprint IN",
      "", fingerprints.size(), [&](size_t run) { return View(fingerprints[run]); },
      [&](size_t run, const MysqlStatement& row) -> Status {
        merge.MatchStored(run, {.id = row.Number(1),
                                .content = row.Text(2),
                                .tenant = row.Text(3),
                                .first_seen_ms = row.Int(4),
                                .last_seen_ms = row.Int(5),
                                .fingerprint = plan.runs()[run].front().fingerprint});
        return {};
      });
}

// Finds rows, then inserts what is missing in a transaction of its own. If another writer inserts one of them first,
// the duplicate key rolls ours back, and the loop looks again. It then finds at least that row, so the writers make
// progress. Rows that were inserted stay, even if the attempt fails later; the next attempt finds them.
Status MysqlSeriesStore::SettleDictionary(MysqlConnection& connection, Dictionary& dictionary) {
  TRY(FindDictionaryRows(connection, dictionary.table(), dictionary.Missing(), ""));
  for (int conflicts = 0;; ++conflicts) {
    const std::vector<Dictionary::Wanted*> missing = dictionary.Missing();
    if (missing.empty()) return {};
    const uint64_t faults = connection.faults();
    const Status inserted = InsertDictionaryRows(connection, dictionary.table(), missing);
    if (inserted || !connection.HasConflictSince(faults) || conflicts == kMostConflicts) return inserted;
    // Another writer inserted some of them. MariaDB shows a plain read what another transaction committed a moment
    // after that transaction's locks are gone; a locking read sees it.
    TRY(FindDictionaryRows(connection, dictionary.table(), missing, "LOCK IN SHARE MODE"));
  }
}

Status MysqlSeriesStore::AssignIds(MysqlConnection& connection, SeriesMerge& merge) {
  const size_t count = merge.new_series().size();
  if (count == 0) return {};
  const uint64_t first = TRY(TakeIds(connection, "metric", count));
  if (first <= newest_id_) {
    return known_positions_.WentBack(format("the series id {} was given again", first));
  }
  newest_id_ = first + count - 1;
  merge.AssignIds(first);
  return {};
}

Status MysqlSeriesStore::InsertNew(MysqlConnection& connection, const SeriesMerge& merge, uint64_t now_ms) {
  MysqlRows series_rows("metric (id, metric_basic_label_id, fingerprint, metric)");
  for (const NewSeries* series : merge.NewSeriesByFingerprint()) {
    series_rows.Add(series->id, merge.BasicLabelOf(*series), View(series->fingerprint), merge.ContentOf(*series));
  }
  MysqlRows seen_rows("metric_seen (metric_id, first_seen, last_seen, changed)");
  for (const NewSeries& series : merge.new_series()) {
    seen_rows.Add(series.id, series.planned.first_seen_ms, series.planned.last_seen_ms, now_ms);
  }
  TRY(connection.Insert(series_rows));
  TRY(connection.Insert(seen_rows));
  // In parts that stay in the processor's cache: a call has ten times as many postings as series.
  const std::vector<Posting> postings = merge.Postings();
  for (size_t begin = 0; begin < postings.size(); begin += kPostingsAtOnce) {
    MysqlRows rows("metric_label (metric_label_name_id, metric_label_value_id, metric_id)");
    const size_t count = std::min(kPostingsAtOnce, postings.size() - begin);
    for (const Posting& posting : std::span(postings).subspan(begin, count)) {
      rows.Add(posting.name, posting.value, posting.series);
    }
    TRY(connection.Insert(rows));
  }
  return {};
}

// The labels may be there, since only the text of a row proves that it is damaged.
Status MysqlSeriesStore::HealDamaged(MysqlConnection& connection, const SeriesMerge& merge) {
  MysqlRows postings("metric_label (metric_label_name_id, metric_label_value_id, metric_id)");
  for (const NewSeries& series : merge.healed()) {
    TRY(connection.Query("UPDATE metric SET metric_basic_label_id = ?, metric = ? WHERE id = ?",
                         merge.BasicLabelOf(series), merge.ContentOf(series), series.id));
    for (const SeriesMerge::PairNumber pair : merge.PairsOf(series)) {
      const auto [name, value] = merge.IdsOf(pair);
      postings.Add(name, value, series.id);
    }
  }
  return connection.Insert(postings, "ON DUPLICATE KEY UPDATE metric_id = metric_id");
}

// Locks the rows in the order of their ids, so that what is returned and written is what others see next. FindKnown
// read the same rows without a lock; another writer may have moved them since. Therefore the times are merged again
// with the locked rows, and min and max make the order of the writers irrelevant.
Result<std::vector<SeenUpdate>> MysqlSeriesStore::MoveSeen(MysqlConnection& connection,
                                                           std::span<const SeenUpdate> wanted, uint64_t now_ms) {
  std::vector<SeenUpdate> moved;
  TRY(connection.SelectIn(
      "SELECT metric_id, first_seen, last_seen FROM metric_seen FORCE INDEX (PRIMARY) WHERE metric_id IN",
      "ORDER BY metric_id FOR UPDATE", wanted.size(), [&](size_t i) { return wanted[i].id; },
      [&](size_t i, const MysqlStatement& row) -> Status {
        const int64_t first = std::min(row.Int(1), wanted[i].first_seen_ms);
        const int64_t last = LastSeen(row.Int(2), wanted[i].last_seen_ms, static_cast<int64_t>(now_ms));
        if (first != row.Int(1) || last != row.Int(2)) moved.push_back({wanted[i].id, first, last});
        return {};
      }));
  MysqlRows rows("metric_seen (metric_id, first_seen, last_seen, changed)");
  for (const SeenUpdate& update : moved) rows.Add(update.id, update.first_seen_ms, update.last_seen_ms, now_ms);
  TRY(connection.Insert(rows,
                        "ON DUPLICATE KEY UPDATE first_seen = VALUES(first_seen), last_seen = VALUES(last_seen), "
                        "changed = VALUES(changed)"));
  return moved;
}

// A family has kMostMetadataTexts slots, one row each, which are filled in ascending order. Locks the rows that exist,
// merges what is said, and writes what changed. The locks last until the commit. A row that does not exist cannot be
// locked (READ COMMITTED has no gap locks): if two writers fill the same slot at once, the second one waits and then
// overwrites the first one's text. That comes back when it is said again, at the latest in the next activity window.
Status MysqlSeriesStore::ApplyMetadata(MysqlConnection& connection, std::span<const model::SeriesBatch> batches) {
  const auto planned = PlanMetadata(batches);
  std::vector<MetadataSlot> slots = TRY(SlotsOf(planned));
  const auto hash = [](const MetadataSlot& slot) { return View(slot.hash); };
  std::ranges::sort(slots, {}, hash);                               // the order of the key
  std::map<TenantFamily, std::map<size_t, StoredMetadata>> stored;  // by slot
  TRY(connection.SelectIn(
      "SELECT hash, last_seen, type, help, unit FROM metric_metadata FORCE INDEX (PRIMARY) WHERE hash IN",
      "ORDER BY hash FOR UPDATE", slots.size(), [&](size_t i) { return hash(slots[i]); },
      [&](size_t i, const MysqlStatement& row) -> Status {
        stored[slots[i].key].emplace(slots[i].number,
                                     StoredMetadata{.tenant = {},
                                                    .metadata = {.family = std::string(slots[i].key.second),
                                                                 .type = std::string(row.Text(2)),
                                                                 .help = std::string(row.Text(3)),
                                                                 .unit = std::string(row.Text(4))},
                                                    .last_seen_ms = row.Int(1)});
        return {};
      }));

  std::map<TenantFamily, std::map<size_t, StoredMetadata>> changed;
  for (const auto& [key, statements] : planned) {
    std::vector<StoredMetadata> texts;
    for (auto& [slot, text] : stored[key]) texts.push_back(std::move(text));
    for (const StoredMetadata& said : statements) {
      if (const auto slot = MergeMetadata(texts, said)) changed[key].insert_or_assign(*slot, texts[*slot]);
    }
  }
  MysqlRows written("metric_metadata (tenant, metric_family, type, help, unit, last_seen, hash)");
  for (const MetadataSlot& slot : slots) {
    const auto& of_family = changed[slot.key];
    const auto text = of_family.find(slot.number);
    if (text == of_family.end()) continue;
    const model::MetricMetadata& said = text->second.metadata;
    written.Add(slot.key.first, slot.key.second, said.type, said.help, said.unit, text->second.last_seen_ms,
                hash(slot));
  }
  return connection.Insert(written,
                           "ON DUPLICATE KEY UPDATE type = VALUES(type), help = VALUES(help), unit = VALUES(unit), "
                           "last_seen = VALUES(last_seen)");
}

// Last in the transaction, so that these rows are locked for a short time. The rows to write are locked first. Then all
// positions are read and checked (known_positions.cc), also when there are none to write: the ids of this call may come
// from memory. If the check fails, the whole transaction is rolled back, so nothing that relies on lost rows is
// committed.
Status MysqlSeriesStore::ApplyPositions(MysqlConnection& connection, std::span<const StreamPosition> positions) {
  if (positions.empty() && known_positions_.empty()) return {};
  struct Row {
    Hash16 hash;
    const StreamPosition* position;
    std::optional<int64_t> stored;  // locked until the end
  };
  std::vector<Row> rows;
  for (const StreamPosition& position : positions) {
    rows.push_back({HashOf({position.stream, format("{}", position.partition)}), &position, std::nullopt});
  }
  const auto hash = [](const Row& row) { return View(row.hash); };
  std::ranges::sort(rows, {},
                    [&](const Row& row) { return std::pair(hash(row), row.position); });  // the order of the key
  TRY(connection.SelectIn(
      "SELECT hash, next_offset FROM stream_position FORCE INDEX (PRIMARY) WHERE hash IN", "ORDER BY hash FOR UPDATE",
      rows.size(), [&](size_t i) { return hash(rows[i]); },
      [&](size_t i, const MysqlStatement& row) -> Status {
        rows[i].stored = row.Int(1);
        return {};
      }));
  TRY(known_positions_.Check(TRY(ReadPositions(connection))));
  constexpr std::string_view kInto = "stream_position (stream, partition_id, next_offset, hash)";
  MysqlRows locked(kInto);
  MysqlRows fresh(kInto);  // a missing row cannot be locked: another writer may insert it at the same moment
  for (const Row& row : rows) {
    (row.stored ? locked : fresh)
        .Add(row.position->stream, int64_t{row.position->partition}, known_positions_.Merge(*row.position, row.stored),
             hash(row));
  }
  TRY(connection.Insert(locked, "ON DUPLICATE KEY UPDATE next_offset = VALUES(next_offset)"));
  return connection.Insert(fresh, "ON DUPLICATE KEY UPDATE next_offset = GREATEST(next_offset, VALUES(next_offset))");
}

// An attempt that had a connection and failed so late probably met one of the time limits
// (MysqlConnection::SetOptions), of which a sixth is the shortest. Fewer series at once may succeed, unlike with a
// server that is away.
Result<ApplyResult> MysqlSeriesStore::OverloadedIfLate(Time began, Result<ApplyResult> result) const {
  if (result || result.error().code() != Errc::kUnavailable) return result;
  if (std::chrono::steady_clock::now() - began < std::chrono::milliseconds(pool_->options().longest_transaction) / 6)
    return result;
  return Fail(Errc::kOverloaded, result.error().message());
}

Status MysqlSeriesStore::CheckTime(Time began) const {
  const std::chrono::seconds longest = pool_->options().longest_transaction;
  const auto taken = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
  if (taken <= longest / 2) return {};
  pool_->CountFault(MysqlFault::kTimeout);
  return Fail(Errc::kUnavailable, format("{}: a transaction took {} ms, and no more than {} s are allowed: rolled back",
                                         AddressOf(pool_->options()), taken.count(), longest.count() / 2));
}

// A COMMIT that fails or takes too long may become visible at any later time.
Status MysqlSeriesStore::Commit(MysqlTransaction& transaction, Time began, std::span<const SeenUpdate> moved) {
  TRY(CheckTime(began));
  Status committed = transaction.Commit();
  const auto taken = std::chrono::steady_clock::now() - began;
  if (committed && taken <= pool_->options().longest_transaction) return committed;
  for (const SeenUpdate& update : moved) late_.push_back(update.id);
  return committed;
}

// Gives the late series a new `changed`. Waits, as every writer does, for a transaction on these rows that the server
// has not ended yet.
Status MysqlSeriesStore::TouchLate(MysqlConnection& connection) {
  std::ranges::sort(late_);
  TRY(connection.SelectIn(
      "UPDATE metric_seen SET changed = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS UNSIGNED) WHERE metric_id IN", "",
      late_.size(), [&](size_t i) { return late_[i]; }, [](size_t, const MysqlStatement&) { return Status(); }));
  late_.clear();
  return {};
}

Result<std::vector<SeenUpdate>> MysqlSeriesStore::ApplyActivity(std::span<const model::ActivityBatch> batches) {
  Result<std::vector<SeenUpdate>> moved = TryActivity(batches);
  pool_->ReportWrite(this, moved ? nullptr : &moved.error());
  return moved;
}

Result<std::vector<SeenUpdate>> MysqlSeriesStore::TryActivity(std::span<const model::ActivityBatch> batches) {
  std::vector<std::pair<Hash16, int64_t>> seen;  // ascending by bytes, as by fingerprint
  for (const auto& [fingerprint, last_seen_ms] : MergeActivity(batches)) {
    seen.emplace_back(fingerprint.ToBytes(), last_seen_ms);
  }
  const std::vector<SeenUpdate> active =
      TRY(Repeat([&](MysqlConnection& connection) { return FindActive(connection, seen); }));
  std::vector<SeenUpdate> updated;
  for (size_t begin = 0; begin < active.size(); begin += kSeenPerTransaction) {
    const auto part = std::span(active).subspan(begin, std::min(kSeenPerTransaction, active.size() - begin));
    const std::vector<SeenUpdate> moved =
        TRY(Repeat([&](MysqlConnection& connection) -> Result<std::vector<SeenUpdate>> {
          TRY(TouchLate(connection));
          const Time began = std::chrono::steady_clock::now();
          MysqlTransaction transaction = TRY(MysqlTransaction::Begin(connection));
          const uint64_t now_ms = TRY(pool_->ConfirmCatalog(connection));
          std::vector<SeenUpdate> now = TRY(MoveSeen(connection, part, now_ms));
          TRY(Commit(transaction, began, now));
          return now;
        }));
    updated.insert(updated.end(), moved.begin(), moved.end());
  }
  return updated;
}

Result<std::vector<SeenUpdate>> MysqlSeriesStore::FindActive(MysqlConnection& connection,
                                                             std::span<const std::pair<Hash16, int64_t>> seen) {
  std::vector<SeenUpdate> active;
  const int64_t now_ms = SystemClock().NowMs();
  TRY(connection.SelectIn(
      "SELECT STRAIGHT_JOIN m.fingerprint, m.id, s.last_seen FROM metric m FORCE INDEX (fingerprint) "
      "JOIN metric_seen s ON s.metric_id = m.id WHERE m.fingerprint IN",
      "", seen.size(), [&](size_t i) { return View(seen[i].first); },
      [&](size_t i, const MysqlStatement& row) -> Status {
        if (LastSeen(row.Int(2), seen[i].second, now_ms) != row.Int(2))
          active.push_back({row.Number(1), INT64_MAX, seen[i].second});
        return {};
      }));
  std::ranges::sort(active, {}, &SeenUpdate::id);
  return active;
}

// If the catalogue is the same after the reading, it was the same before.
Result<std::vector<StreamPosition>> MysqlSeriesStore::ReadPositionsOfCatalog() {
  return Repeat([&](MysqlConnection& connection) -> Result<std::vector<StreamPosition>> {
    std::vector<StreamPosition> positions = TRY(ReadPositions(connection));
    TRY(pool_->ConfirmCatalog(connection));
    return positions;
  });
}

Result<std::optional<int64_t>> MysqlSeriesStore::Position(const std::string& stream, int32_t partition) {
  return known_positions_.Read(TRY(ReadPositionsOfCatalog()), stream, partition);
}

Result<std::vector<StreamPosition>> MysqlSeriesStore::Checkpoint() {
  std::vector<StreamPosition> positions = TRY(ReadPositionsOfCatalog());
  // Few or no new series came, as on most days: others need the memory more.
  if (std::exchange(inserted_since_checkpoint_, 0) < kQuietSeries) dictionaries_.Forget();
  return positions;
}

}  // namespace mi::store
