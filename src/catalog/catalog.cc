#include "catalog/catalog.h"

#include <algorithm>
#include <tuple>

#include "base/format.h"
#include "base/quote.h"
#include "catalog/interner.h"
#include "catalog/read_ahead.h"
#include "catalog/stored_snapshot.h"

namespace mi::catalog {
namespace {

constexpr uint64_t kMaxPairs = kNoPair;
// All damaged rows are counted, but only the first are logged.
constexpr uint64_t kMaxLoggedRows = 10;

CatalogOptions WithinBounds(CatalogOptions options) {
  options.max_series = std::min(options.max_series, kMaxSeries);
  return options;
}

}  // namespace

Catalog::Catalog(const CatalogOptions& options)
    : options_(WithinBounds(options)),
      storage_(std::make_shared<Storage>(options_.activity_interval_s)),
      interner_(std::make_unique<Interner>(storage_->dictionary)) {
  Publish();
}

Catalog::~Catalog() = default;

std::shared_ptr<const Snapshot> Catalog::Current() const { return CurrentStored(); }

Catalog::Stats Catalog::stats() const { return CurrentStored()->stats(); }

std::shared_ptr<const StoredSnapshot> Catalog::CurrentStored() const {
  const MutexLock lock(mutex_);
  return current_;
}

// Makes visible what the writer has done. The writer completes names, pairs, series and postings, then notes in the
// snapshot how far they go, then stores the snapshot under the mutex. A reader copies the pointer under the same mutex,
// so it sees everything below those limits, and needs no lock afterwards. Costs one small object, whatever the size of
// the catalogue; the mutex is held for a swap of two pointers.
void Catalog::Publish() {
  const Storage& storage = *storage_;
  const Stats stats{.series = storage.series.size(),
                    .bytes = storage.bytes(),
                    .pairs = storage.dictionary.label_pair_count(),
                    .highest_id = storage.series.highest_id(),
                    .damaged = damaged_,
                    .refused = refused_};
  std::shared_ptr<const StoredSnapshot> next =
      std::make_shared<StoredSnapshot>(storage_, options_.activity_interval_s, stats);
  const MutexLock lock(mutex_);
  current_.swap(next);  // the snapshot before is destroyed after the lock is released: that may free a table
}

// kTooLarge: nothing was added.
Status Catalog::Add(uint64_t id, std::string_view tenant, std::span<const model::Label> labels, SeenTimes times) {
  Storage& storage = *storage_;
  if (storage.series.size() >= options_.max_series) {
    return Fail(Errc::kTooLarge, format("the catalogue in memory is full: series {} would be one above the limit of {}",
                                        id, options_.max_series));
  }
  if (storage.dictionary.pair_count() + labels.size() + 2 > kMaxPairs) {
    return Fail(Errc::kTooLarge, format("the catalogue in memory is full: series {} would need a label pair above the "
                                        "limit of {}",
                                        id, kMaxPairs));
  }
  const std::span<const PairId> pairs = (*interner_)(tenant, labels);
  const Ordinal ordinal = storage.series.size();
  storage.series.Append(id, pairs, times);
  storage.postings.Add(storage.dictionary, ordinal, pairs);
  return {};
}

Status Catalog::AddStored(const DecodedSeries& series) {
  if (!series.damage.empty()) {
    CountDamaged(series);
    return {};
  }
  const store::StoredSeries& stored = series.stored;
  return Add(stored.id, stored.tenant, series.labels, SeenTimes::FromMs(stored.first_seen_ms, stored.last_seen_ms));
}

void Catalog::CountDamaged(const DecodedSeries& series) {
  ++damaged_;
  damaged_rows_.push_back({series.stored.id, series.stored.fingerprint});
  if (series.of_its_content && series.of_its_content != series.stored.fingerprint) {
    damaged_rows_.push_back({series.stored.id, *series.of_its_content});
  }
  if (options_.logger == nullptr || damaged_ > kMaxLoggedRows) return;
  options_.logger->Error("catalogue: series {} is damaged in the store and skipped: {}: {}", series.stored.id,
                         series.damage, Quoted(series.stored.content));
}

// Logged once: a full catalogue refuses every further series.
void Catalog::CountRefused(const Error& error) {
  if (refused_++ > 0 || options_.logger == nullptr) return;
  options_.logger->Error("catalogue: {}; the store has it, but queries do not see it", error.message());
}

Status Catalog::MayLoad() const {
  if (loading_stopped_) return Fail(Errc::kUnavailable, "loading the catalogue was stopped");
  return {};
}

// Returns whether the reading goes on. `added` is why not.
bool Catalog::AddUnknown(const DecodedSeries& series, Status& added) {
  if (loading_stopped_) {
    added = MayLoad();
  } else if (!storage_->series.Find(series.stored.id)) {
    added = AddStored(series);
    if (!added) CountRefused(added.error());
  }
  return added.has_value();
}

// Makes visible what was read. An error of the reading comes before one of adding.
Status Catalog::Finish(const Status& read, const Status& added) {
  Publish();
  return read ? added : read;
}

Status Catalog::Load(store::CatalogReader& reader) {
  NewSeries loaded;  // what was skipped does not matter: where Load is used, only this process writes the store
  TRY(LoadSeries(reader, loaded));
  const uint64_t found = storage_->series.size() + damaged_;
  // Also those above read_through_: the last rows may be the ones that cannot be found.
  if (const uint64_t stored = TRY(reader.CountSeries(UINT64_MAX)); stored > found) {
    return Fail(Errc::kCorrupt, format("{} series have times, but only {} can be found", stored, found));
  }
  return LoadMetadata(reader);
}

// Ids are read in ascending order, so each jump over ids is a gap that a transaction may still fill. read_through_
// moves only when a row was added, was known, or was counted as damaged. So after an error the next call goes on
// with the row that failed, and reports no gap twice. Rows that were read before the error become visible.
Status Catalog::LoadSeries(store::CatalogReader& reader, NewSeries& loaded) {
  Status added;
  const Status read = ReadAhead([&](const auto& visit) { return reader.ReadSeries(read_through_, visit); }, Verifier(),
                                [&](const DecodedSeries& series) {
                                  if (!AddUnknown(series, added)) return false;
                                  const uint64_t id = series.stored.id;
                                  if (id > read_through_ + 1) loaded.skipped.push_back({read_through_ + 1, id - 1});
                                  loaded.newest_id = id;
                                  loaded.newest = series.stored.fingerprint;
                                  read_through_ = id;
                                  return true;
                                });
  return Finish(read, added);
}

Status Catalog::LoadMissing(store::CatalogReader& reader, std::span<const store::IdRange> gaps,
                            std::vector<store::IdRange>& found) {
  Status added;
  const Status read = ReadAhead([&](const auto& visit) { return reader.ReadSeriesIn(gaps, visit); }, Verifier(),
                                [&](const DecodedSeries& series) {
                                  if (!AddUnknown(series, added)) return false;
                                  const uint64_t id = series.stored.id;
                                  if (found.empty() || found.back().last + 1 != id) found.push_back({id, id});
                                  found.back().last = id;
                                  return true;
                                });
  if (found.empty() && added) return read;
  return Finish(read, added);
}

Status Catalog::LoadMetadata(store::CatalogReader& reader) {
  const Status read = reader.ReadMetadata([&](const store::StoredMetadata& stored) {
    storage_->metadata.Add(stored);
    return !loading_stopped_;
  });
  return Finish(read, MayLoad());
}

Status Catalog::LoadAll(store::CatalogReader& reader) {
  Status added;
  damaged_ = 0;  // all of them are read again
  damaged_rows_.clear();
  const Status read = ReadAhead([&](const auto& visit) { return reader.ReadSeries(0, visit); }, Verifier(),
                                [&](const DecodedSeries& series) { return AddUnknown(series, added); });
  return Finish(read, added);
}

void Catalog::Append(std::span<const model::SeriesBatch> batches, const store::ApplyResult& applied) {
  for (const store::InsertedSeries& inserted : applied.inserted) AppendOne(inserted, batches[inserted.batch]);
  for (const store::InsertedSeries& healed : applied.healed) {
    if (AppendOne(healed, batches[healed.batch]) && damaged_ > 0) --damaged_;
  }
  for (const model::SeriesBatch& batch : batches) {
    for (const model::MetricMetadata& metadata : batch.metadata()) {
      storage_->metadata.Add({batch.tenant(), metadata, batch.seen_at_ms()});
    }
  }
  UpdateSeen(applied.updated);
  Publish();
}

bool Catalog::AppendOne(const store::InsertedSeries& inserted, const model::SeriesBatch& batch) {
  if (storage_->series.Find(inserted.id)) return false;
  labels_.clear();  // not assign(), which reads the labels twice
  for (const model::Label& label : batch[inserted.index].labels) labels_.push_back(label);
  const SeenTimes times = SeenTimes::FromMs(batch.seen_at_ms(), batch.seen_at_ms());
  const Status added = Add(inserted.id, batch.tenant().name(), labels_, times);
  if (!added) CountRefused(added.error());
  return added.has_value();
}

void Catalog::UpdateSeen(std::span<const store::SeenUpdate> updates) {
  SeriesLog& series = storage_->series;
  for (const store::SeenUpdate& update : updates) {
    const auto ordinal = series.Find(update.id);
    if (ordinal) series.SetTimes(*ordinal, SeenTimes::FromMs(update.first_seen_ms, update.last_seen_ms));
  }
}

std::vector<std::pair<std::string, uint64_t>> Catalog::SeriesByTenant(size_t limit) const {
  const auto snapshot = CurrentStored();  // the names point into it
  auto counts = snapshot->CountByTenant();
  std::ranges::sort(
      counts, [](const auto& a, const auto& b) { return std::tie(b.second, a.first) < std::tie(a.second, b.first); });
  if (counts.size() > limit) counts.resize(limit);
  return {counts.begin(), counts.end()};
}

}  // namespace mi::catalog
