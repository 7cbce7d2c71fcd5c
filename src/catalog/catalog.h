// The whole catalogue in memory: a dictionary of label strings and (name, value) pairs, a compressed posting set a
// pair, each series as the list of its pair ids. An immutable base and a small delta: readers take a snapshot pointer,
// never a lock.
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

namespace mi::catalog {

using PairId = uint32_t;

// One series, read into buffers that the caller reuses. Views point into the snapshot's dictionary.
struct SeriesView {
  uint64_t id = 0;
  std::string_view tenant;
  int64_t first_seen_ms = 0;
  int64_t last_seen_ms = 0;
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

  // Those of `set` that existed in the range: first_seen <= end and last_seen + activity_interval >= start.
  virtual SeriesSet SeenIn(const SeriesSet& set, model::TimeRange range) const = 0;

  virtual void Read(Ordinal ordinal, SeriesView& out) const = 0;

  // Metadata of the given tenants (none: all), by family; several entries of one family differ in type, help or unit.
  virtual void ForEachMetadata(std::span<const std::string> tenants,
                               const std::function<bool(const store::StoredMetadata&)>& visit) const = 0;
};

struct CatalogOptions {
  uint64_t activity_interval_s = 3600;
};

// Threads: Current() and stats() are safe from any thread; the writers (Load, Append, …) are confined to one thread at
// a time.
class Catalog {
 public:
  static std::unique_ptr<Catalog> Create(CatalogOptions options);
  virtual ~Catalog() = default;

  virtual std::shared_ptr<const Snapshot> Current() const = 0;

  // Everything that the reader has above the highest id known here, and its metadata. Visible when it returns.
  virtual Status Load(store::CatalogReader& reader) = 0;

  // What the index has just applied, told directly. Visible to Current() when it returns.
  virtual void Append(std::span<const model::SeriesBatch> batches, const store::ApplyResult& applied) = 0;
  virtual void UpdateSeen(std::span<const store::SeenUpdate> updates) = 0;

  struct Stats {
    uint64_t series;
    uint64_t bytes;  // all in: dictionary, postings, series
    uint64_t pairs;
    uint64_t highest_id;
  };
  virtual Stats stats() const = 0;
  // Series by tenant, most first, at most `limit`.
  virtual std::vector<std::pair<std::string, uint64_t>> SeriesByTenant(size_t limit) const = 0;
};

}  // namespace mi::catalog
