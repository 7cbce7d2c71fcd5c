// The whole catalogue in memory: a dictionary of label strings and (name, value) pairs, a compressed posting list per
// pair, and each series as the list of its pair ids. Data is only appended. A reader takes a snapshot, which is a
// pointer and how far the reader may look; after that it needs no lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "catalog/snapshot.h"
#include "model/identity_fingerprinter.h"
#include "model/series_batch.h"
#include "store/ports.h"
#include "telemetry/log.h"

namespace mi::catalog {

class Interner;
class StoredSnapshot;
struct DecodedSeries;
struct SeenTimes;
struct Storage;

// Ordinals have 32 bits.
inline constexpr uint64_t kMaxSeries = UINT32_MAX;

struct CatalogOptions {
  uint64_t activity_interval_s = 3600;
  uint64_t max_series = kMaxSeries;     // at most kMaxSeries; series above it are refused and logged
  telemetry::Logger* logger = nullptr;  // borrowed; null: logs nothing
};

// Threads: const members and StopLoading() are safe from any thread. The others write; they are confined to one thread
//          at a time.
class Catalog {
 public:
  explicit Catalog(const CatalogOptions& options);
  ~Catalog();

  std::shared_ptr<const Snapshot> Current() const;

  // From now on a row is damaged also if its fingerprint is not that of its tenant and content.
  void VerifyFingerprints(std::string identity_secret) { stored_fingerprint_.emplace(std::move(identity_secret)); }
  // The damaged rows since the last call: with the fingerprint that stands in each, and with that of its content. Which
  // of them belong to a series cannot be told. At most two per damaged row, which are kept until they are taken.
  std::vector<store::DamagedRow> TakeDamaged() { return std::exchange(damaged_rows_, {}); }

  // Reads every series above the highest id that was read before, and the metadata. A long load uses a second thread
  // (read_ahead.h). Returns the reader's error, or
  // kTooLarge above max_series; what was read until then is visible. kCorrupt: the store knows of more series than can
  // be read. A damaged row is skipped, logged, and counted in stats().damaged: it must not prevent the start.
  Status Load(store::CatalogReader& reader);

  // The parts of Load, for the follower of a store that others write. They return the same errors.
  struct NewSeries {
    std::vector<store::IdRange> skipped;  // ids between those that were read: their transactions may still commit
    uint64_t newest_id = 0;               // of the last series; 0 if there was none
    model::Fingerprint newest;
  };
  Status LoadSeries(store::CatalogReader& reader, NewSeries& loaded);
  // Reads the series in `gaps` that are not known here. Appends to `found` the ids that the reader has, in runs, also
  // on an error. Requires: as CatalogReader::ReadSeriesIn.
  Status LoadMissing(store::CatalogReader& reader, std::span<const store::IdRange> gaps,
                     std::vector<store::IdRange>& found);
  Status LoadMetadata(store::CatalogReader& reader);
  // Reads the whole store for series that are not known here.
  Status LoadAll(store::CatalogReader& reader);

  // From now on every load ends soon, with kUnavailable.
  void StopLoading() { loading_stopped_ = true; }
  bool loading_stopped() const { return loading_stopped_; }

  // What the index has just applied: new and healed series, times that changed, metadata. Ignores ids that are known.
  // Visible in Current() when it returns. Costs about a microsecond per series, whatever the size of the catalogue.
  void Append(std::span<const model::SeriesBatch> batches, const store::ApplyResult& applied);
  // Takes effect in place, also in snapshots that were taken before. Ignores unknown ids.
  void UpdateSeen(std::span<const store::SeenUpdate> updates);

  struct Stats {
    uint64_t series;
    uint64_t bytes;  // everything, including memory that is reserved and not used yet
    uint64_t pairs;  // distinct (name, value)
    uint64_t highest_id;
    uint64_t damaged = 0;  // rows that were skipped and have not come again
    uint64_t refused = 0;  // series above max_series
  };
  Stats stats() const;
  // Series by tenant, the largest first, at most `limit`.
  std::vector<std::pair<std::string, uint64_t>> SeriesByTenant(size_t limit) const;

 private:
  std::shared_ptr<const StoredSnapshot> CurrentStored() const;
  void Publish();
  Status Add(uint64_t id, std::string_view tenant, std::span<const model::Label> labels, SeenTimes times);
  bool AppendOne(const store::InsertedSeries& inserted, const model::SeriesBatch& batch);
  Status AddStored(const DecodedSeries& series);
  Status MayLoad() const;
  model::IdentityFingerprinter* Verifier() { return stored_fingerprint_ ? &*stored_fingerprint_ : nullptr; }
  bool AddUnknown(const DecodedSeries& series, Status& added);
  Status Finish(const Status& read, const Status& added);
  void CountDamaged(const DecodedSeries& series);
  void CountRefused(const Error& error);

  const CatalogOptions options_;
  const std::shared_ptr<Storage> storage_;  // shared with the snapshots
  const std::unique_ptr<Interner> interner_;
  std::vector<model::Label> labels_;  // reused
  std::optional<model::IdentityFingerprinter> stored_fingerprint_;
  std::vector<store::DamagedRow> damaged_rows_;
  uint64_t read_through_ = 0;  // the highest id that was read, also of a damaged row
  uint64_t damaged_ = 0;
  uint64_t refused_ = 0;
  std::atomic<bool> loading_stopped_ = false;

  mutable Mutex mutex_;
  std::shared_ptr<const StoredSnapshot> current_ GUARDED_BY(mutex_);  // shared with the readers
};

}  // namespace mi::catalog
