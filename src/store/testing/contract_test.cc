#include "store/testing/contract_test.h"

#include <set>
#include <thread>

#include "base/format.h"
#include "model/identity.h"
#include "store/metadata_plan.h"

namespace mi::store {

using model::Fingerprint;
using model::SeriesBatch;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

model::Tenant MakeTenant(std::string_view name) { return model::Tenant::Parse(name).value(); }

SeriesBatch MakeBatch(std::string_view tenant, int64_t seen_at_ms, const std::vector<LabelPairs>& series) {
  SeriesBatch batch(MakeTenant(tenant), seen_at_ms);
  const model::Fingerprinter fingerprint("", batch.tenant());
  for (const LabelPairs& pairs : series) {
    std::vector<model::Label> labels;
    for (const auto& [name, value] : pairs) labels.push_back({name, value});
    const model::Labels canonical = model::Labels::FromUnsorted(labels).value();
    batch.Add(fingerprint(canonical.canonical()), canonical.canonical());
  }
  return batch;
}

SeriesBatch MakePodBatch(std::string_view tenant, int64_t seen_at_ms, size_t count, size_t seed) {
  std::vector<LabelPairs> series;
  for (size_t i = 0; i < count; ++i) {
    const size_t number = seed * 1'000'000 + i;
    const std::string pod = format("checkout-{:x}", number / 100 * 2654435761U % 0xffffffffU);
    series.push_back({{"__name__", format("container_metric_{}_total", number % 100)},
                      {"cluster", "eu-west-1"},
                      {"container", "main"},
                      {"env", number % 7 == 0 ? "" : "prod"},
                      {"id", format("/kubepods/burstable/{}", pod)},
                      {"image", format("registry.example.org/shop/checkout:v1.{}", number / 10'000)},
                      {"instance", format("10.{}.{}.7:10250", number / 25'600 % 256, number / 100 % 256)},
                      {"job", "kubelet"},
                      {"namespace", format("team-{}", number / 1'000 % 50)},
                      {"node", format("ip-10-{}.eu-west-1.compute.internal", number / 100 % 256)},
                      {"pod", pod},
                      {"service", "kubelet"}});
  }
  return MakeBatch(tenant, seen_at_ms, series);
}

std::vector<SeriesRow> ReadAll(CatalogReader& reader, uint64_t after_id) {
  std::vector<SeriesRow> rows;
  const Status read = reader.ReadSeries(after_id, [&](const StoredSeries& s) {
    rows.push_back({s.id, std::string(s.tenant), std::string(s.content), s.fingerprint, s.first_seen_ms, s.last_seen_ms,
                    s.has_times});
    return true;
  });
  EXPECT_TRUE(read) << read.error().message();
  return rows;
}

void StoreContract::ApplyMetadata(std::string_view tenant, int64_t seen_at_ms,
                                  const std::vector<model::MetricMetadata>& metadata) {
  SeriesBatch batch(MakeTenant(tenant), seen_at_ms);
  for (const model::MetricMetadata& text : metadata) batch.AddMetadata(text);
  Apply(batch);
}

std::vector<std::tuple<std::string, model::MetricMetadata, int64_t>> StoreContract::StoredTexts() {
  std::vector<std::tuple<std::string, model::MetricMetadata, int64_t>> stored;
  const Status read = reader_->ReadMetadata([&](const StoredMetadata& m) {
    stored.emplace_back(m.tenant.name(), m.metadata, m.last_seen_ms);
    return true;
  });
  EXPECT_TRUE(read);
  return stored;
}

ApplyResult StoreContract::Apply(const SeriesBatch& batch) {
  Result<ApplyResult> result = store_->Apply({&batch, 1}, {});
  EXPECT_TRUE(result) << result.error().message();
  return result.value_or(ApplyResult());
}

namespace {

// Rows without what replays may give differently: the ids.
std::multiset<std::tuple<std::string, std::string, int64_t, int64_t>> Facts(const std::vector<SeriesRow>& rows) {
  std::multiset<std::tuple<std::string, std::string, int64_t, int64_t>> facts;
  for (const SeriesRow& row : rows) facts.emplace(row.tenant, row.content, row.first_seen_ms, row.last_seen_ms);
  return facts;
}

TEST_P(StoreContract, BeginsEmpty) {
  const CatalogState state = reader_->State().value();
  EXPECT_FALSE(state.uuid.empty());
  EXPECT_EQ(state.highest_id, 0u);
  EXPECT_EQ(reader_->CountSeries(UINT64_MAX).value(), 0u);
  EXPECT_THAT(Rows(), IsEmpty());
  EXPECT_EQ(store_->Position("journal", 0).value(), std::nullopt);
  EXPECT_THAT(store_->Checkpoint().value(), IsEmpty());
}

TEST_P(StoreContract, StoresASeriesWithAllItsColumns) {
  const LabelPairs labels = {
      {"__name__", "up"}, {"env", "prod"}, {"service", "api"}, {"job", "node"}, {"instance", "h:9100"}};
  const SeriesBatch batch = MakeBatch("acme", 1000, {labels});
  const ApplyResult result = Apply(batch);

  ASSERT_THAT(result.inserted, SizeIs(1));
  EXPECT_EQ(result.inserted[0].batch, 0u);
  EXPECT_EQ(result.inserted[0].index, 0u);
  EXPECT_EQ(result.existing, 0u);
  const uint64_t id = result.inserted[0].id;
  EXPECT_THAT(Rows(), ElementsAre(SeriesRow{id, "acme", R"(up{env="prod",instance="h:9100",job="node",service="api"})",
                                            batch[0].fingerprint, 1000, 1000}));
  EXPECT_EQ(catalog_->LabelsOf(id), (LabelPairs{{"instance", "h:9100"}, {"job", "node"}}));
  EXPECT_EQ(catalog_->BasicLabelOf(id), (BasicLabelRow{"acme", "prod", "api", "up"}));
  EXPECT_EQ(reader_->State().value().highest_id, id);
  EXPECT_EQ(reader_->CountSeries(UINT64_MAX).value(), 1u);
}

TEST_P(StoreContract, StoresSeriesWithoutBasicLabels) {
  const std::vector<std::pair<LabelPairs, BasicLabelRow>> cases = {
      {{{"__name__", "up"}, {"job", "x"}}, {"", "", "", "up"}},
      {{{"__name__", "up"}, {"env", "prod"}, {"job", "x"}}, {"", "prod", "", "up"}},
      {{{"__name__", "up"}, {"service", "prod"}, {"job", "x"}}, {"", "", "prod", "up"}},
      {{{"job", "x"}}, {"", "", "", ""}},
      {{}, {"", "", "", ""}}};
  for (const auto& [labels, basic] : cases) {
    const ApplyResult result = Apply(MakeBatch("", 1000, {labels}));
    ASSERT_THAT(result.inserted, SizeIs(1));
    EXPECT_EQ(catalog_->BasicLabelOf(result.inserted[0].id), basic);
    EXPECT_THAT(catalog_->LabelsOf(result.inserted[0].id), SizeIs(labels.empty() ? 0 : 1));
  }
  EXPECT_EQ(Rows().back().content, "{}");
}

TEST_P(StoreContract, GivesNamesAndValuesSeparateIds) {
  const LabelPairs crossed = {{"a", "b"}, {"b", "a"}, {"c", "c"}};
  const LabelPairs swapped = {{"a", "a"}, {"b", "b"}, {"c", "a"}};
  const uint64_t first = Apply(MakeBatch("", 1, {crossed})).inserted.at(0).id;
  const uint64_t second = Apply(MakeBatch("", 1, {swapped})).inserted.at(0).id;
  EXPECT_EQ(catalog_->LabelsOf(first), crossed);
  EXPECT_EQ(catalog_->LabelsOf(second), swapped);
}

TEST_P(StoreContract, KeepsEveryByteOfNamesAndValues) {
  const std::vector<std::string> values = {"a",
                                           "a ",
                                           " a",
                                           "A",
                                           "\xc3\xa4",
                                           "a\xcc\x88",
                                           std::string("nul\0byte", 8),
                                           std::string("nul\0other", 9),
                                           std::string("\0", 1),
                                           "\xf0\x9f\x98\x80",
                                           "line\nbreak \"quoted\" back\\slash",
                                           "x'); DROP TABLE metric;--",
                                           "\"; DROP TABLE metric;--",
                                           "100%_?",
                                           "NULL",
                                           "0123",
                                           "1e3",
                                           std::string(64 * 1024, 'x'),
                                           std::string(64 * 1024, 'x') + "y"};
  std::vector<LabelPairs> series;
  for (const std::string& value : values) {
    series.push_back({{"__name__", "m"}, {"label", value}});
    series.push_back({{"__name__", value}, {"env", value}, {"service", value}});
    series.push_back({{"__name__", "m"}, {value, "by name"}});
  }
  const SeriesBatch batch = MakeBatch("", 1000, series);
  const ApplyResult result = Apply(batch);
  ASSERT_THAT(result.inserted, SizeIs(series.size()));
  EXPECT_THAT(result.collisions, IsEmpty());

  std::map<uint64_t, std::string> contents;
  for (const SeriesRow& row : Rows()) contents[row.id] = row.content;
  for (const InsertedSeries& inserted : result.inserted) {
    EXPECT_EQ(contents[inserted.id], model::FormatIdentity(batch[inserted.index].labels));
    LabelPairs pairs = catalog_->LabelsOf(inserted.id);
    const BasicLabelRow basic = catalog_->BasicLabelOf(inserted.id);
    if (!basic.env.empty()) pairs.emplace_back("env", basic.env);
    if (!basic.service.empty()) pairs.emplace_back("service", basic.service);
    pairs.emplace_back("__name__", basic.name);
    std::ranges::sort(pairs);
    LabelPairs sent = series[inserted.index];
    std::ranges::sort(sent);
    EXPECT_EQ(pairs, sent);
  }
  EXPECT_EQ(Apply(batch).existing, series.size());
}

TEST_P(StoreContract, KeepsOrRefusesWhatIsNotUtf8) {
  for (const LabelPairs& labels :
       {LabelPairs{{"__name__", "m"}, {"label", "\xff\xfe"}}, LabelPairs{{"__name__", "m"}, {"\xc3(", "x"}},
        LabelPairs{{"__name__", "\xed\xa0\x80"}}, LabelPairs{{"__name__", "m"}, {"env", "\xf4\x90\x80\x80"}}}) {
    const SeriesBatch batches[] = {MakeBatch("", 1000, {labels}), MakePodBatch("", 1000, 3, 1)};
    const StreamPosition position[] = {{"journal", 0, 7}};
    const Result<ApplyResult> result = store_->Apply(batches, position);
    if (GetParam().keeps_what_is_not_utf8) {
      ASSERT_TRUE(result) << result.error().message();
      EXPECT_EQ(Rows().at(result->inserted.at(0).id - 1).content, model::FormatIdentity(batches[0][0].labels));
    } else {
      // For good, so that it is put aside; and nothing of the call is there.
      ASSERT_FALSE(result);
      EXPECT_EQ(result.error().code(), Errc::kInvalid) << result.error().message();
      EXPECT_THAT(Rows(), IsEmpty());
      EXPECT_EQ(store_->Position("journal", 0).value(), std::nullopt);
    }
  }
}

TEST_P(StoreContract, KeepsTenantsApart) {
  const LabelPairs labels = {{"__name__", "up"}, {"job", "x"}};
  Apply(MakeBatch("", 1000, {labels}));
  Apply(MakeBatch("acme", 2000, {labels}));
  Apply(MakeBatch("ACME", 3000, {labels}));
  const std::string content = R"(up{job="x"})";
  EXPECT_EQ(Facts(Rows()),
            (std::multiset<std::tuple<std::string, std::string, int64_t, int64_t>>{
                {"", content, 1000, 1000}, {"acme", content, 2000, 2000}, {"ACME", content, 3000, 3000}}));
}

TEST_P(StoreContract, GivesAscendingIdsInTheOrderOfArrivalWithoutGaps) {
  Apply(MakePodBatch("", 1000, 50, 1));
  const SeriesBatch batches[] = {MakePodBatch("", 2000, 70, 1), MakePodBatch("acme", 2000, 30, 2)};
  const ApplyResult result = store_->Apply(batches, {}).value();
  ASSERT_THAT(result.inserted, SizeIs(50));
  EXPECT_EQ(result.existing, 50u);
  for (size_t i = 0; i < 50; ++i) {
    EXPECT_EQ(result.inserted[i].id, 51 + i);
    EXPECT_EQ(result.inserted[i].batch, i < 20 ? 0u : 1u);
    EXPECT_EQ(result.inserted[i].index, i < 20 ? 50 + i : i - 20);
  }
  EXPECT_EQ(reader_->State().value().highest_id, 100u);
  EXPECT_EQ(reader_->CountSeries(UINT64_MAX).value(), 100u);
}

TEST_P(StoreContract, MovesFirstSeenBackAndLastSeenForward) {
  const std::vector<LabelPairs> up = {{{"__name__", "up"}}};
  const uint64_t id = Apply(MakeBatch("", 5000, up)).inserted.at(0).id;
  const auto f = [&](int64_t seen_at_ms, int64_t first, int64_t last, size_t moved) {
    const ApplyResult result = Apply(MakeBatch("", seen_at_ms, up));
    EXPECT_EQ(result.existing, 1u);
    ASSERT_THAT(result.updated, SizeIs(moved)) << seen_at_ms;
    if (moved == 1) {
      EXPECT_EQ(result.updated[0].id, id);
      EXPECT_EQ(result.updated[0].first_seen_ms, first);
      EXPECT_EQ(result.updated[0].last_seen_ms, last);
    }
    EXPECT_EQ(Rows().at(0).first_seen_ms, first);
    EXPECT_EQ(Rows().at(0).last_seen_ms, last);
  };
  f(5000, 5000, 5000, 0);
  f(7000, 5000, 7000, 1);
  f(6000, 5000, 7000, 0);
  f(3000, 3000, 7000, 1);
  f(3000, 3000, 7000, 0);
}

TEST_P(StoreContract, AcceptsASeriesThatIsRepeatedInOneCall) {
  const LabelPairs up = {{"__name__", "up"}};
  const SeriesBatch batches[] = {MakeBatch("", 5000, {up, up}), MakeBatch("", 2000, {up}), MakeBatch("", 9000, {up})};
  const ApplyResult result = store_->Apply(batches, {}).value();
  ASSERT_THAT(result.inserted, SizeIs(1));
  EXPECT_EQ(result.inserted[0].batch, 0u);
  EXPECT_EQ(result.inserted[0].index, 0u);
  EXPECT_EQ(result.existing, 3u);
  // Its times are not those of the batch that it stands in, so they are told.
  ASSERT_THAT(result.updated, SizeIs(1));
  EXPECT_EQ(result.updated[0].first_seen_ms, 2000);
  EXPECT_EQ(result.updated[0].last_seen_ms, 9000);
  ASSERT_THAT(Rows(), SizeIs(1));
  EXPECT_EQ(Rows()[0].first_seen_ms, 2000);
  EXPECT_EQ(Rows()[0].last_seen_ms, 9000);
}

TEST_P(StoreContract, GivesTheSameRowsWhateverTheOrderAndNumberOfReplays) {
  std::vector<SeriesBatch> batches;
  for (size_t i = 0; i < 6; ++i) {
    batches.push_back(MakePodBatch(i % 2 == 0 ? "" : "acme", 1000 + static_cast<int64_t>(i) * 100, 40, i / 4));
  }
  const auto apply_all = [&](CatalogUnderTest& catalog, const std::vector<size_t>& order) {
    const std::unique_ptr<SeriesStore> store = catalog.OpenStore();
    for (const size_t i : order) EXPECT_TRUE(store->Apply({&batches[i], 1}, {}));
    return Facts(ReadAll(*catalog.OpenReader()));
  };
  const auto once = apply_all(*catalog_, {0, 1, 2, 3, 4, 5});
  EXPECT_THAT(once, SizeIs(160));
  EXPECT_EQ(apply_all(*catalog_, {3, 0, 5, 5, 1}), once);
  EXPECT_EQ(apply_all(*GetParam().make(), {5, 4, 3, 2, 1, 0}), once);
  EXPECT_EQ(apply_all(*GetParam().make(), {2, 2, 5, 0, 3, 1, 0, 4, 2}), once);
}

TEST_P(StoreContract, RefusesAKnownFingerprintWithAnotherContent) {
  const SeriesBatch up = MakeBatch("", 1000, {{{"__name__", "up"}}});
  const SeriesBatch down = MakeBatch("", 1000, {{{"__name__", "down"}}});
  const Fingerprint fingerprint = up[0].fingerprint;
  SeriesBatch forged(model::Tenant(), 2000);
  forged.Add(fingerprint, down[0].labels.canonical());
  SeriesBatch stolen(MakeTenant("acme"), 2000);
  stolen.Add(fingerprint, up[0].labels.canonical());

  // Within one call, against what is stored, and across tenants.
  const SeriesBatch both[] = {up, forged};
  ApplyResult result = store_->Apply(both, {}).value();
  EXPECT_THAT(result.inserted, SizeIs(1));
  ASSERT_THAT(result.collisions, SizeIs(1));
  EXPECT_EQ(result.collisions[0].batch, 1u);
  EXPECT_EQ(result.collisions[0].index, 0u);
  EXPECT_EQ(result.collisions[0].stored_content, "up{}");
  for (const SeriesBatch& batch : {forged, stolen}) {
    result = Apply(batch);
    EXPECT_THAT(result.inserted, IsEmpty());
    EXPECT_THAT(result.updated, IsEmpty());
    EXPECT_EQ(result.existing, 0u);
    ASSERT_THAT(result.collisions, SizeIs(1));
    EXPECT_EQ(result.collisions[0].stored_content, "up{}");
  }
  // The forged one first: the true one is still known.
  const SeriesBatch forged_first[] = {forged, up, forged};
  result = store_->Apply(forged_first, {}).value();
  EXPECT_THAT(result.inserted, IsEmpty());
  EXPECT_EQ(result.existing, 1u);
  EXPECT_THAT(result.collisions, SizeIs(2));
  ASSERT_THAT(Rows(), SizeIs(1));
  EXPECT_EQ(Rows()[0].content, "up{}");
  EXPECT_EQ(Rows()[0].last_seen_ms, 1000);
}

TEST_P(StoreContract, StoresPositionsWithTheDataAndAlone) {
  const SeriesBatch batch = MakePodBatch("", 1000, 3, 1);
  const StreamPosition first[] = {{"journal", 0, 17}, {"metric-index", 3, 1}, {"metric-index", 4, 2}};
  ASSERT_TRUE(store_->Apply({&batch, 1}, first));
  EXPECT_EQ(store_->Position("journal", 0).value(), 17);
  EXPECT_EQ(store_->Position("metric-index", 3).value(), 1);
  EXPECT_EQ(store_->Position("metric-index", 4).value(), 2);
  EXPECT_EQ(store_->Position("journal", 1).value(), std::nullopt);
  EXPECT_EQ(store_->Position("journal ", 0).value(), std::nullopt);
  // Back as well as forward: a topic that was made anew begins at 0 again.
  const StreamPosition second[] = {{"journal", 0, int64_t{1} << 60}, {"metric-index", 3, 0}};
  ASSERT_TRUE(store_->Apply({}, second));
  EXPECT_EQ(catalog_->OpenStore()->Position("journal", 0).value(), int64_t{1} << 60);
  EXPECT_EQ(store_->Position("metric-index", 3).value(), 0);
  EXPECT_THAT(Rows(), SizeIs(3));
}

TEST_P(StoreContract, CallsTheFatalHandlerAndAppliesNothingIfAPositionWentBack) {
  const auto at = [](int32_t partition, int64_t next_offset) {
    return std::vector<StreamPosition>{{"topic", partition, next_offset}};
  };
  const SeriesBatch batch = MakePodBatch("", 1000, 5, 1);
  ASSERT_TRUE(store_->Apply({}, at(3, 7)));
  ASSERT_TRUE(store_->Apply({}, at(4, 7)));
  EXPECT_THAT(catalog_->FatalMessages(), IsEmpty());
  // A store that knows nothing of the 7 writes a smaller position, as a restore does.
  ASSERT_TRUE(catalog_->OpenStore()->Apply({}, at(3, 4)));
  for (const auto& positions : {at(3, 8), at(4, 8), std::vector<StreamPosition>()}) {
    EXPECT_FALSE(store_->Apply({&batch, 1}, positions));
    EXPECT_THAT(Rows(), IsEmpty());
  }
  EXPECT_FALSE(store_->Position("topic", 3));
  EXPECT_THAT(catalog_->FatalMessages(), SizeIs(4));
  EXPECT_THAT(catalog_->FatalMessages(), testing::Each(testing::HasSubstr("topic, partition 3, was 7 and is 4")));
  // A restart knows nothing of the 7 either, and continues at the stored position.
  store_ = catalog_->OpenStore();
  EXPECT_EQ(store_->Position("topic", 3).value(), 4);
  EXPECT_THAT(store_->Apply({&batch, 1}, at(3, 8)).value().inserted, SizeIs(5));
}

TEST_P(StoreContract, KeepsTheGreaterPositionIfAnotherWorkerHadThePartition) {
  const auto at = [](int64_t next_offset) { return std::vector<StreamPosition>{{"topic", 3, next_offset}}; };
  ASSERT_TRUE(store_->Apply({}, at(4)));
  const std::unique_ptr<SeriesStore> other = catalog_->OpenStore();
  ASSERT_TRUE(other->Apply({}, at(20)));
  for (const int64_t late : {9, 10}) {
    ASSERT_TRUE(store_->Apply({}, at(late)));
    EXPECT_EQ(catalog_->OpenStore()->Position("topic", 3).value(), 20);
  }
  ASSERT_TRUE(other->Apply({}, at(21)));
  EXPECT_EQ(store_->Position("topic", 3).value(), 21);
  EXPECT_THAT(catalog_->FatalMessages(), IsEmpty());
}

TEST_P(StoreContract, AppliesAllOfACallOrNothing) {
  const StreamPosition before[] = {{"journal", 0, 1}};
  const SeriesBatch known = MakePodBatch("", 1000, 10, 1);
  ASSERT_TRUE(store_->Apply({&known, 1}, before));
  const std::vector<SeriesRow> rows = Rows();

  SeriesBatch batch = MakePodBatch("", 2000, 20, 1);
  batch.AddMetadata({"up", "gauge", "help", ""});
  const StreamPosition after[] = {{"journal", 0, 2}};
  catalog_->BreakApply();
  EXPECT_FALSE(store_->Apply({&batch, 1}, after));
  EXPECT_EQ(Rows(), rows);
  EXPECT_EQ(reader_->CountSeries(UINT64_MAX).value(), 10u);
  EXPECT_EQ(store_->Position("journal", 0).value(), 1);

  catalog_->RepairApply();
  const ApplyResult result = store_->Apply({&batch, 1}, after).value();
  EXPECT_THAT(result.inserted, SizeIs(10));
  EXPECT_EQ(result.existing, 10u);
  EXPECT_EQ(store_->Position("journal", 0).value(), 2);
}

TEST_P(StoreContract, ForgetsTheIdsOfDictionaryRowsThatWereRolledBack) {
  const LabelPairs lost = {{"lost_name", "lost value"}, {"shared", "x"}};
  const LabelPairs other = {{"other_name", "other value"}, {"shared", "x"}};
  const StreamPosition position[] = {{"journal", 0, 1}};
  const SeriesBatch batch = MakeBatch("", 1, {lost});
  catalog_->BreakApply();
  ASSERT_FALSE(store_->Apply({&batch, 1}, position));
  catalog_->RepairApply();
  // Another writer takes the ids that the lost rows had.
  const SeriesBatch taken = MakeBatch("", 1, {other});
  const uint64_t other_id = catalog_->OpenStore()->Apply({&taken, 1}, {}).value().inserted.at(0).id;
  const uint64_t lost_id = Apply(batch).inserted.at(0).id;
  EXPECT_EQ(catalog_->LabelsOf(other_id), other);
  EXPECT_EQ(catalog_->LabelsOf(lost_id), lost);
}

TEST_P(StoreContract, MovesLastSeenByActivity) {
  const SeriesBatch batch = MakePodBatch("", 5000, 3, 1);
  const ApplyResult inserted = Apply(batch);
  const Fingerprint unknown{.hi = 1, .lo = 2};
  const model::ActivityBatch activity[] = {{7000, {batch[0].fingerprint, unknown, batch[1].fingerprint}},
                                           {8000, {batch[0].fingerprint, batch[0].fingerprint}},
                                           {4000, {batch[2].fingerprint}}};
  const auto seen = [&] {
    std::vector<std::pair<int64_t, int64_t>> times;
    for (const SeriesRow& row : Rows()) times.emplace_back(row.first_seen_ms, row.last_seen_ms);
    return times;
  };
  const std::vector<SeenUpdate> moved = store_->ApplyActivity(activity).value();
  std::map<uint64_t, std::pair<int64_t, int64_t>> by_id;
  for (const SeenUpdate& update : moved) by_id[update.id] = {update.first_seen_ms, update.last_seen_ms};
  EXPECT_THAT(moved, SizeIs(2));
  EXPECT_THAT(by_id, ElementsAre(testing::Pair(inserted.inserted.at(0).id, testing::Pair(5000, 8000)),
                                 testing::Pair(inserted.inserted.at(1).id, testing::Pair(5000, 7000))));
  EXPECT_THAT(seen(), ElementsAre(testing::Pair(5000, 8000), testing::Pair(5000, 7000), testing::Pair(5000, 5000)));
  EXPECT_THAT(store_->ApplyActivity(activity).value(), IsEmpty());
  EXPECT_THAT(store_->ApplyActivity({}).value(), IsEmpty());
}

TEST_P(StoreContract, CorrectsALastSeenInTheFutureWhenTheSeriesIsSeenAgain) {
  constexpr int64_t kYear2107Ms = 4'323'456'000'000;
  constexpr int64_t kYear2024Ms = 1'710'000'000'000;
  const std::vector<LabelPairs> up = {{{"__name__", "up"}}};
  const auto last_seen = [&] { return Rows().at(0).last_seen_ms; };
  Apply(MakeBatch("", kYear2107Ms, up));
  const ApplyResult again = Apply(MakeBatch("", kYear2024Ms, up));
  ASSERT_THAT(again.updated, SizeIs(1));
  EXPECT_EQ(again.updated[0].last_seen_ms, kYear2024Ms);
  EXPECT_EQ(last_seen(), kYear2024Ms);
  EXPECT_EQ(Rows().at(0).first_seen_ms, kYear2024Ms);

  const SeriesBatch batch = MakeBatch("", kYear2107Ms, up);
  const model::ActivityBatch ahead{kYear2107Ms, {batch[0].fingerprint}};
  const model::ActivityBatch now{kYear2024Ms + 1, {batch[0].fingerprint}};
  EXPECT_THAT(store_->ApplyActivity({&ahead, 1}).value(), SizeIs(1));
  EXPECT_EQ(last_seen(), kYear2107Ms);
  const std::vector<SeenUpdate> moved = store_->ApplyActivity({&now, 1}).value();
  ASSERT_THAT(moved, SizeIs(1));
  EXPECT_EQ(moved[0].last_seen_ms, kYear2024Ms + 1);
  EXPECT_EQ(last_seen(), kYear2024Ms + 1);
  Apply(MakeBatch("", kYear2024Ms, up));
  EXPECT_EQ(last_seen(), kYear2024Ms + 1);
}

TEST_P(StoreContract, KeepsEachTextOfAFamilyWithTheLatestTimeAtWhichItWasSaid) {
  using model::MetricMetadata;
  const MetricMetadata one{"up", "gauge", "one", ""};
  const MetricMetadata other{"up", "counter", "other", "s"};
  const MetricMetadata strange{"http", "counter", "it's \"quoted\"; DROP TABLE metric_metadata", "requests"};
  ApplyMetadata("", 2000, {one, strange});
  ApplyMetadata("", 1000, {other, one});
  ApplyMetadata("acme", 1000, {one});
  ApplyMetadata("", 3000, {other, other});
  EXPECT_THAT(StoredTexts(), UnorderedElementsAre(std::tuple("", one, 2000), std::tuple("", other, 3000),
                                                  std::tuple("", strange, 2000), std::tuple("acme", one, 1000)));
}

// A sender chooses how many texts a family has.
TEST_P(StoreContract, KeepsTheLatestTextsOfAFamilyInWhateverOrderTheyCome) {
  const size_t all = kMostMetadataTexts * 3;
  const auto text = [](std::string_view family, size_t i) {
    return model::MetricMetadata{std::string(family), "gauge", format("{:02}", i), ""};
  };
  std::vector<model::MetricMetadata> at_once;
  for (size_t i = 0; i < all; ++i) {
    ApplyMetadata("", 1000, {text("up", i)});
    ApplyMetadata("", 1000, {text("down", all - 1 - i)});
    at_once.push_back(text("at once", i * 7 % all));
  }
  ApplyMetadata("", 1000, at_once);
  std::vector<std::tuple<std::string, model::MetricMetadata, int64_t>> latest;
  for (const std::string_view family : {"up", "down", "at once"}) {
    for (size_t i = all - kMostMetadataTexts; i < all; ++i) latest.emplace_back("", text(family, i), 1000);
  }
  EXPECT_THAT(StoredTexts(), testing::UnorderedElementsAreArray(latest));

  ApplyMetadata("", 2000, {text("up", 0)});
  latest.front() = {"", text("up", 0), 2000};
  EXPECT_THAT(StoredTexts(), testing::UnorderedElementsAreArray(latest));
}

TEST_P(StoreContract, ReadsFromAnIdOnAndStopsWhenTold) {
  const SeriesBatch batch = MakePodBatch("", 1000, 10, 1);
  Apply(batch);
  EXPECT_THAT(ReadAll(*reader_, 4), SizeIs(6));
  EXPECT_EQ(ReadAll(*reader_, 4).front().id, 5u);
  EXPECT_THAT(ReadAll(*reader_, 10), IsEmpty());
  EXPECT_THAT(ReadAll(*reader_, ~uint64_t{0} >> 1), IsEmpty());

  size_t visits = 0;
  ASSERT_TRUE(reader_->ReadSeries(0, [&](const StoredSeries&) { return ++visits < 3; }));
  EXPECT_EQ(visits, 3u);
  ASSERT_TRUE(reader_->ReadFingerprints([&](Fingerprint, int64_t) { return ++visits < 5; }));
  EXPECT_EQ(visits, 5u);
  // After a reading that was cut short, the next one is whole.
  EXPECT_THAT(Rows(), SizeIs(10));
  std::set<Fingerprint> fingerprints;
  ASSERT_TRUE(reader_->ReadFingerprints([&](Fingerprint fingerprint, int64_t last_seen_ms) {
    EXPECT_EQ(last_seen_ms, 1000);
    fingerprints.insert(fingerprint);
    return true;
  }));
  EXPECT_THAT(fingerprints, SizeIs(10));
  EXPECT_TRUE(fingerprints.contains(batch[7].fingerprint));
}

TEST_P(StoreContract, CountsSeriesUpToAnId) {
  Apply(MakePodBatch("", 1000, 10, 1));
  const auto count = [&](uint64_t up_to_id) { return reader_->CountSeries(up_to_id).value(); };
  EXPECT_EQ(count(0), 0u);
  EXPECT_EQ(count(1), 1u);
  EXPECT_EQ(count(7), 7u);
  EXPECT_EQ(count(10), 10u);
  EXPECT_EQ(count(11), 10u);
  EXPECT_EQ(count(uint64_t{1} << 63), 10u);
}

TEST_P(StoreContract, ReadsTheSeriesInRangesOfIds) {
  Apply(MakePodBatch("acme", 1000, 10, 1));
  const std::vector<SeriesRow> all = Rows();
  const auto read = [&](const std::vector<IdRange>& ranges, size_t at_most = 100) {
    std::vector<uint64_t> found;
    EXPECT_TRUE(reader_->ReadSeriesIn(ranges, [&](const StoredSeries& s) {
      EXPECT_EQ(s.content, all.at(s.id - 1).content);
      EXPECT_EQ(s.tenant, "acme");
      EXPECT_EQ(s.fingerprint, all.at(s.id - 1).fingerprint);
      EXPECT_EQ(s.first_seen_ms, 1000);
      EXPECT_EQ(s.last_seen_ms, 1000);
      found.push_back(s.id);
      return found.size() < at_most;
    }));
    return found;
  };
  EXPECT_THAT(read({}), IsEmpty());
  EXPECT_THAT(read({{3, 3}}), ElementsAre(3));
  EXPECT_THAT(read({{0, 2}, {5, 5}, {10, 3'999}, {4'001, 5'000}, {uint64_t{1} << 62, uint64_t{1} << 63}}),
              ElementsAre(1, 2, 5, 10));
  EXPECT_THAT(read({{0, UINT64_MAX}}), SizeIs(10));
  EXPECT_THAT(read({{1, 1}, {3, 9}}, 2), ElementsAre(1, 3));
  EXPECT_THAT(read({{3, 9}}, 2), ElementsAre(3, 4));
  std::vector<IdRange> many;
  for (uint64_t i = 1; i < 2'000; i += 2) many.push_back({i, i});
  EXPECT_THAT(read(many), ElementsAre(1, 3, 5, 7, 9));
  EXPECT_THAT(read(many, 2), ElementsAre(1, 3));
}

TEST_P(StoreContract, ReadsTheTimesThatChangedSinceAMark) {
  const SeriesBatch batch = MakePodBatch("", 5000, 4, 1);
  Apply(batch);
  // The latest word on each series that a follower would have, who was told everything since `mark`.
  std::map<uint64_t, std::pair<int64_t, int64_t>> told;
  const auto follow = [&](uint64_t since) {
    told.clear();
    return reader_->ReadSeenChanges(since, [&](const SeenUpdate& u) { told[u.id] = {u.first_seen_ms, u.last_seen_ms}; })
        .value();
  };
  using testing::Contains;
  using testing::Pair;
  follow(0);
  EXPECT_THAT(told, SizeIs(4));
  uint64_t mark = reader_->State().value().seen_mark;

  const model::ActivityBatch activity[] = {{7000, {batch[1].fingerprint}}};
  ASSERT_TRUE(store_->ApplyActivity(activity));
  mark = follow(mark);
  EXPECT_THAT(told, Contains(Pair(2, Pair(5000, 7000))));

  Apply(MakePodBatch("", 3000, 1, 1));
  Apply(MakePodBatch("", 9000, 5, 1));
  mark = follow(mark);
  EXPECT_THAT(told, Contains(Pair(1, Pair(3000, 9000))));
  EXPECT_THAT(told, Contains(Pair(4, Pair(5000, 9000))));
  mark = follow(mark);
  for (const auto& [id, times] : told) EXPECT_EQ(times.second, 9000) << id;

  if (!GetParam().knows_what_moved) return;
  // An adapter may look back for what was committed late, but not again and again.
  mark = follow(mark);
  mark = follow(mark);
  EXPECT_THAT(told, IsEmpty());
  ASSERT_TRUE(store_->ApplyActivity(std::vector<model::ActivityBatch>{{9500, {batch[2].fingerprint}}}));
  follow(mark);
  EXPECT_THAT(told, Contains(Pair(3, Pair(5000, 9500))));
}

TEST_P(StoreContract, ShowsAReaderWhatWasAppliedAfterItOpened) {
  Apply(MakePodBatch("", 1000, 5, 1));
  EXPECT_THAT(Rows(), SizeIs(5));
  Apply(MakePodBatch("", 1000, 8, 1));
  EXPECT_THAT(ReadAll(*reader_, 5), SizeIs(3));
  // Also from within a visit: a reader does not stand in a writer's way.
  size_t visits = 0;
  ASSERT_TRUE(reader_->ReadSeries(0, [&](const StoredSeries& series) {
    if (visits++ == 0) Apply(MakeBatch("", 2000, {{{"__name__", std::string(series.tenant) + "made_in_a_visit"}}}));
    return true;
  }));
  EXPECT_GE(visits, 8u);
  EXPECT_THAT(Rows(), SizeIs(9));
}

TEST_P(StoreContract, FindsEverythingAgainWhenItIsOpenedAgain) {
  const SeriesBatch batch = MakePodBatch("acme", 1000, 20, 1);
  const StreamPosition position[] = {{"journal", 0, 5}};
  ASSERT_TRUE(store_->Apply({&batch, 1}, position));
  const std::vector<SeriesRow> rows = Rows();
  const std::string uuid = reader_->State().value().uuid;
  reader_.reset();
  store_.reset();
  reader_ = catalog_->OpenReader();
  EXPECT_EQ(Rows(), rows);
  EXPECT_EQ(reader_->State().value().uuid, uuid);
  store_ = catalog_->OpenStore();
  EXPECT_EQ(store_->Position("journal", 0).value(), 5);
  EXPECT_EQ(Apply(batch).existing, 20u);
  // Dictionary rows of before the reopening are found, not made again.
  const ApplyResult more = Apply(MakePodBatch("acme", 2000, 40, 1));
  ASSERT_THAT(more.inserted, SizeIs(20));
  EXPECT_EQ(more.inserted[0].id, 21u);
  EXPECT_THAT(catalog_->LabelsOf(21), SizeIs(9));
}

TEST_P(StoreContract, CoversWhatItCheckpointed) {
  const SeriesBatch batch = MakePodBatch("", 1000, 20, 1);
  const StreamPosition positions[] = {{"journal", 0, 5}, {"journal", 1, 6}};
  ASSERT_TRUE(store_->Apply({&batch, 1}, positions));
  EXPECT_THAT(store_->Checkpoint().value(), UnorderedElementsAre(positions[0], positions[1]));
  const StreamPosition next[] = {{"journal", 0, 9}};
  ASSERT_TRUE(store_->Apply({}, next));
  EXPECT_THAT(store_->Checkpoint().value(), UnorderedElementsAre(next[0], positions[1]));
}

TEST_P(StoreContract, LetsSeveralWritersRaceOnTheSameSeries) {
  constexpr size_t kWriters = 3;
  constexpr size_t kRounds = 12;
  std::vector<std::vector<ApplyResult>> results(kWriters);
  {
    std::vector<std::jthread> writers;
    for (size_t w = 0; w < kWriters; ++w) {
      writers.emplace_back([&, w] {
        const std::unique_ptr<SeriesStore> store = catalog_->OpenStore();
        for (size_t round = 0; round < kRounds; ++round) {
          // All bring the same series, each begins at another of them.
          const SeriesBatch batch =
              MakePodBatch("", 1000 + static_cast<int64_t>(w), 50, (round + w * kRounds / kWriters) % kRounds);
          const StreamPosition position[] = {{"race", static_cast<int32_t>(w), static_cast<int64_t>(round)}};
          Result<ApplyResult> result = store->Apply({&batch, 1}, position);
          ASSERT_TRUE(result) << result.error().message();
          results[w].push_back(*std::move(result));
        }
      });
    }
  }
  std::set<uint64_t> ids;
  size_t existing = 0;
  for (const std::vector<ApplyResult>& writer : results) {
    for (const ApplyResult& result : writer) {
      for (const InsertedSeries& inserted : result.inserted) EXPECT_TRUE(ids.insert(inserted.id).second);
      existing += result.existing;
      EXPECT_THAT(result.collisions, IsEmpty());
    }
  }
  EXPECT_THAT(ids, SizeIs(kRounds * 50));
  EXPECT_EQ(existing, (kWriters - 1) * kRounds * 50);
  ASSERT_THAT(Rows(), SizeIs(kRounds * 50));
  for (const SeriesRow& row : Rows()) {
    EXPECT_EQ(row.first_seen_ms, 1000);
    EXPECT_EQ(row.last_seen_ms, 1002);
    EXPECT_GE(catalog_->LabelsOf(row.id).size(), 9u);
  }
}

}  // namespace
}  // namespace mi::store
