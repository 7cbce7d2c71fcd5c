// The catalogue's storage, and the snapshots that read it.
//
// A snapshot is how far a reader may look into the storage. It copies nothing and takes about a hundred bytes. But it
// keeps the storage alive and, if the catalogue has replaced a hash table or a tail since, a few MB of these: hold it
// for one query.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "catalog/catalog.h"
#include "catalog/dictionary.h"
#include "catalog/metadata_log.h"
#include "catalog/postings.h"
#include "catalog/series_log.h"

namespace mi::catalog {

// Everything that the catalogue keeps. The catalogue writes it, its snapshots read it.
struct Storage {
  explicit Storage(uint64_t activity_interval_s) : metadata(std::chrono::seconds(2 * activity_interval_s)) {}

  Dictionary dictionary;
  SeriesLog series;
  Postings postings;
  MetadataLog metadata;

  size_t bytes() const { return dictionary.bytes() + series.bytes() + postings.bytes() + metadata.bytes(); }
};

class StoredSnapshot final : public Snapshot {
 public:
  // Everything that is in the storage now. Called by the writer.
  StoredSnapshot(std::shared_ptr<Storage> storage, uint64_t activity_interval_s, const Catalog::Stats& stats);

  uint64_t series() const override { return series_; }
  SeriesSet All() const override { return SeriesSet::Range(0, series_); }
  SeriesSet OfTenant(std::string_view tenant) const override;
  std::vector<std::string_view> Tenants() const override;
  bool HasTenant(std::string_view tenant) const override;
  std::vector<std::string_view> LabelNames() const override;
  std::vector<std::string_view> LabelNamesIn(const SeriesSet& within,
                                             const std::function<bool()>& give_up) const override;
  std::vector<std::string_view> LabelNamesIn(model::TimeRange range,
                                             const std::function<bool()>& give_up) const override;
  void ForEachValue(std::string_view name,
                    const std::function<bool(std::string_view value, PairId pair)>& visit) const override;
  std::optional<PairId> FindPair(std::string_view name, std::string_view value) const override;
  SeriesSet WithPair(PairId pair) const override { return WithAnyPair({&pair, 1}); }
  SeriesSet WithAnyPair(std::span<const PairId> pairs) const override;
  SeriesSet WithLabel(std::string_view name) const override;
  uint64_t CountWithPair(PairId pair) const override { return postings_.Count(dictionary_.pair(pair)); }
  uint64_t CountWithPair(PairId pair, const SeriesSet& within) const override;
  bool AnyWithPair(PairId pair, const SeriesSet& within) const override;
  bool AnyWithPair(PairId pair, model::TimeRange range) const override;
  void CountPairs(const SeriesSet& within, std::vector<uint32_t>& counts) const override;
  SeriesSet SeenIn(const SeriesSet& set, model::TimeRange range) const override;
  Coverage CoverageOf(model::TimeRange range) const override;
  void Read(Ordinal ordinal, SeriesView& out) const override;
  void ForEachMetadata(std::span<const std::string> tenants,
                       const std::function<bool(const store::StoredMetadata&)>& visit) const override;

  // Series by tenant, in any order.
  std::vector<std::pair<std::string_view, uint64_t>> CountByTenant() const;
  const Catalog::Stats& stats() const { return stats_; }

 private:
  // The union of the shapes that wanted(ShapeView) accepts.
  template <typename Wanted>
  SeriesSet WithShapes(Wanted wanted) const;

  // Collects label names by shapes.
  class NamesFound;
  // Nothing if no series can have existed in the range.
  std::optional<SeenCondition> ConditionOf(model::TimeRange range) const;
  uint32_t windows() const { return series_ / kWindow + (series_ % kWindow != 0 ? 1 : 0); }
  SeriesSet AllSeen(SeenCondition condition) const;

  const std::shared_ptr<const Storage> storage_;  // shared with the catalogue and the other snapshots
  const Dictionary::View dictionary_;
  const PostingsView postings_;
  const uint32_t series_;
  const std::shared_ptr<const MetadataLog::Entries> metadata_;
  const int64_t activity_interval_s_;
  const Catalog::Stats stats_;
};

}  // namespace mi::catalog
