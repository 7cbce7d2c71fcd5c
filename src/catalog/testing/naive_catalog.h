// The catalogue in its simplest form. The tests compare the real one with it.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "catalog/catalog.h"
#include "model/identity.h"

namespace mi::catalog {

using LabelMap = std::map<std::string, std::string>;

inline model::Labels ToLabels(const LabelMap& map) {
  std::vector<model::Label> labels;
  for (const auto& [name, value] : map) labels.push_back({name, value});
  return model::Labels::FromUnsorted(labels).value();
}

struct NaiveSeries {
  uint64_t id = 0;
  std::string tenant;
  LabelMap labels;
  int64_t first_seen_ms = 0;
  int64_t last_seen_ms = 0;
};

// Is also the store that Load reads from.
class NaiveCatalog : public store::CatalogReader {
 public:
  std::vector<NaiveSeries> series;  // by id
  std::vector<store::StoredMetadata> metadata;

  Result<store::CatalogState> State() override {
    return store::CatalogState{"naive", series.empty() ? 0 : series.back().id};
  }
  Result<uint64_t> CountSeries(uint64_t up_to_id) override {
    return std::ranges::count_if(series, [&](const NaiveSeries& one) { return one.id <= up_to_id; });
  }
  Status ReadSeries(uint64_t after_id, const std::function<bool(const store::StoredSeries&)>& visit) override {
    for (const NaiveSeries& one : series) {
      if (one.id > after_id && !Show(one, visit)) break;
    }
    return {};
  }
  Status ReadSeriesIn(std::span<const store::IdRange> ranges,
                      const std::function<bool(const store::StoredSeries&)>& visit) override {
    for (const NaiveSeries& one : series) {
      const auto holds = [&](const store::IdRange& range) { return range.first <= one.id && one.id <= range.last; };
      if (std::ranges::any_of(ranges, holds) && !Show(one, visit)) break;
    }
    return {};
  }
  Result<uint64_t> ReadSeenChanges(uint64_t, const std::function<void(const store::SeenUpdate&)>& visit) override {
    for (const NaiveSeries& one : series) visit({one.id, one.first_seen_ms, one.last_seen_ms});
    return 0;
  }
  Status ReadFingerprints(const std::function<bool(model::Fingerprint, int64_t)>&) override { return {}; }
  Status ReadMetadata(const std::function<bool(const store::StoredMetadata&)>& visit) override {
    for (const auto& one : metadata) {
      if (!visit(one)) break;
    }
    return {};
  }

 private:
  static bool Show(const NaiveSeries& one, const std::function<bool(const store::StoredSeries&)>& visit) {
    const std::string content = model::FormatIdentity(ToLabels(one.labels).view());
    return visit({one.id, one.tenant, content, {}, one.first_seen_ms, one.last_seen_ms});
  }
};

// Series for Catalog::Append.
struct Told {
  std::vector<model::SeriesBatch> batches;
  store::ApplyResult applied;

  // One batch per series, since each may have its own tenant and time.
  void Add(const NaiveSeries& one) {
    batches.emplace_back(model::Tenant::Parse(one.tenant).value(), one.first_seen_ms);
    batches.back().Add({}, ToLabels(one.labels).canonical());
    applied.inserted.push_back({one.id, batches.size() - 1, 0});
  }
};

inline std::vector<Ordinal> Ordinals(const SeriesSet& set) {
  std::vector<Ordinal> ordinals;
  set.ForEach([&](Ordinal ordinal) {
    ordinals.push_back(ordinal);
    return true;
  });
  return ordinals;
}

}  // namespace mi::catalog
