#include "catalog/catalog.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <optional>
#include <tuple>

#include "base/mutex.h"
#include "catalog/identity_scan.h"
#include "catalog/interner.h"
#include "catalog/snapshot.h"
#include "catalog/storage.h"
#include "model/identity.h"

namespace mi::catalog {
namespace {

// More labels than any receiver lets through; bounds what the tail of a window can hold.
constexpr size_t kMostLabels = 65'535;
constexpr uint64_t kMostPairs = kNoPair;
// Rows that are passed over are all counted; the first are named in the log.
constexpr uint64_t kNamedInLog = 10;

class CatalogImpl final : public Catalog {
 public:
  explicit CatalogImpl(const CatalogOptions& options) : options_(options) {
    options_.max_series = std::min(options_.max_series, kMostSeries);
    Publish();
  }

  std::shared_ptr<const Snapshot> Current() const override { return CurrentImpl(); }
  Status LoadSeries(store::CatalogReader& reader, Reading& reading) override;
  Status LoadMissing(store::CatalogReader& reader, std::span<const store::IdRange> gaps,
                     std::vector<store::IdRange>& found) override;
  Status LoadMetadata(store::CatalogReader& reader) override;
  Status LoadAll(store::CatalogReader& reader) override;
  void Clear() override;
  void Append(std::span<const model::SeriesBatch> batches, const store::ApplyResult& applied) override;
  void UpdateSeen(std::span<const store::SeenUpdate> updates) override;
  Stats stats() const override { return CurrentImpl()->stats(); }
  std::vector<std::pair<std::string, uint64_t>> SeriesByTenant(size_t limit) const override;

 private:
  std::shared_ptr<const SnapshotImpl> CurrentImpl() const {
    MutexLock lock(mutex_);
    return current_;
  }
  void Publish();
  Status Add(uint64_t id, std::string_view tenant, std::span<const model::Label> labels, SeenTimes times);
  Status AddStored(const store::StoredSeries& series);
  // Whether the reading goes on.
  bool AddUnknown(const store::StoredSeries& series, Status& added);
  // Makes what was read visible; the error of the reading goes before that of what was read.
  Status Finish(const Status& read, const Status& added);
  bool Knows(uint64_t id) const { return storage_->series.Find(id).has_value(); }
  void CountUnreadable(uint64_t id, const Error& error);
  void CountRefused(const Error& error);
  [[noreturn]] void EndForWantOfMemory() const;

  CatalogOptions options_;
  std::shared_ptr<Storage> storage_ = std::make_shared<Storage>();  // shared with the snapshots
  std::optional<Interner> interner_{std::in_place, storage_->dictionary};
  std::vector<model::Label> labels_;  // reused
  uint64_t read_through_ = 0;         // the highest id that Load has seen, readable or not
  bool cleared_ = false;              // and not loaded since: what was published before still answers
  PassedOver passed_over_;

