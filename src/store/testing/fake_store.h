// A catalogue in memory with scripted faults: what the tests of other rooms put in the place of a database. It passes
// the same contract suite as the real adapters (store/testing/contract_test.h).
//
//   FakeCatalog catalog;
//   catalog.Fail(FakeCall::kApply, 3, Error(Errc::kUnavailable, "gone"));   // the third Apply from now
//   auto store = catalog.OpenStore();
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "model/identity.h"
#include "store/known_positions.h"
#include "store/metadata_plan.h"
#include "store/ports.h"
#include "store/series_merge.h"
#include "store/testing/fatal_log.h"

namespace mi::store {

enum class FakeCall { kApply, kApplyActivity, kPosition, kCheckpoint, kRead };

// What a scripted fault leaves behind. kApplied is a COMMIT whose answer got lost.
enum class FakeOutcome { kNothingApplied, kApplied };

// The database behind any number of stores and readers, which must not outlive it. Threads: safe.
class FakeCatalog {
 public:
  struct Row {
    model::Tenant tenant;
    std::string canonical;
    std::string content;
    model::Fingerprint fingerprint;
    int64_t first_seen_ms = 0;
    int64_t last_seen_ms = 0;
    uint64_t changed = 0;  // by the count of changes
  };

  std::unique_ptr<SeriesStore> OpenStore();
  std::unique_ptr<CatalogReader> OpenReader();

  // The nth call of this kind from now (1 is the next one) fails, once. Scripts for one kind add up.
  void Fail(FakeCall call, int nth, Error error, FakeOutcome outcome = FakeOutcome::kNothingApplied) {
    MutexLock lock(mutex_);
    faults_.push_back({call, nth, std::move(error), outcome});
  }
  // Every call of this kind fails until Recover().
  void FailAlways(FakeCall call, Error error) {
    MutexLock lock(mutex_);
    always_.insert_or_assign(call, std::move(error));
  }
  void Recover() {
    MutexLock lock(mutex_);
    faults_.clear();
    always_.clear();
  }
  // From now on Checkpoint() covers nothing that it did not cover before, as when a reader pins the log.
  void HoldCheckpoints(bool held) {
    MutexLock lock(mutex_);
    checkpoints_held_ = held;
  }

  // A backup is restored: rows and positions are as they were when `copy` was made.
  struct Backup {
    std::map<uint64_t, Row> rows;
    std::map<std::pair<std::string, int32_t>, int64_t> positions;
  };
  Backup Copy() const {
    MutexLock lock(mutex_);
    return {rows_, positions_};
  }
  void Restore(const Backup& backup) {
    MutexLock lock(mutex_);
    rows_ = backup.rows;
    positions_ = backup.positions;
    ids_.clear();
    for (const auto& [id, row] : rows_) ids_.emplace(row.fingerprint, id);
  }

  // The errors of stores for which a service would end its process.
  std::vector<std::string> fatal_messages() const { return fatal_.messages(); }

  int calls(FakeCall call) const {
    MutexLock lock(mutex_);
    const auto found = calls_.find(call);
    return found == calls_.end() ? 0 : found->second;
  }
  // By id, ascending.
  std::map<uint64_t, Row> rows() const {
    MutexLock lock(mutex_);
    return rows_;
  }

 private:
  friend class FakeSeriesStore;
  friend class FakeCatalogReader;

  struct Fault {
    FakeCall call;
    int nth;
    Error error;
    FakeOutcome outcome;
  };
  using StreamPartition = std::pair<std::string, int32_t>;
  using Positions = std::map<StreamPartition, int64_t>;

  // Counts the call; the fault that is due now.
  std::optional<Fault> Enter(FakeCall call) REQUIRES(mutex_) {
    ++calls_[call];
    if (const auto always = always_.find(call); always != always_.end()) {
      return Fault{call, 0, always->second, FakeOutcome::kNothingApplied};
    }
    std::optional<Fault> due;
    std::erase_if(faults_, [&](Fault& fault) {
      if (fault.call != call || --fault.nth > 0) return false;
      due = fault;
      return true;
    });
    return due;
  }

  std::optional<int64_t> PositionOf(const std::string& stream, int32_t partition) const REQUIRES(mutex_) {
    const auto found = positions_.find({stream, partition});
    return found == positions_.end() ? std::nullopt : std::optional(found->second);
  }
  std::vector<StreamPosition> AllPositions() const REQUIRES(mutex_) {
    std::vector<StreamPosition> all;
    for (const auto& [at, next_offset] : positions_) all.push_back({at.first, at.second, next_offset});
    return all;
  }
  void ApplySeries(const model::SeriesBatch& batch, size_t number, ApplyResult& result) REQUIRES(mutex_) {
    for (size_t i = 0; i < batch.size(); ++i) {
      const model::Series series = batch[i];
      const auto [known, inserted] = ids_.try_emplace(series.fingerprint, next_id_);
      if (inserted) {
        result.inserted.push_back({next_id_, number, i});
        rows_.emplace(next_id_++,
                      Row{batch.tenant(), std::string(series.labels.canonical()), model::FormatIdentity(series.labels),
                          series.fingerprint, batch.seen_at_ms(), batch.seen_at_ms(), ++changes_});
        continue;
      }
      Row& row = rows_.at(known->second);
      if (row.tenant != batch.tenant() || row.canonical != series.labels.canonical()) {
        result.collisions.push_back({number, i, row.content});
        continue;
      }
      ++result.existing;
      See(known->second, batch.seen_at_ms(), batch.seen_at_ms(), result.updated);
    }
  }

