#include "store/sqlite_series_store.h"

#include <algorithm>
#include <utility>

#include "base/format.h"
#include "model/identity.h"
#include "store/dictionary_tables.h"

namespace mi::store {
Result<std::unique_ptr<SeriesStore>> SqliteSeriesStore::Create(sqlite::Database database, const Limits& limits) {
  std::unique_ptr<SqliteSeriesStore> store(new SqliteSeriesStore(std::move(database), limits));
  if (Status s = store->Prepare(); !s) return Fail(s.error());
  return store;
}

Status SqliteSeriesStore::Prepare() {
  Status prepared = database_.PrepareEach(
      {{find_,
        "SELECT m.id, m.metric, b.tenant, s.first_seen, s.last_seen FROM metric m "
        "JOIN metric_basic_label b ON b.id = m.metric_basic_label_id JOIN metric_seen s ON s.metric_id = m.id "
        "WHERE m.fingerprint = ?"},
       {next_id_, "SELECT seq + 1 FROM sqlite_sequence WHERE name = 'metric'"},
       {update_seen_, "UPDATE metric_seen SET first_seen = ?, last_seen = ? WHERE metric_id = ?"},
       {find_id_, "SELECT id FROM metric WHERE fingerprint = ?"},
       {advance_seen_,
        "UPDATE metric_seen SET last_seen = ?1 WHERE metric_id = ?2 AND last_seen < ?1 RETURNING first_seen"},
       {upsert_metadata_,
        "INSERT INTO metric_metadata (tenant, metric_family, type, help, unit, last_seen) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET type = excluded.type, help = excluded.help, unit = excluded.unit, "
        "last_seen = excluded.last_seen WHERE (excluded.last_seen, excluded.type, excluded.help, excluded.unit) > "
        "(metric_metadata.last_seen, metric_metadata.type, metric_metadata.help, metric_metadata.unit)"},
       {upsert_position_,
        "INSERT INTO stream_position (stream, partition_id, next_offset) VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset"},
       {position_, "SELECT next_offset FROM stream_position WHERE stream = ? AND partition_id = ?"},
       {positions_, "SELECT stream, partition_id, next_offset FROM stream_position"}});
  if (!prepared) return prepared;
  const std::pair<SqliteBulkInsert*, std::string_view> inserts[] = {
      {&insert_series_, "metric (id, metric_basic_label_id, fingerprint, metric)"},
      {&insert_seen_, "metric_seen (metric_id, first_seen, last_seen)"},
      {&insert_postings_, "metric_label (metric_label_name_id, metric_label_value_id, metric_id)"}};
  for (const auto& [insert, into] : inserts) {
    Result<SqliteBulkInsert> opened = SqliteBulkInsert::Open(database_, into);
    if (!opened) return Fail(opened.error());
    *insert = *std::move(opened);
  }
  for (const DictionaryTable& table : DictionaryTables(limits_.dictionary_bytes)) {
    Result<SqliteDictionary> dictionary = SqliteDictionary::Open(database_, table);
    if (!dictionary) return Fail(dictionary.error());
    dictionaries_.push_back(*std::move(dictionary));
  }
  return database_.OwnCheckpoints();
}

Result<ApplyResult> SqliteSeriesStore::Apply(std::span<const model::SeriesBatch> batches,
                                             std::span<const StreamPosition> positions) {
  if (Status room = MakeRoomInWal(); !room) return Fail(room.error());
  // Ids that the transaction gave are none when it did not commit, be it for want of memory.
  struct Given {
    std::vector<SqliteDictionary>& ids;
    bool committed = false;
    ~Given() {
      if (committed) return;
      for (SqliteDictionary& dictionary : ids) dictionary.ForgetAll();
    }
  } given{dictionaries_};
  const ApplyPlan plan(batches);
  Result<ApplyResult> result = ApplyInTransaction(plan, batches, positions);
  given.committed = result.has_value();
  if (!result) return result;
  last_positions_.Committed(positions);
  inserted_since_checkpoint_ += result->inserted.size();
  CheckpointWhenDue();
  return result;
}

Result<ApplyResult> SqliteSeriesStore::ApplyInTransaction(const ApplyPlan& plan,
                                                          std::span<const model::SeriesBatch> batches,
                                                          std::span<const StreamPosition> positions) {
  Result<sqlite::Transaction> transaction = sqlite::Transaction::Begin(database_);
  if (!transaction) return Fail(transaction.error());
  ApplyResult result;
  std::vector<const PlannedSeries*> fresh;
  for (const std::span<const PlannedSeries> run : plan.runs()) {
    if (Status s = ApplyFingerprint(plan, run, fresh, result); !s) return Fail(s.error());
  }
  std::ranges::sort(fresh, {}, [](const PlannedSeries* planned) { return planned->first(); });
  if (Status s = InsertSeries(plan, fresh, batches, result); !s) return Fail(s.error());
  for (const model::SeriesBatch& batch : batches) {
    if (Status s = ApplyMetadata(batch); !s) return Fail(s.error());
  }
  for (const StreamPosition& position : positions) {
    if (Status s = ApplyPosition(position); !s) return Fail(s.error());
  }
  if (Status s = transaction->Commit(); !s) return Fail(s.error());
  return result;
}

Status SqliteSeriesStore::ApplyFingerprint(const ApplyPlan& plan, std::span<const PlannedSeries> variants,
                                           std::vector<const PlannedSeries*>& fresh, ApplyResult& result) {
  const std::array<char, 16> fingerprint = variants.front().fingerprint.ToBytes();
  const Result<bool> found = find_.BindBlob(1, View(fingerprint)).Step();
  if (!found) return Fail(found.error());
  if (!*found) {
    fresh.push_back(&variants.front());
    for (const PlannedSeries& other : variants.subspan(1)) {
      AddCollisions(other, model::FormatIdentity(plan.LabelsOf(variants.front())), result);
    }
    return {};
  }
  const int64_t id = find_.Int(0);
  const int64_t first_seen_ms = find_.Int(3);
  const int64_t last_seen_ms = find_.Int(4);
  const PlannedSeries* known = nullptr;
  for (const PlannedSeries& series : variants) {
    text_.clear();
    model::AppendIdentity(plan.LabelsOf(series), text_);
    if (find_.Text(1) == text_ && find_.Text(2) == plan.TenantOf(series).name()) {
      known = &series;
    } else {
      AddCollisions(series, find_.Text(1), result);
    }
  }
  find_.Reset();
  if (known == nullptr) return {};
  result.existing += known->occurrences.size();
  if (known->first_seen_ms >= first_seen_ms && known->last_seen_ms <= last_seen_ms) return {};
  return UpdateSeen(id, std::min(first_seen_ms, known->first_seen_ms), std::max(last_seen_ms, known->last_seen_ms),
                    result);
}

Status SqliteSeriesStore::UpdateSeen(int64_t id, int64_t first_seen_ms, int64_t last_seen_ms, ApplyResult& result) {
  result.updated.push_back({static_cast<uint64_t>(id), first_seen_ms, last_seen_ms});
  return update_seen_.Bind(1, first_seen_ms).Bind(2, last_seen_ms).Bind(3, id).Run();
}

Status SqliteSeriesStore::InsertSeries(const ApplyPlan& plan, std::span<const PlannedSeries* const> fresh,
                                       std::span<const model::SeriesBatch> batches, ApplyResult& result) {
  fresh_.clear();
  contents_.clear();
  postings_.clear();
  const Result<bool> row = next_id_.Step();
  if (!row) return Fail(row.error());
  int64_t id = *row ? next_id_.Int(0) : 1;
  next_id_.Reset();
  for (const PlannedSeries* series : fresh) {
    if (Status added = AddFresh(plan, *series, id); !added) {
      if (added.error().code() != Errc::kInvalid) return added;
      AddCollisions(*series, added.error().message(), result);
      continue;
    }
    const Occurrence& at = series->first();
    result.inserted.push_back({static_cast<uint64_t>(id), at.batch, at.index});
    result.existing += series->occurrences.size() - 1;
    const int64_t told = batches[at.batch].seen_at_ms();
    if (series->first_seen_ms != told || series->last_seen_ms != told) {
      result.updated.push_back({static_cast<uint64_t>(id), series->first_seen_ms, series->last_seen_ms});
    }
    ++id;
  }
  return InsertRows();
}

Status SqliteSeriesStore::AddFresh(const ApplyPlan& plan, const PlannedSeries& series, int64_t id) {
  const model::LabelsView labels = plan.LabelsOf(series);
  const Result<int64_t> basic_label = BasicLabelId(plan.TenantOf(series), labels);
  if (!basic_label) return Fail(basic_label.error());
  const size_t postings_before = postings_.size();
  for (const model::Label& label : labels) {
    if (IsBasicLabel(label.name)) continue;
    const Result<int64_t> name = dictionaries_[kNames].IdOf(label.name, {&label.name, 1});
    const Result<int64_t> value = dictionaries_[kValues].IdOf(label.value, {&label.value, 1});
    if (!name || !value) {
      postings_.resize(postings_before);
      return Fail(name ? value.error() : name.error());
    }
    postings_.push_back({*name, *value, id});
  }
  model::AppendIdentity(labels, contents_);
  fresh_.push_back({.id = id,
                    .basic_label = *basic_label,
                    .first_seen_ms = series.first_seen_ms,
                    .last_seen_ms = series.last_seen_ms,
                    .fingerprint = series.fingerprint.ToBytes(),
                    .content_end = contents_.size()});
  return {};
}

Status SqliteSeriesStore::InsertRows() {
  Status done = insert_series_.Insert(fresh_.size(), [&](size_t i, sqlite::Statement& insert, int at) {
    const FreshSeries& series = fresh_[i];
    const size_t begin = i == 0 ? 0 : fresh_[i - 1].content_end;
    const std::string_view content = std::string_view(contents_).substr(begin, series.content_end - begin);
    insert.Bind(at, series.id).Bind(at + 1, series.basic_label);
    insert.BindBlob(at + 2, View(series.fingerprint)).BindText(at + 3, content);
  });
  if (!done) return done;
  done = insert_seen_.Insert(fresh_.size(), [&](size_t i, sqlite::Statement& insert, int at) {
    insert.Bind(at, fresh_[i].id).Bind(at + 1, fresh_[i].first_seen_ms).Bind(at + 2, fresh_[i].last_seen_ms);
  });
  if (!done) return done;
  std::ranges::sort(postings_);
  return insert_postings_.Insert(postings_.size(), [&](size_t i, sqlite::Statement& insert, int at) {
    insert.Bind(at, postings_[i].name).Bind(at + 1, postings_[i].value).Bind(at + 2, postings_[i].series);
  });
}

Result<int64_t> SqliteSeriesStore::BasicLabelId(const model::Tenant& tenant, model::LabelsView labels) {
  const std::array<std::string_view, 4> values = BasicLabelsOf(tenant, labels);
  text_.clear();
  for (const std::string_view value : values) AppendNetstring(value, text_);
  return dictionaries_[kBasicLabels].IdOf(text_, values);
}

Status SqliteSeriesStore::ApplyMetadata(const model::SeriesBatch& batch) {
  for (const model::MetricMetadata& metadata : batch.metadata()) {
    upsert_metadata_.BindText(1, batch.tenant().name()).BindText(2, metadata.family).BindText(3, metadata.type);
    upsert_metadata_.BindText(4, metadata.help).BindText(5, metadata.unit).Bind(6, batch.seen_at_ms());
    if (Status s = upsert_metadata_.Run(); !s) return s;
  }
  return {};
}

Status SqliteSeriesStore::ApplyPosition(const StreamPosition& position) {
  if (last_positions_.Knows(position)) {
    const Result<std::optional<int64_t>> stored = ReadPosition(position.stream, position.partition);
    if (!stored) return Fail(stored.error());
    if (Status checked = last_positions_.Check(position, *stored); !checked) return checked;
  }
  return upsert_position_.BindText(1, position.stream).Bind(2, position.partition).Bind(3, position.next_offset).Run();
}

Result<std::vector<SeenUpdate>> SqliteSeriesStore::ApplyActivity(std::span<const model::ActivityBatch> batches) {
  if (Status room = MakeRoomInWal(); !room) return Fail(room.error());
  Result<sqlite::Transaction> transaction = sqlite::Transaction::Begin(database_);
  if (!transaction) return Fail(transaction.error());
  std::vector<std::pair<int64_t, int64_t>> known;  // id, last_seen
  for (const auto& [fingerprint, last_seen_ms] : MergeActivity(batches)) {
    const std::array<char, 16> bytes = fingerprint.ToBytes();
    const Result<bool> found = find_id_.BindBlob(1, View(bytes)).Step();
    if (!found) return Fail(found.error());
    if (!*found) continue;
    known.emplace_back(find_id_.Int(0), last_seen_ms);
    find_id_.Reset();
  }
  std::ranges::sort(known);
  std::vector<SeenUpdate> updated;
  for (const auto& [id, last_seen_ms] : known) {
    const Result<bool> moved = advance_seen_.Bind(1, last_seen_ms).Bind(2, id).Step();
    if (!moved) return Fail(moved.error());
    if (!*moved) continue;
    updated.push_back({static_cast<uint64_t>(id), advance_seen_.Int(0), last_seen_ms});
    advance_seen_.Reset();
  }
  if (Status s = transaction->Commit(); !s) return Fail(s.error());
  CheckpointWhenDue();
  return updated;
}

Result<std::optional<int64_t>> SqliteSeriesStore::Position(const std::string& stream, int32_t partition) {
  Result<std::optional<int64_t>> stored = ReadPosition(stream, partition);
  if (!stored) return stored;
  // Who asks begins anew, perhaps because the database went back: ids that it gave since then are void.
  for (SqliteDictionary& dictionary : dictionaries_) dictionary.ForgetAll();
  last_positions_.Read(stream, partition, *stored);
  return stored;
}

Result<std::optional<int64_t>> SqliteSeriesStore::ReadPosition(const std::string& stream, int32_t partition) {
  const Result<bool> found = position_.BindText(1, stream).Bind(2, partition).Step();
  if (!found) return Fail(found.error());
  if (!*found) return std::nullopt;
  const int64_t next_offset = position_.Int(0);
  position_.Reset();
  return next_offset;
}

Result<std::vector<StreamPosition>> SqliteSeriesStore::Checkpoint() {
  // Read before: whatever is committed while we checkpoint is not promised.
  std::vector<StreamPosition> committed;
  for (;;) {
    const Result<bool> row = positions_.Step();
    if (!row) return Fail(row.error());
    if (!*row) break;
    committed.push_back({std::string(positions_.Text(0)), static_cast<int32_t>(positions_.Int(1)), positions_.Int(2)});
  }
  const Result<sqlite::Database::CheckpointResult> checkpoint = database_.Checkpoint();
  if (!checkpoint) return Fail(checkpoint.error());
  if (checkpoint->complete) covered_ = std::move(committed);
  if (std::exchange(inserted_since_checkpoint_, 0) < kQuietSeries) Rest();
  return covered_;
}

// Little or nothing new came since the last checkpoint, as on most days: the memory is for the catalogue then.
void SqliteSeriesStore::Rest() {
  database_.ReleaseMemory();
  for (SqliteDictionary& dictionary : dictionaries_) dictionary.ForgetAll();
}

Status SqliteSeriesStore::MakeRoomInWal() {
  constexpr int kWaitMs = 1'000;
  const auto bytes = [&] { return static_cast<uint64_t>(database_.wal_bytes()); };
  if (bytes() <= limits_.max_wal_bytes) return {};
  const Result<sqlite::Database::CheckpointResult> checkpoint = database_.TruncateWal(kWaitMs);
  if (!checkpoint) return Fail(checkpoint.error());
  if (bytes() <= limits_.max_wal_bytes) return {};
  return Fail(Errc::kOverloaded,
              format("{}-wal holds {}, limit {}: another process reads the catalogue in one long transaction (an open "
                     "sqlite3 shell?); it must end first",
                     database_.path(), FormatBytes(bytes()), FormatBytes(limits_.max_wal_bytes)));
}

// What fails here fails again, and is reported, in Checkpoint().
void SqliteSeriesStore::CheckpointWhenDue() {
  constexpr int kWaitMs = 50;
  const auto bytes = static_cast<uint64_t>(database_.wal_bytes());
  if (bytes <= limits_.checkpoint_wal_bytes) {
    truncate_at_bytes_ = 4 * limits_.checkpoint_wal_bytes;
    return;
  }
  (void)database_.Checkpoint();
  // Readers that overlap without a pause keep the log from being begun anew although all of it is in the database: then
  // we wait for them, briefly, and less and less often.
  if (bytes <= truncate_at_bytes_) return;
  (void)database_.TruncateWal(kWaitMs);
  truncate_at_bytes_ = 2 * bytes;
}

}  // namespace mi::store
