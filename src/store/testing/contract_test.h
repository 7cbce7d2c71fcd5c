// What every SeriesStore and CatalogReader must do, whatever database is behind them. An adapter's test instantiates
// the suite with a way to make an empty catalogue:
//
//   INSTANTIATE_TEST_SUITE_P(Sqlite, StoreContract, testing::Values(ContractCase{"Sqlite", MakeSqlite}), CaseName);
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/ports.h"

namespace mi::store {

using LabelPairs = std::vector<std::pair<std::string, std::string>>;

// The row of metric_basic_label that a series points to.
struct BasicLabelRow {
  std::string tenant;
  std::string env;
  std::string service;
  std::string name;
  friend bool operator==(const BasicLabelRow&, const BasicLabelRow&) = default;
};

// One empty catalogue, and what the suite must see or do behind the ports' back.
class CatalogUnderTest {
 public:
  virtual ~CatalogUnderTest() = default;
  // The errors that stores gave to their FatalHandler.
  virtual std::vector<std::string> FatalMessages() = 0;
  virtual std::unique_ptr<SeriesStore> OpenStore() = 0;
  virtual std::unique_ptr<CatalogReader> OpenReader() = 0;

  // From now on an Apply that brings positions fails at its very end, when all else is written; and no longer.
  virtual void BreakApply() = 0;
  virtual void RepairApply() = 0;

  // What people's SQL sees of a series: its pairs by way of metric_label, sorted, and its basic labels.
  virtual LabelPairs LabelsOf(uint64_t id) = 0;
  virtual BasicLabelRow BasicLabelOf(uint64_t id) = 0;
};

struct ContractCase {
  std::string name;
  std::function<std::unique_ptr<CatalogUnderTest>()> make;
  bool keeps_what_is_not_utf8 = true;  // else it is refused
  bool knows_what_moved = true;        // else ReadSeenChanges gives every series each time
  friend void PrintTo(const ContractCase& c, std::ostream* out) { *out << c.name; }
};

inline std::string CaseName(const testing::TestParamInfo<ContractCase>& info) { return info.param.name; }

// What ReadSeries shows, owned.
struct SeriesRow {
  uint64_t id;
  std::string tenant;
  std::string content;
  model::Fingerprint fingerprint;
  int64_t first_seen_ms;
  int64_t last_seen_ms;
  bool has_times = true;
  friend bool operator==(const SeriesRow&, const SeriesRow&) = default;
};

model::Tenant MakeTenant(std::string_view name);
// A batch of the given label sets, with the fingerprints that a receiver without identity.secret gives them.
model::SeriesBatch MakeBatch(std::string_view tenant, int64_t seen_at_ms, const std::vector<LabelPairs>& series);
// `count` series of 12 labels, shaped like Kubernetes traffic; the same seed makes the same ones.
model::SeriesBatch MakePodBatch(std::string_view tenant, int64_t seen_at_ms, size_t count, size_t seed);
std::vector<SeriesRow> ReadAll(CatalogReader& reader, uint64_t after_id = 0);

class StoreContract : public testing::TestWithParam<ContractCase> {
 protected:
  // Applies one batch without a position; fails the test when that fails.
  ApplyResult Apply(const model::SeriesBatch& batch);
  std::vector<SeriesRow> Rows() { return ReadAll(*reader_); }
  void ApplyMetadata(std::string_view tenant, int64_t seen_at_ms, const std::vector<model::MetricMetadata>& metadata);
  std::vector<std::tuple<std::string, model::MetricMetadata, int64_t>> StoredTexts();

  std::unique_ptr<CatalogUnderTest> catalog_ = GetParam().make();
  std::unique_ptr<SeriesStore> store_ = catalog_->OpenStore();
  std::unique_ptr<CatalogReader> reader_ = catalog_->OpenReader();
};

}  // namespace mi::store
