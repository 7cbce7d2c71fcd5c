// The whole catalogue in memory: a dictionary of label strings and (name, value) pairs, a compressed posting list a
// pair, each series as the list of its pair ids. All of it only grows at its end: readers take a snapshot, which is a
// pointer and how far it may look, and after that never a lock.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "catalog/series_set.h"
#include "model/series_batch.h"
#include "model/time_range.h"
#include "store/ports.h"
#include "telemetry/log.h"

namespace mi::catalog {

using PairId = uint32_t;

// Ordinals are 32 bits.
inline constexpr uint64_t kMostSeries = UINT32_MAX;

// One series, read into buffers that the caller reuses. Views point into the snapshot's dictionary.
struct SeriesView {
  uint64_t id = 0;
  std::string_view tenant;
  int64_t first_seen_ms = 0;         // whole seconds, rounded down
  int64_t last_seen_ms = 0;          // whole seconds, rounded up
  std::vector<model::Label> labels;  // sorted by name, __name__ among them
};

// What the catalogue held at one moment. Threads: safe, all members are const. Views live as long as the snapshot.
class Snapshot {
 public:
  virtual ~Snapshot() = default;

  virtual uint64_t series() const = 0;
  virtual SeriesSet All() const = 0;
  virtual SeriesSet OfTenant(std::string_view tenant) const = 0;
  virtual std::vector<std::string_view> Tenants() const = 0;

  // Every label name, sorted by bytes.
  virtual std::vector<std::string_view> LabelNames() const = 0;
  // Every value that a label ever had, in no order. A visitor that returns false ends it.
  virtual void ForEachValue(std::string_view name,
                            const std::function<bool(std::string_view value, PairId pair)>& visit) const = 0;
  virtual std::optional<PairId> FindPair(std::string_view name, std::string_view value) const = 0;

  virtual SeriesSet WithPair(PairId pair) const = 0;
  virtual SeriesSet WithAnyPair(std::span<const PairId> pairs) const = 0;
  virtual SeriesSet WithLabel(std::string_view name) const = 0;
  virtual uint64_t CountWithPair(PairId pair) const = 0;
  virtual uint64_t CountWithPair(PairId pair, const SeriesSet& within) const = 0;
  virtual bool AnyWithPair(PairId pair, const SeriesSet& within) const = 0;

  // For every pair at once, how many series of `within` have it. `counts` becomes indexed by PairId: a pair beyond its
  // end has none, and some entries are the catalogue's own pairs, which nobody knows an id of. Costs some 10 ns for
  // each label of each series of `within`: the way to count or list many pairs within a selector. Without a selector
  // CountWithPair(pair) is cheaper still. Implemented here by Read and FindPair, for fakes.
  virtual void CountPairs(const SeriesSet& within, std::vector<uint32_t>& counts) const;

  // Those of `set` that existed in the range: first_seen <= end and last_seen + activity_interval >= start. Times are
  // kept in whole seconds, rounded away from each other: never one too few, at most one that missed by a second.
  virtual SeriesSet SeenIn(const SeriesSet& set, model::TimeRange range) const = 0;

  virtual void Read(Ordinal ordinal, SeriesView& out) const = 0;

  // Metadata of the given tenants (none: all), by family; the latest word of each tenant.
  virtual void ForEachMetadata(std::span<const std::string> tenants,
                               const std::function<bool(const store::StoredMetadata&)>& visit) const = 0;
};

struct CatalogOptions {
  uint64_t activity_interval_s = 3600;
  uint64_t max_series = kMostSeries;    // at most kMostSeries; what comes above is refused and logged
  telemetry::Logger* logger = nullptr;  // borrowed; nullptr: says nothing
};

// Threads: all const members are safe from any thread (a mutex for as long as it takes to copy the snapshot's pointer);
// the writers (Load, Append, …) are confined to one thread at a time.
//
// Memory: a writer that std::bad_alloc meets, from the catalogue or from the reader, logs it and ends the process
// (std::abort). A series that stands in one table and not yet in the next would be known and never found, and nothing
// is taken out again; a new process reads it all from the store.
class Catalog {
 public:
  static std::unique_ptr<Catalog> Create(CatalogOptions options);
  virtual ~Catalog() = default;

  virtual std::shared_ptr<const Snapshot> Current() const = 0;

  // Everything that the reader has above the highest id read here, and its metadata. Visible when it returns, as far
  // as it came also when it fails: with the reader's error, or kTooLarge above max_series. A row whose content is no
  // identity is passed over, counted in stats().unreadable and logged: one bad row must not keep the rest from
  // starting.
  Status Load(store::CatalogReader& reader);

  // The parts of Load, for who follows a store that others write (follower.h); the same errors.
  struct Reading {
    std::vector<store::IdRange> skipped;  // ids that it passed over: their transactions may still commit
    uint64_t newest_id = 0;               // of the last series; 0 when there was none
    model::Fingerprint newest;
  };
  virtual Status LoadSeries(store::CatalogReader& reader, Reading& reading) = 0;
  // Those in `gaps` that the reader has by now and that are not known here. Gives what it has, in runs of ids, also
  // when it fails. Requires: as CatalogReader::ReadSeriesIn.
  virtual Status LoadMissing(store::CatalogReader& reader, std::span<const store::IdRange> gaps,
                             std::vector<store::IdRange>& found) = 0;
  virtual Status LoadMetadata(store::CatalogReader& reader) = 0;
  // Reads the whole store for what is not known here.
  virtual Status LoadAll(store::CatalogReader& reader) = 0;
  // Forgets everything, for a store that was replaced. Current() answers from before until LoadSeries has succeeded.
  virtual void Clear() = 0;

  // What the index has just applied, told directly: new series, times that moved, metadata. Ids that are known already
  // are passed over. Visible to Current() when it returns. Costs a microsecond a series,
  // whatever the size of the catalogue.
  virtual void Append(std::span<const model::SeriesBatch> batches, const store::ApplyResult& applied) = 0;
  // Takes effect in place, also in snapshots that were taken before. Unknown ids are passed over.
  virtual void UpdateSeen(std::span<const store::SeenUpdate> updates) = 0;

  struct Stats {
    uint64_t series;
    uint64_t bytes;  // all in: dictionary, postings, series, tables, what is reserved and not yet used
    uint64_t pairs;  // distinct (name, value)
    uint64_t highest_id;
    uint64_t unreadable = 0;  // rows that Load could not make sense of
    uint64_t refused = 0;     // series above max_series
  };
  virtual Stats stats() const = 0;
  // Series by tenant, most first, at most `limit`.
  virtual std::vector<std::pair<std::string, uint64_t>> SeriesByTenant(size_t limit) const = 0;
};

}  // namespace mi::catalog
