// What the catalogue held at one moment: the questions that can be asked of it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/series_set.h"
#include "model/labels.h"
#include "model/time_range.h"
#include "store/ports.h"

namespace mi::catalog {

// The number of a (label name, value) pair within one process. Never stored, never shown.
using PairId = uint32_t;

// How many series something selects, as far as can be told cheaply. kNone and kAll are certain; kSome may be any.
enum class Coverage { kNone, kSome, kAll };

// One series, read into buffers that the caller reuses. The views point into the snapshot.
struct SeriesView {
  uint64_t id = 0;
  std::string_view tenant;
  int64_t first_seen_ms = 0;         // whole seconds, rounded down
  int64_t last_seen_ms = 0;          // whole seconds, rounded up
  std::vector<model::Label> labels;  // sorted by name, including __name__
};

// An interface, because the tests of query and web use a plain one.
// Threads: safe. All views live as long as the snapshot.
class Snapshot {
 public:
  virtual ~Snapshot() = default;

  virtual uint64_t series() const = 0;
  virtual SeriesSet All() const = 0;
  virtual SeriesSet OfTenant(std::string_view tenant) const = 0;
  virtual std::vector<std::string_view> Tenants() const = 0;
  virtual bool HasTenant(std::string_view tenant) const = 0;  // costs one look-up

  // Every label name, sorted by bytes.
  virtual std::vector<std::string_view> LabelNames() const = 0;
  // The label names that a series of `within` has, in any order. Costs at most about what reading the postings of every
  // series once does. Asks give_up() now and then; what it returns after a "true" is incomplete.
  virtual std::vector<std::string_view> LabelNamesIn(const SeriesSet& within,
                                                     const std::function<bool()>& give_up) const = 0;
  // The same for the series that existed in the range (SeenIn). Costs one test per set of names that is in use.
  virtual std::vector<std::string_view> LabelNamesIn(model::TimeRange range,
                                                     const std::function<bool()>& give_up) const = 0;
  // Visits every value of a label, in any order. A visitor that returns false ends it.
  virtual void ForEachValue(std::string_view name,
                            const std::function<bool(std::string_view value, PairId pair)>& visit) const = 0;
  virtual std::optional<PairId> FindPair(std::string_view name, std::string_view value) const = 0;

  virtual SeriesSet WithPair(PairId pair) const = 0;
  virtual SeriesSet WithAnyPair(std::span<const PairId> pairs) const = 0;
  virtual SeriesSet WithLabel(std::string_view name) const = 0;
  virtual uint64_t CountWithPair(PairId pair) const = 0;
  virtual uint64_t CountWithPair(PairId pair, const SeriesSet& within) const = 0;
  // Both cost one test if the newest series qualifies.
  virtual bool AnyWithPair(PairId pair, const SeriesSet& within) const = 0;
  virtual bool AnyWithPair(PairId pair, model::TimeRange range) const = 0;  // that existed in the range (SeenIn)

  // For every pair, how many series of `within` have it: counts[pair]. A pair beyond the end of `counts` has none. Some
  // entries are pairs of the catalogue's own, whose ids are never returned. Costs about 10 ns per label of each series
  // of `within`, and is the cheapest way to count many pairs within a selector. Without a selector, CountWithPair(pair)
  // is cheaper.
  virtual void CountPairs(const SeriesSet& within, std::vector<uint32_t>& counts) const = 0;

  // Those of `set` that existed in the range: first_seen <= end and last_seen + activity_interval >= start. Times are
  // whole seconds, first_seen rounded down and last_seen up. So no series is missing, and a series may be included that
  // missed the range by less than a second.
  virtual SeriesSet SeenIn(const SeriesSet& set, model::TimeRange range) const = 0;
  // How many series existed in the range. Costs microseconds.
  virtual Coverage CoverageOf(model::TimeRange range) const = 0;

  virtual void Read(Ordinal ordinal, SeriesView& out) const = 0;

  // Visits the texts of each family of the given tenants (none: of all), sorted by family and tenant, the latest text
  // of each first. What it visits lives as long as the snapshot.
  virtual void ForEachMetadata(std::span<const std::string> tenants,
                               const std::function<bool(const store::StoredMetadata&)>& visit) const = 0;
};

}  // namespace mi::catalog