  void See(uint64_t id, int64_t first_seen_ms, int64_t last_seen_ms, std::vector<SeenUpdate>& updated)
      REQUIRES(mutex_) {
    Row& row = rows_.at(id);
    last_seen_ms = LastSeen(row.last_seen_ms, last_seen_ms, SystemClock().NowMs());
    if (first_seen_ms >= row.first_seen_ms && last_seen_ms == row.last_seen_ms) return;
    row.first_seen_ms = std::min(row.first_seen_ms, first_seen_ms);
    row.last_seen_ms = last_seen_ms;
    row.changed = ++changes_;
    std::erase_if(updated, [&](const SeenUpdate& update) { return update.id == id; });
    updated.push_back({id, row.first_seen_ms, row.last_seen_ms});
  }

  void ApplyMetadata(const model::SeriesBatch& batch) REQUIRES(mutex_) {
    for (const model::MetricMetadata& metadata : batch.metadata()) {
      (void)MergeMetadata(metadata_[{batch.tenant(), metadata.family}], {batch.tenant(), metadata, batch.seen_at_ms()});
    }
  }

  FatalLog fatal_;
  mutable Mutex mutex_;
  std::map<uint64_t, Row> rows_ GUARDED_BY(mutex_);
  std::unordered_map<model::Fingerprint, uint64_t> ids_ GUARDED_BY(mutex_);
  uint64_t next_id_ GUARDED_BY(mutex_) = 1;
  uint64_t changes_ GUARDED_BY(mutex_) = 0;
  std::map<std::pair<model::Tenant, std::string>, std::vector<StoredMetadata>> metadata_ GUARDED_BY(mutex_);
  Positions positions_ GUARDED_BY(mutex_);
  Positions covered_ GUARDED_BY(mutex_);
  bool checkpoints_held_ GUARDED_BY(mutex_) = false;
  std::vector<Fault> faults_ GUARDED_BY(mutex_);
  std::map<FakeCall, Error> always_ GUARDED_BY(mutex_);
  std::map<FakeCall, int> calls_ GUARDED_BY(mutex_);
};

class FakeSeriesStore final : public SeriesStore {
 public:
  explicit FakeSeriesStore(FakeCatalog& catalog)
      : catalog_(catalog), known_positions_("the catalogue in memory", catalog.fatal_.Handler()) {}

  Result<ApplyResult> Apply(std::span<const model::SeriesBatch> batches,
                            std::span<const StreamPosition> positions) override {
    MutexLock lock(catalog_.mutex_);
    const std::optional<FakeCatalog::Fault> fault = catalog_.Enter(FakeCall::kApply);
    if (fault && fault->outcome == FakeOutcome::kNothingApplied) return Fail(fault->error);
    TRY(known_positions_.Check(catalog_.AllPositions()));
    ApplyResult result;
    for (size_t i = 0; i < batches.size(); ++i) {
      catalog_.ApplySeries(batches[i], i, result);
      catalog_.ApplyMetadata(batches[i]);
    }
    for (const StreamPosition& position : positions) {
      catalog_.positions_[{position.stream, position.partition}] =
          known_positions_.Merge(position, catalog_.PositionOf(position.stream, position.partition));
    }
    if (fault) return Fail(fault->error);
    known_positions_.NoteCommitted(positions);
    return result;
  }

  Result<std::vector<SeenUpdate>> ApplyActivity(std::span<const model::ActivityBatch> batches) override {
    MutexLock lock(catalog_.mutex_);
    const std::optional<FakeCatalog::Fault> fault = catalog_.Enter(FakeCall::kApplyActivity);
    if (fault && fault->outcome == FakeOutcome::kNothingApplied) return Fail(fault->error);
    std::vector<SeenUpdate> updated;
    for (const model::ActivityBatch& batch : batches) {
      for (const model::Fingerprint& fingerprint : batch.fingerprints) {
        const auto known = catalog_.ids_.find(fingerprint);
        if (known == catalog_.ids_.end()) continue;
        const int64_t first_seen_ms = catalog_.rows_.at(known->second).first_seen_ms;
        catalog_.See(known->second, first_seen_ms, batch.seen_at_ms, updated);
      }
    }
    if (fault) return Fail(fault->error);
    return updated;
  }

