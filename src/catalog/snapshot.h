// A snapshot: how far one may look into the storage, and the questions that can be asked up to there.
//
// It copies nothing and costs a hundred bytes. It keeps the storage alive and, for as long as it lives, a replaced hash
// table or tail (a few MB): hold it for a question, not for a day.
#pragma once

#include <memory>

#include "catalog/catalog.h"
#include "catalog/storage.h"

namespace mi::catalog {

// Counted by the writer, told in the stats.
struct PassedOver {
  uint64_t unreadable = 0;
  uint64_t refused = 0;
};

class SnapshotImpl final : public Snapshot {
 public:
  // Everything that stands in the storage now. Called by the writer.
  SnapshotImpl(const std::shared_ptr<Storage>& storage, uint64_t activity_interval_s, PassedOver passed_over);

  uint64_t series() const override { return series_; }
  SeriesSet All() const override { return SeriesSet::Range(0, series_); }
  SeriesSet OfTenant(std::string_view tenant) const override;
  std::vector<std::string_view> Tenants() const override;
  std::vector<std::string_view> LabelNames() const override;
  void ForEachValue(std::string_view name,
                    const std::function<bool(std::string_view value, PairId pair)>& visit) const override;
  std::optional<PairId> FindPair(std::string_view name, std::string_view value) const override;
  SeriesSet WithPair(PairId pair) const override { return WithAnyPair({&pair, 1}); }
  SeriesSet WithAnyPair(std::span<const PairId> pairs) const override;
  SeriesSet WithLabel(std::string_view name) const override;
  uint64_t CountWithPair(PairId pair) const override { return postings_.Count(dictionary_.pair(pair)); }
  uint64_t CountWithPair(PairId pair, const SeriesSet& within) const override;
  bool AnyWithPair(PairId pair, const SeriesSet& within) const override;
  void CountPairs(const SeriesSet& within, std::vector<uint32_t>& counts) const override;
  SeriesSet SeenIn(const SeriesSet& set, model::TimeRange range) const override;
  void Read(Ordinal ordinal, SeriesView& out) const override;
  void ForEachMetadata(std::span<const std::string> tenants,
                       const std::function<bool(const store::StoredMetadata&)>& visit) const override;

  // Series by tenant, in no order.
  std::vector<std::pair<std::string_view, uint64_t>> CountByTenant() const;
  const Catalog::Stats& stats() const { return stats_; }

 private:
  // The union of the shapes of which `wanted(ShapeView)` says true.
  template <typename Wanted>
  SeriesSet WithShapes(Wanted wanted) const;

  std::shared_ptr<const Storage> storage_;  // shared with the catalogue and the other snapshots
  Dictionary::View dictionary_;
  PostingsView postings_;
  uint32_t series_;
  MetadataLog::View metadata_;
  int64_t activity_interval_s_;
  Catalog::Stats stats_;
};

}  // namespace mi::catalog
