#include "store/sqlite/series_store.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/clock.h"
#include "base/format.h"
#include "store/metadata_plan.h"
#include "store/rows.h"

namespace mi::store {
SqliteSeriesStore::SqliteSeriesStore(sqlite::Database database, const SqliteCatalogOptions& options,
                                     const std::string& identity_secret, FatalHandler fatal)
    : options_(options),
      database_(std::move(database)),
      dictionaries_(options.dictionary_bytes),
      fatal_(std::move(fatal)),
      known_positions_(database_.path(),
                       [this](const Error& error) {
                         went_back_ = true;
                         fatal_(error);
                       }),
      stored_fingerprint_(identity_secret),
      truncate_at_bytes_(4 * options.checkpoint_wal_bytes) {}

Result<std::unique_ptr<SeriesStore>> SqliteSeriesStore::Create(sqlite::Database database,
                                                               const SqliteCatalogOptions& options,
                                                               const std::string& identity_secret, FatalHandler fatal) {
  std::unique_ptr<SqliteSeriesStore> store(
      new SqliteSeriesStore(std::move(database), options, identity_secret, std::move(fatal)));
  TRY(store->Prepare());
  return store;
}

Status SqliteSeriesStore::Prepare() {
  TRY(database_.PrepareEach(
      {{find_,
        "SELECT m.id, m.metric, b.tenant, s.first_seen, s.last_seen, m.fingerprint, b.id IS NULL OR s.metric_id IS "
        "NULL FROM metric m LEFT JOIN metric_basic_label b ON b.id = m.metric_basic_label_id "
        "LEFT JOIN metric_seen s ON s.metric_id = m.id WHERE m.id = ?"},
       {find_id_, "SELECT fingerprint FROM metric WHERE id = ?"},
       // The sequence alone would do for the next id, if it were never damaged.
       {last_ids_,
        "SELECT ifnull((SELECT max(id) FROM metric), 0), "
        "ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'metric'), 0)"},
       {fingerprints_, "SELECT id, fingerprint FROM metric WHERE id > ? ORDER BY id"},
       {heal_series_, "UPDATE metric SET metric_basic_label_id = ?, fingerprint = ?, metric = ? WHERE id = ?"},
       {heal_seen_, "INSERT OR IGNORE INTO metric_seen (metric_id, first_seen, last_seen) VALUES (?, ?, ?)"},
       {update_seen_, "UPDATE metric_seen SET first_seen = ?, last_seen = ? WHERE metric_id = ?"},
       {advance_seen_,
        "UPDATE metric_seen SET last_seen = ?1 WHERE metric_id = ?2 AND (last_seen < ?1 OR last_seen > max(?1, ?3)) "
        "RETURNING first_seen"},
       {metadata_,
        "SELECT tenant, metric_family, type, help, unit, last_seen FROM metric_metadata "
        "WHERE tenant = ? AND metric_family = ? ORDER BY slot"},
       {upsert_metadata_,
        "INSERT OR REPLACE INTO metric_metadata (tenant, metric_family, slot, type, help, unit, last_seen) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)"},
       {upsert_position_,
        "INSERT INTO stream_position (stream, partition_id, next_offset) VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset"},
       {positions_, "SELECT stream, partition_id, next_offset FROM stream_position"}}));
  insert_series_ = TRY(SqliteBulkInsert::Open(database_, "metric (id, metric_basic_label_id, fingerprint, metric)"));
  insert_seen_ = TRY(SqliteBulkInsert::Open(database_, "metric_seen (metric_id, first_seen, last_seen)"));
  label_blocks_ = TRY(LabelBlocks::Open(database_));
  for (size_t i = 0; i < dictionary_rows_.size(); ++i) {
    const DictionaryTable& table = dictionaries_.all()[i]->table();
    std::string columns;
    std::string corrections;
    for (const std::string_view column : table.columns) {
      columns += format(", {}", column);
      corrections += format("{}{} = ?", corrections.empty() ? "" : ", ", column);
    }
    dictionary_rows_[i].find = TRY(database_.Prepare(SelectDictionarySql(table, " WHERE hash = ?")));
    dictionary_rows_[i].correct =
        TRY(database_.Prepare(format("UPDATE {} SET {} WHERE id = ?", table.name, corrections)));
    dictionary_rows_[i].insert = TRY(database_.Prepare(InsertSql(format("{} (hash{})", table.name, columns), 1)));
  }
  return database_.OwnCheckpoints();
}

// One transaction. It writes the series in the order of their ids, which is at the end of the tables, and one row per
// label pair. The ids of dictionary rows are remembered only after the commit: a rolled-back
// transaction gives them to others.
Result<ApplyResult> SqliteSeriesStore::ApplyBatches(std::span<const model::SeriesBatch> batches,
                                                    std::span<const StreamPosition> positions) {
  TRY(MakeRoomInWal());
  const ApplyPlan plan(batches);
  SeriesMerge merge(plan, dictionaries_, SystemClock().NowMs(), stored_fingerprint_);
  sqlite::Transaction transaction = TRY(sqlite::Transaction::Begin(database_));
  TRY(LearnFingerprints());
  TRY(FindKnown(plan, merge));
  merge.CollectNew();
  for (size_t i = 0; i < dictionary_rows_.size(); ++i) {
    TRY(SettleDictionary(*dictionaries_.all()[i], dictionary_rows_[i]));
  }
  merge.RefuseClashes();
  TRY(InsertNew(merge));
  TRY(HealDamaged(merge));
  const std::vector<SeenUpdate> moved = merge.Moved();
  TRY(UpdateSeen(moved));
  TRY(ApplyMetadata(batches));
  TRY(ApplyPositions(positions));
  TRY(transaction.Commit());

  // Only ids that are behind a position: see MysqlSeriesStore::TryApply.
  if (!positions.empty()) dictionaries_.Remember();
  for (const NewSeries& series : merge.new_series()) index_.Add(series.planned.fingerprint, series.id);
  if (!merge.new_series().empty()) indexed_through_ = static_cast<int64_t>(merge.new_series().back().id);
  known_positions_.NoteCommitted(positions);
  ApplyResult result = merge.TakeResult(moved);
  inserted_since_checkpoint_ += result.inserted.size();
  CheckpointWhenDue();
  return result;
}

std::unexpected<Error> SqliteSeriesStore::IdsAreUsedUp(uint64_t id) const {
  return Fail(Errc::kInternal, format("{}: series {} is above the highest id, {}: begin a new catalogue",
                                      database_.path(), id, FingerprintIndex::kMaxId));
}

// Reads the rows above those that are known: all of them at the first call, later what other writers have inserted. A
// table that ends before the known rows has lost some, and is read anew. What was rolled back is not in index_, because
// rows are added to it after the commit.
Status SqliteSeriesStore::LearnFingerprints() {
  TRY(last_ids_.Step());
  const int64_t last = last_ids_.Int(0);
  next_id_ = 1 + std::max(last, last_ids_.Int(1));
  last_ids_.Reset();
  if (last < indexed_through_) {
    index_.Clear();
    indexed_through_ = 0;
  }
  if (last == indexed_through_) return {};
  if (static_cast<uint64_t>(last) > FingerprintIndex::kMaxId) return IdsAreUsedUp(static_cast<uint64_t>(last));
  fingerprints_.Bind(1, indexed_through_);
  while (TRY(fingerprints_.Step())) {
    if (fingerprints_.Int(0) <= indexed_through_) {
      const int64_t id = fingerprints_.Int(0);
      fingerprints_.Reset();
      return Fail(Errc::kCorrupt, format("{}: row {} stands behind row {}", database_.path(), id, indexed_through_));
    }
    indexed_through_ = fingerprints_.Int(0);
    index_.Add(FingerprintAt(fingerprints_, 1), static_cast<uint64_t>(indexed_through_));
  }
  return {};
}

// The row that has the fingerprint, else the row whose content has it: then its own fingerprint is damaged. A row of
// another series can have the same tag.
Result<bool> SqliteSeriesStore::FindRow(const model::Fingerprint& fingerprint) {
  bool has_candidates = false;
  const auto stand_on = [&](uint64_t id, auto belongs) -> Result<bool> {
    has_candidates = true;
    if (!TRY(find_.Bind(1, static_cast<int64_t>(id)).Step())) return false;
    if (belongs()) return true;
    find_.Reset();
    return false;
  };
  const auto by_row = [&] { return FingerprintAt(find_, 5) == fingerprint; };
  const bool found = TRY(index_.Find(fingerprint, [&](uint64_t id) { return stand_on(id, by_row); }));
  if (found || !has_candidates) return found;
  const auto by_content = [&] { return stored_fingerprint_(find_.Text(2), find_.Text(1)) == fingerprint; };
  return index_.Find(fingerprint, [&](uint64_t id) { return stand_on(id, by_content); });
}

Status SqliteSeriesStore::FindKnown(const ApplyPlan& plan, SeriesMerge& merge) {
  constexpr size_t kAhead = 8;  // of the look-ups, which wait for memory
  for (size_t run = 0; run < plan.runs().size(); ++run) {
    if (run + kAhead < plan.runs().size()) index_.Prefetch(plan.runs()[run + kAhead].front().fingerprint);
    if (!TRY(FindRow(plan.runs()[run].front().fingerprint))) continue;
    merge.MatchStored(run, {.id = static_cast<uint64_t>(find_.Int(0)),
                            .content = find_.Text(1),
                            .tenant = find_.Text(2),
                            .first_seen_ms = find_.Int(3),
                            .last_seen_ms = find_.Int(4),
                            .fingerprint = FingerprintAt(find_, 5),
                            .complete = find_.Int(6) == 0});
    find_.Reset();
  }
  return {};
}

Status SqliteSeriesStore::SettleDictionary(Dictionary& dictionary, DictionaryRows& rows) {
  for (Dictionary::Wanted* wanted : dictionary.Missing()) {
    if (TRY(rows.find.BindBlob(1, View(wanted->hash)).Step())) {
      TRY(SettleByFound(dictionary.table(), rows, *wanted));
      continue;
    }
    rows.insert.BindBlob(1, View(wanted->hash));
    for (size_t i = 0; i < dictionary.table().columns.size(); ++i) {
      rows.insert.BindText(static_cast<int>(i + 2), wanted->values[i]);
    }
    TRY(rows.insert.Run());
    wanted->Settle(static_cast<uint64_t>(database_.last_insert_rowid()), true);
  }
  return {};
}

// Corrects the row if its text is damaged.
Status SqliteSeriesStore::SettleByFound(const DictionaryTable& table, DictionaryRows& rows,
                                        Dictionary::Wanted& wanted) {
  SettleByRow(rows.find, 0, 2, table, wanted);
  const int64_t id = rows.find.Int(0);
  const bool damaged = wanted.id == 0 && DictionaryHash(DictionaryKeyOf(rows.find, 2, table)) != wanted.hash;
  rows.find.Reset();
  if (!damaged) return {};
  int parameter = 0;
  for (size_t i = 0; i < table.columns.size(); ++i) rows.correct.BindText(++parameter, wanted.values[i]);
  TRY(rows.correct.Bind(++parameter, id).Run());
  wanted.Settle(static_cast<uint64_t>(id), true);
  return {};
}

Status SqliteSeriesStore::HealDamaged(const SeriesMerge& merge) {
  for (const NewSeries& series : merge.healed()) {
    const auto id = static_cast<int64_t>(series.id);
    heal_series_.Bind(1, static_cast<int64_t>(merge.BasicLabelOf(series)));
    heal_series_.BindBlob(2, View(series.fingerprint)).BindText(3, merge.ContentOf(series));
    TRY(heal_series_.Bind(4, id).Run());
    heal_seen_.Bind(1, id).Bind(2, series.planned.first_seen_ms);
    TRY(heal_seen_.Bind(3, series.planned.last_seen_ms).Run());
    for (const SeriesMerge::PairNumber pair : merge.PairsOf(series)) {
      const auto [name, value] = merge.IdsOf(pair);
      TRY(label_blocks_.InsertMissing(name, value, series.id));
    }
  }
  return {};
}

Status SqliteSeriesStore::InsertNew(SeriesMerge& merge) {
  if (merge.new_series().empty()) return {};
  const uint64_t last = static_cast<uint64_t>(next_id_) + merge.new_series().size() - 1;
  if (last > FingerprintIndex::kMaxId) return IdsAreUsedUp(last);
  merge.AssignIds(static_cast<uint64_t>(next_id_));
  const std::span<const NewSeries> series = merge.new_series();
  TRY(insert_series_.Insert(series.size(), [&](size_t i, sqlite::Statement& insert, int at) {
    insert.Bind(at, static_cast<int64_t>(series[i].id));
    insert.Bind(at + 1, static_cast<int64_t>(merge.BasicLabelOf(series[i])));
    insert.BindBlob(at + 2, View(series[i].fingerprint)).BindText(at + 3, merge.ContentOf(series[i]));
  }));
  TRY(insert_seen_.Insert(series.size(), [&](size_t i, sqlite::Statement& insert, int at) {
    insert.Bind(at, static_cast<int64_t>(series[i].id));
    insert.Bind(at + 1, series[i].planned.first_seen_ms).Bind(at + 2, series[i].planned.last_seen_ms);
  }));
  return label_blocks_.Insert(merge);
}

Status SqliteSeriesStore::UpdateSeen(std::span<const SeenUpdate> moved) {
  for (const SeenUpdate& update : moved) {
    update_seen_.Bind(1, update.first_seen_ms).Bind(2, update.last_seen_ms);
    TRY(update_seen_.Bind(3, static_cast<int64_t>(update.id)).Run());
  }
  return {};
}

// The slots of a family are filled in ascending order, so the place of a text among those that are read is its slot.
Status SqliteSeriesStore::ApplyMetadata(std::span<const model::SeriesBatch> batches) {
  for (const auto& [key, statements] : PlanMetadata(batches)) {
    const auto& [tenant, family] = key;
    std::vector<StoredMetadata> texts;
    metadata_.BindText(1, tenant).BindText(2, family);
    while (TRY(metadata_.Step())) texts.push_back(TRY(StoredMetadataOf(metadata_)));
    std::set<size_t> changed;
    for (const StoredMetadata& said : statements) {
      if (const auto slot = MergeMetadata(texts, said)) changed.insert(*slot);
    }
    for (const size_t slot : changed) {
      const model::MetricMetadata& text = texts[slot].metadata;
      upsert_metadata_.BindText(1, tenant).BindText(2, family).Bind(3, static_cast<int64_t>(slot));
      upsert_metadata_.BindText(4, text.type).BindText(5, text.help).BindText(6, text.unit);
      TRY(upsert_metadata_.Bind(7, texts[slot].last_seen_ms).Run());
    }
  }
  return {};
}

Status SqliteSeriesStore::ApplyPositions(std::span<const StreamPosition> positions) {
  if (positions.empty() && known_positions_.empty()) return {};
  const std::vector<StreamPosition> stored = TRY(ReadPositions());
  TRY(known_positions_.Check(stored));
  for (const StreamPosition& position : positions) {
    const int64_t next_offset =
        known_positions_.Merge(position, NextOffsetIn(stored, position.stream, position.partition));
    TRY(upsert_position_.BindText(1, position.stream).Bind(2, position.partition).Bind(3, next_offset).Run());
  }
  return {};
}

Result<std::vector<StreamPosition>> SqliteSeriesStore::ReadPositions() {
  std::vector<StreamPosition> positions;
  while (TRY(positions_.Step())) positions.push_back(StreamPositionOf(positions_));
  return positions;
}

Result<std::vector<SeenUpdate>> SqliteSeriesStore::ApplySightings(std::span<const model::ActivityBatch> batches) {
  TRY(MakeRoomInWal());
  sqlite::Transaction transaction = TRY(sqlite::Transaction::Begin(database_));
  std::vector<std::pair<int64_t, int64_t>> known;  // id, last_seen
  TRY(LearnFingerprints());
  for (const auto& [fingerprint, last_seen_ms] : MergeActivity(batches)) {
    TRY(index_.Find(fingerprint, [&](uint64_t id) -> Result<bool> {
      if (!TRY(find_id_.Bind(1, static_cast<int64_t>(id)).Step())) return false;
      const bool found = FingerprintAt(find_id_, 0) == fingerprint;
      find_id_.Reset();
      if (found) known.emplace_back(id, last_seen_ms);
      return found;
    }));
  }
  std::ranges::sort(known);
  std::vector<SeenUpdate> updated;
  const int64_t wrong_after_ms = SystemClock().NowMs() + kMostAheadMs;  // see LastSeen
  for (const auto& [id, last_seen_ms] : known) {
    if (!TRY(advance_seen_.Bind(1, last_seen_ms).Bind(2, id).Bind(3, wrong_after_ms).Step())) continue;
    updated.push_back({static_cast<uint64_t>(id), advance_seen_.Int(0), last_seen_ms});
    advance_seen_.Reset();
  }
  TRY(transaction.Commit());
  CheckpointWhenDue();
  return updated;
}

template <typename T>
Result<T> SqliteSeriesStore::FatalIfDamaged(Result<T> result) const {
  if (!result && result.error().code() == Errc::kCorrupt && !went_back_) fatal_(DamagedCatalog(result.error()));
  return result;
}

Result<ApplyResult> SqliteSeriesStore::Apply(std::span<const model::SeriesBatch> batches,
                                             std::span<const StreamPosition> positions) {
  return FatalIfDamaged(ApplyBatches(batches, positions));
}

Result<std::vector<SeenUpdate>> SqliteSeriesStore::ApplyActivity(std::span<const model::ActivityBatch> batches) {
  return FatalIfDamaged(ApplySightings(batches));
}

void SqliteSeriesStore::NoteDamaged(std::span<const DamagedRow> rows) {
  for (const DamagedRow& row : rows) {
    if (row.id > 0 && row.id <= FingerprintIndex::kMaxId) index_.Add(row.fingerprint, row.id);
  }
}

Result<std::vector<StreamPosition>> SqliteSeriesStore::Checkpoint() { return FatalIfDamaged(MakeCheckpoint()); }

Result<std::optional<int64_t>> SqliteSeriesStore::Position(const std::string& stream, int32_t partition) {
  const Result<std::vector<StreamPosition>> stored = FatalIfDamaged(ReadPositions());
  if (!stored) return Fail(stored.error());
  return known_positions_.Read(*stored, stream, partition);
}

// The positions are read before the checkpoint. If it is complete, every frame of the WAL is in the database file and
// synced, hence also the transactions that wrote these positions. What others commit meanwhile may be in the file too,
// but is not promised. An incomplete checkpoint promises nothing new: the positions of the last complete one stand.
Result<std::vector<StreamPosition>> SqliteSeriesStore::MakeCheckpoint() {
  // Read first: what is committed during the checkpoint is not promised.
  std::vector<StreamPosition> committed = TRY(ReadPositions());
  const sqlite::Database::CheckpointResult checkpoint = TRY(database_.Checkpoint());
  if (checkpoint.complete) covered_ = std::move(committed);
  // Few or no new series came, as on most days: others need the memory more.
  if (std::exchange(inserted_since_checkpoint_, 0) < kQuietSeries) {
    database_.ReleaseMemory();
    dictionaries_.Forget();
  }
  return covered_;
}

Status SqliteSeriesStore::MakeRoomInWal() {
  constexpr int kWaitMs = 1'000;
  const auto bytes = [&] { return static_cast<uint64_t>(database_.wal_bytes()); };
  if (bytes() <= options_.max_wal_bytes) return {};
  TRY(database_.TruncateWal(kWaitMs));
  if (bytes() <= options_.max_wal_bytes) return {};
  return Fail(Errc::kOverloaded,
              format("{}-wal holds {}, limit {}: another process reads the catalogue in one long transaction (an open "
                     "sqlite3 shell?); it must end first",
                     database_.path(), FormatBytes(bytes()), FormatBytes(options_.max_wal_bytes)));
}

// The WAL grows with each commit; a checkpoint copies it into the database file, and only then can SQLite write from
// its beginning again. A passive checkpoint never waits, but readers that overlap without a pause can prevent the new
// beginning although everything is copied. So once the WAL is four times as large as it should be, this waits for the
// readers, briefly, and doubles the size at which it waits again. A failure here is reported by the next Checkpoint().
void SqliteSeriesStore::CheckpointWhenDue() {
  constexpr int kWaitMs = 50;
  const auto bytes = static_cast<uint64_t>(database_.wal_bytes());
  if (bytes <= options_.checkpoint_wal_bytes) {
    truncate_at_bytes_ = 4 * options_.checkpoint_wal_bytes;
    return;
  }
  (void)database_.Checkpoint();
  if (bytes <= truncate_at_bytes_) return;
  (void)database_.TruncateWal(kWaitMs);
  truncate_at_bytes_ = 2 * bytes;
}

}  // namespace mi::store