  Result<std::optional<int64_t>> Position(const std::string& stream, int32_t partition) override {
    MutexLock lock(catalog_.mutex_);
    if (const auto fault = catalog_.Enter(FakeCall::kPosition)) return Fail(fault->error);
    return known_positions_.Read(catalog_.AllPositions(), stream, partition);
  }

  Result<std::vector<StreamPosition>> Checkpoint() override {
    MutexLock lock(catalog_.mutex_);
    if (const auto fault = catalog_.Enter(FakeCall::kCheckpoint)) return Fail(fault->error);
    if (!catalog_.checkpoints_held_) catalog_.covered_ = catalog_.positions_;
    std::vector<StreamPosition> covered;
    for (const auto& [at, next_offset] : catalog_.covered_) covered.push_back({at.first, at.second, next_offset});
    return covered;
  }

 private:
  FakeCatalog& catalog_;
  KnownPositions known_positions_;
};

// Visits copies, so that a visitor may use the catalogue.
class FakeCatalogReader final : public CatalogReader {
 public:
  explicit FakeCatalogReader(FakeCatalog& catalog) : catalog_(catalog) {}

  Result<CatalogState> State() override {
    MutexLock lock(catalog_.mutex_);
    if (const auto fault = catalog_.Enter(FakeCall::kRead)) return Fail(fault->error);
    return CatalogState{.uuid = "00000000-0000-4000-8000-00000000fa4e",
                        .highest_id = catalog_.rows_.empty() ? 0 : catalog_.rows_.rbegin()->first,
                        .seen_mark = catalog_.changes_};
  }

  Result<uint64_t> CountSeries(uint64_t up_to_id) override {
    MutexLock lock(catalog_.mutex_);
    if (const auto fault = catalog_.Enter(FakeCall::kRead)) return Fail(fault->error);
    return std::distance(catalog_.rows_.begin(), catalog_.rows_.upper_bound(up_to_id));
  }

  Status ReadSeries(uint64_t after_id, const std::function<bool(const StoredSeries&)>& visit) override {
    const Result<std::map<uint64_t, FakeCatalog::Row>> rows = CopyRows();
    if (!rows) return Fail(rows.error());
    for (auto row = rows->upper_bound(after_id); row != rows->end(); ++row) {
      if (!visit(Shown(row->first, row->second))) break;
    }
    return {};
  }

  Status ReadSeriesIn(std::span<const IdRange> ranges, const std::function<bool(const StoredSeries&)>& visit) override {
    const Result<std::map<uint64_t, FakeCatalog::Row>> rows = CopyRows();
    if (!rows) return Fail(rows.error());
    for (const IdRange& range : ranges) {
      for (auto row = rows->lower_bound(range.first); row != rows->end() && row->first <= range.last; ++row) {
        if (!visit(Shown(row->first, row->second))) return {};
      }
    }
    return {};
  }

  Result<uint64_t> ReadSeenChanges(uint64_t since, const std::function<void(const SeenUpdate&)>& visit) override {
    const Result<std::map<uint64_t, FakeCatalog::Row>> rows = CopyRows();
    if (!rows) return Fail(rows.error());
    uint64_t mark = since;
    for (const auto& [id, row] : *rows) {
      mark = std::max(mark, row.changed);
      if (row.changed > since) visit({id, row.first_seen_ms, row.last_seen_ms});
    }
    return mark;
  }

  Status ReadFingerprints(const std::function<bool(model::Fingerprint, int64_t)>& visit) override {
    const Result<std::map<uint64_t, FakeCatalog::Row>> rows = CopyRows();
    if (!rows) return Fail(rows.error());
    for (const auto& [id, row] : *rows) {
      if (!visit(row.fingerprint, row.last_seen_ms)) break;
    }
    return {};
  }

  Status ReadMetadata(const std::function<bool(const StoredMetadata&)>& visit) override {
    std::vector<StoredMetadata> all;
    {
      MutexLock lock(catalog_.mutex_);
      if (const auto fault = catalog_.Enter(FakeCall::kRead)) return Fail(fault->error);
      for (const auto& [key, texts] : catalog_.metadata_) all.insert(all.end(), texts.begin(), texts.end());
    }
    for (const StoredMetadata& metadata : all) {
      if (!visit(metadata)) break;
    }
    return {};
  }

 private:
  static StoredSeries Shown(uint64_t id, const FakeCatalog::Row& row) {
    return {id, row.tenant.name(), row.content, row.fingerprint, row.first_seen_ms, row.last_seen_ms};
  }
  Result<std::map<uint64_t, FakeCatalog::Row>> CopyRows() {
    MutexLock lock(catalog_.mutex_);
    if (const auto fault = catalog_.Enter(FakeCall::kRead)) return Fail(fault->error);
    return catalog_.rows_;
  }

  FakeCatalog& catalog_;
};

inline std::unique_ptr<SeriesStore> FakeCatalog::OpenStore() { return std::make_unique<FakeSeriesStore>(*this); }
inline std::unique_ptr<CatalogReader> FakeCatalog::OpenReader() { return std::make_unique<FakeCatalogReader>(*this); }

}  // namespace mi::store
