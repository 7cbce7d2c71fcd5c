// A catalogue for tests: plain lists, searched from end to end. Answers of the real catalogue are compared with it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "catalog/catalog.h"

namespace mi::query {

// Threads: compatible while it is filled, then safe.
class FakeSnapshot : public catalog::Snapshot {
 public:
  struct Series {
    std::string tenant;
    std::map<std::string, std::string> labels;
    int64_t first_seen_ms = 0;
    int64_t last_seen_ms = 0;

    // '' if there is no such label, as matchers see it.
    std::string_view Get(const std::string& name) const {
      const auto label = labels.find(name);
      return label == labels.end() ? std::string_view() : std::string_view(label->second);
    }
  };

  void AddSeries(Series series) {
    for (const auto& pair : series.labels) {
      if (pairs_.insert({pair, static_cast<catalog::PairId>(pair_list_.size())}).second) pair_list_.push_back(pair);
    }
    series_.push_back(std::move(series));
  }
  void Add(std::map<std::string, std::string> labels) { AddSeries({.labels = std::move(labels)}); }
  void AddMetadata(store::StoredMetadata metadata) { metadata_.push_back(std::move(metadata)); }
  const std::vector<Series>& list() const { return series_; }

  uint64_t series() const override { return series_.size(); }
  catalog::SeriesSet All() const override {
    return Where([](const Series&) { return true; });
  }
  catalog::SeriesSet OfTenant(std::string_view tenant) const override {
    return Where([&](const Series& s) { return s.tenant == tenant; });
  }
  std::vector<std::string_view> Tenants() const override {
    std::set<std::string_view> tenants;
    for (const Series& s : series_) tenants.insert(s.tenant);
    return {tenants.begin(), tenants.end()};
  }
  bool HasTenant(std::string_view tenant) const override {
    return std::ranges::find(series_, tenant, &Series::tenant) != series_.end();
  }
  std::vector<std::string_view> LabelNames() const override {
    std::set<std::string_view> names;
    for (const auto& [name, value] : pair_list_) names.insert(name);
    return {names.begin(), names.end()};
  }
  std::vector<std::string_view> LabelNamesIn(const catalog::SeriesSet& within,
                                             const std::function<bool()>&) const override {
    std::set<std::string_view> names;
    within.ForEach([&](catalog::Ordinal ordinal) {
      for (const auto& [name, value] : series_.at(ordinal).labels) names.insert(name);
      return true;
    });
    return {names.begin(), names.end()};
  }
  std::vector<std::string_view> LabelNamesIn(model::TimeRange range,
                                             const std::function<bool()>& give_up) const override {
    return LabelNamesIn(SeenIn(All(), range), give_up);
  }
  void ForEachValue(std::string_view name,
                    const std::function<bool(std::string_view, catalog::PairId)>& visit) const override {
    for (const auto& [pair, id] : pairs_) {
      if (pair.first == name && !visit(pair.second, id)) return;
    }
  }
  std::optional<catalog::PairId> FindPair(std::string_view name, std::string_view value) const override {
    const auto found = pairs_.find({std::string(name), std::string(value)});
    if (found == pairs_.end()) return std::nullopt;
    return found->second;
  }
  catalog::SeriesSet WithPair(catalog::PairId pair) const override {
    return Where([&](const Series& s) { return Has(s, pair); });
  }
  catalog::SeriesSet WithAnyPair(std::span<const catalog::PairId> pairs) const override {
    catalog::SeriesSet set;
    for (const catalog::PairId pair : pairs) set |= WithPair(pair);
    return set;
  }
  catalog::SeriesSet WithLabel(std::string_view name) const override {
    return Where([&](const Series& s) { return s.labels.contains(std::string(name)); });
  }
  uint64_t CountWithPair(catalog::PairId pair) const override { return WithPair(pair).size(); }
  uint64_t CountWithPair(catalog::PairId pair, const catalog::SeriesSet& within) const override {
    return WithPair(pair).CountIn(within);
  }
  void CountPairs(const catalog::SeriesSet& within, std::vector<uint32_t>& counts) const override {
    counts.assign(pair_list_.size(), 0);
    for (size_t pair = 0; pair < counts.size(); ++pair) {
      counts[pair] = static_cast<uint32_t>(CountWithPair(static_cast<catalog::PairId>(pair), within));
    }
  }
  bool AnyWithPair(catalog::PairId pair, const catalog::SeriesSet& within) const override {
    return WithPair(pair).Intersects(within);
  }
  bool AnyWithPair(catalog::PairId pair, model::TimeRange range) const override {
    return std::ranges::any_of(series_, [&](const Series& s) { return Has(s, pair) && IsIn(s, range); });
  }
  catalog::SeriesSet SeenIn(const catalog::SeriesSet& set, model::TimeRange range) const override {
    catalog::SeriesSet seen = Where([&](const Series& s) { return IsIn(s, range); });
    seen &= set;
    return seen;
  }
  catalog::Coverage CoverageOf(model::TimeRange range) const override {
    const uint64_t seen = SeenIn(All(), range).size();
    if (seen == 0) return catalog::Coverage::kNone;
    return seen == series() ? catalog::Coverage::kAll : catalog::Coverage::kSome;
  }
  void Read(catalog::Ordinal ordinal, catalog::SeriesView& out) const override {
    const Series& s = series_.at(ordinal);
    out = {.id = ordinal + 1, .tenant = s.tenant, .first_seen_ms = s.first_seen_ms, .last_seen_ms = s.last_seen_ms};
    for (const auto& [name, value] : s.labels) out.labels.push_back({.name = name, .value = value});
  }
  void ForEachMetadata(std::span<const std::string> tenants,
                       const std::function<bool(const store::StoredMetadata&)>& visit) const override {
    std::vector<const store::StoredMetadata*> sorted;
    for (const store::StoredMetadata& metadata : metadata_) sorted.push_back(&metadata);
    std::ranges::sort(sorted, {}, [](const store::StoredMetadata* metadata) {
      return std::tuple(std::string_view(metadata->metadata.family), metadata->tenant.name(), metadata);
    });
    for (const store::StoredMetadata* metadata : sorted) {
      const bool asked = tenants.empty() || std::ranges::find(tenants, metadata->tenant.name()) != tenants.end();
      if (asked && !visit(*metadata)) return;
    }
  }

 private:
  using Pair = std::pair<std::string, std::string>;

  static bool IsIn(const Series& s, model::TimeRange range) {
    return s.first_seen_ms <= range.end_ms && s.last_seen_ms >= range.start_ms;
  }
  bool Has(const Series& s, catalog::PairId pair) const {
    const auto label = s.labels.find(pair_list_.at(pair).first);
    return label != s.labels.end() && label->second == pair_list_.at(pair).second;
  }
  catalog::SeriesSet Where(const std::function<bool(const Series&)>& wanted) const {
    catalog::SeriesSet set;
    for (size_t i = 0; i < series_.size(); ++i) {
      if (wanted(series_[i])) set.Add(static_cast<catalog::Ordinal>(i));
    }
    return set;
  }

  std::vector<Series> series_;
  std::map<Pair, catalog::PairId> pairs_;
  std::vector<Pair> pair_list_;
  std::vector<store::StoredMetadata> metadata_;
};

}  // namespace mi::query