  mutable Mutex mutex_;
  std::shared_ptr<const SnapshotImpl> current_ GUARDED_BY(mutex_);  // shared with the readers
};

// Every writer ends here when memory runs out: see catalog.h.
void CatalogImpl::EndForWantOfMemory() const {
  try {
    if (options_.logger != nullptr) {
      options_.logger->Error("catalogue: out of memory; the process ends, and begins anew from the store");
    }
  } catch (...) {  // NOLINT(bugprone-empty-catch): not even for a line
  }
  std::abort();
}

void CatalogImpl::Publish() {
  std::shared_ptr<const SnapshotImpl> next =
      std::make_shared<SnapshotImpl>(storage_, options_.activity_interval_s, passed_over_);
  MutexLock lock(mutex_);
  current_.swap(next);  // the one before ends after the lock: it may be the last to hold a table
}

// kTooLarge: nothing was added.
Status CatalogImpl::Add(uint64_t id, std::string_view tenant, std::span<const model::Label> labels, SeenTimes times) {
  Storage& storage = *storage_;
  if (storage.series.size() >= options_.max_series) {
    return Fail(Errc::kTooLarge, format("the catalogue in memory is full: series {} would be one above the limit of {}",
                                        id, options_.max_series));
  }
  if (storage.dictionary.pair_count() + labels.size() + 2 > kMostPairs) {
    return Fail(Errc::kTooLarge, format("the catalogue in memory is full: series {} would need a label pair above the "
                                        "limit of {}",
                                        id, kMostPairs));
  }
  const std::span<const PairId> pairs = (*interner_)(tenant, labels);
  const Ordinal ordinal = storage.series.size();
  storage.series.Append(id, pairs, times);
  storage.postings.Add(storage.dictionary, ordinal, pairs);
  return {};
}

Status CatalogImpl::AddStored(const store::StoredSeries& series) {
  const SeenTimes times = SeenTimes::FromMs(series.first_seen_ms, series.last_seen_ms);
  model::Labels parsed;  // what labels_ points into where the scan gives up
  if (!ScanIdentity(series.content, labels_)) {
    Result<model::Labels> labels = model::ParseIdentity(series.content);
    if (!labels) {
      CountUnreadable(series.id, labels.error());
      return {};
    }
    parsed = std::move(*labels);
    labels_.assign(parsed.view().begin(), parsed.view().end());
  }
  if (labels_.size() > kMostLabels) {
    CountUnreadable(series.id, Error(Errc::kTooLarge, format("{} labels, limit {}", labels_.size(), kMostLabels)));
    return {};
  }
  return Add(series.id, series.tenant, labels_, times);
}

void CatalogImpl::CountUnreadable(uint64_t id, const Error& error) {
  ++passed_over_.unreadable;
  if (options_.logger == nullptr || passed_over_.unreadable > kNamedInLog) return;
  options_.logger->Error("catalogue: series {} is passed over, its content cannot be read: {}", id, error.message());
}

// Once, then only counted: a full catalogue refuses every series that comes.
void CatalogImpl::CountRefused(const Error& error) {
  if (passed_over_.refused++ > 0 || options_.logger == nullptr) return;
  options_.logger->Error("catalogue: {}; the store has it, questions will not see it", error.message());
}

bool CatalogImpl::AddUnknown(const store::StoredSeries& series, Status& added) {
  if (!Knows(series.id)) added = AddStored(series);
  return added.has_value();
}

Status CatalogImpl::Finish(const Status& read, const Status& added) {
  if (!added) CountRefused(added.error());
  if (!cleared_) Publish();
  return read ? added : read;
}

Status CatalogImpl::LoadSeries(store::CatalogReader& reader, Reading& reading) try {
  Status added;
  const Status read = reader.ReadSeries(read_through_, [&](const store::StoredSeries& series) {
    if (!AddUnknown(series, added)) return false;
    if (series.id > read_through_ + 1) reading.skipped.push_back({read_through_ + 1, series.id - 1});
    reading.newest_id = series.id;
    reading.newest = series.fingerprint;
    read_through_ = series.id;
    return true;
  });
  if (read) cleared_ = false;
  return Finish(read, added);
} catch (const std::bad_alloc&) {
  EndForWantOfMemory();
}

Status CatalogImpl::LoadMissing(store::CatalogReader& reader, std::span<const store::IdRange> gaps,
                                std::vector<store::IdRange>& found) try {
  Status added;
  const Status read = reader.ReadSeriesIn(gaps, [&](const store::StoredSeries& series) {
    if (!AddUnknown(series, added)) return false;
    if (found.empty() || found.back().last + 1 != series.id) found.push_back({series.id, series.id});
    found.back().last = series.id;
    return true;
  });
  if (found.empty() && added) return read;
  return Finish(read, added);
} catch (const std::bad_alloc&) {
  EndForWantOfMemory();
}

Status CatalogImpl::LoadMetadata(store::CatalogReader& reader) try {
  const Status read = reader.ReadMetadata([&](const store::StoredMetadata& stored) {
    storage_->metadata.Add(stored);
    return true;
  });
  return Finish(read, {});
} catch (const std::bad_alloc&) {
  EndForWantOfMemory();
}

Status CatalogImpl::LoadAll(store::CatalogReader& reader) try {
  Status added;
  passed_over_.unreadable = 0;  // all of them are met again
  const Status read =
      reader.ReadSeries(0, [&](const store::StoredSeries& series) { return AddUnknown(series, added); });
  return Finish(read, added);
} catch (const std::bad_alloc&) {
  EndForWantOfMemory();
}

void CatalogImpl::Clear() try {
  storage_ = std::make_shared<Storage>();
  interner_.emplace(storage_->dictionary);
  read_through_ = 0;
  passed_over_ = {};
  cleared_ = true;
} catch (const std::bad_alloc&) {
  EndForWantOfMemory();
}

void CatalogImpl::Append(std::span<const model::SeriesBatch> batches, const store::ApplyResult& applied) try {
  for (const store::InsertedSeries& inserted : applied.inserted) {
    if (Knows(inserted.id)) continue;
    const model::SeriesBatch& batch = batches[inserted.batch];
    const model::LabelsView view = batch[inserted.index].labels;
    labels_.assign(view.begin(), view.end());
    const SeenTimes times = SeenTimes::FromMs(batch.seen_at_ms(), batch.seen_at_ms());
    const Status added = Add(inserted.id, batch.tenant().name(), labels_, times);
    if (!added) CountRefused(added.error());
  }
  for (const model::SeriesBatch& batch : batches) {
    for (const model::MetricMetadata& metadata : batch.metadata()) {
      storage_->metadata.Add({batch.tenant(), metadata, batch.seen_at_ms()});
    }
  }
  UpdateSeen(applied.updated);
  Publish();
} catch (const std::bad_alloc&) {
  EndForWantOfMemory();
}

void CatalogImpl::UpdateSeen(std::span<const store::SeenUpdate> updates) {
  SeriesLog& series = storage_->series;
  for (const store::SeenUpdate& update : updates) {
    const auto ordinal = series.Find(update.id);
    if (ordinal) series.SetTimes(*ordinal, SeenTimes::FromMs(update.first_seen_ms, update.last_seen_ms));
  }
}

std::vector<std::pair<std::string, uint64_t>> CatalogImpl::SeriesByTenant(size_t limit) const {
  const auto snapshot = CurrentImpl();  // what the names point into
  auto counts = snapshot->CountByTenant();
  std::ranges::sort(
      counts, [](const auto& a, const auto& b) { return std::tie(b.second, a.first) < std::tie(a.second, b.first); });
  if (counts.size() > limit) counts.resize(limit);
  return {counts.begin(), counts.end()};
}

}  // namespace

Status Catalog::Load(store::CatalogReader& reader) {
  Reading reading;  // what it skipped is nobody's: where Load is used, one process writes
  if (const Status series = LoadSeries(reader, reading); !series) return series;
  return LoadMetadata(reader);
}

void Snapshot::CountPairs(const SeriesSet& within, std::vector<uint32_t>& counts) const {
  counts.clear();
  SeriesView series;
  within.ForEach([&](Ordinal ordinal) {
    Read(ordinal, series);
    for (const model::Label& label : series.labels) {
      const PairId pair = FindPair(label.name, label.value).value();
      if (pair >= counts.size()) counts.resize(pair + 1);
      ++counts[pair];
    }
    return true;
  });
}

std::unique_ptr<Catalog> Catalog::Create(CatalogOptions options) { return std::make_unique<CatalogImpl>(options); }

}  // namespace mi::catalog
