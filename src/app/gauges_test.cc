#include "app/gauges.h"

#include "base/format.h"
#include "model/fingerprint.h"
#include "store/testing/fake_store.h"
#include "stream/testing/fake_stream.h"

namespace mi::app {
namespace {

using testing::HasSubstr;

TEST(Gauges, AreRefreshedOnRenderingUntilTheirSubjectIsDestroyed) {
  const auto metrics = telemetry::Metrics::Create();
  {
    const ManualClock clock;
    dedupe::SeenSet seen({}, clock);
    const auto gauges = ShowSeenTable(seen, *metrics);
    seen.Insert(model::Fingerprint{1, 2}, clock.NowMs());
    EXPECT_THAT(metrics->Render(), HasSubstr("metric_index_seen_entries 1\n"));
  }
  EXPECT_THAT(metrics->Render(), HasSubstr("metric_index_seen_entries 1\n")) << "the last value stays";
}

model::SeriesBatch BatchOf(const std::string& tenant, uint64_t count) {
  model::SeriesBatch batch(model::Tenant::Parse(tenant).value(), 1);
  for (uint64_t i = 0; i < count; ++i) {
    std::string labels;
    model::AppendCanonical({"__name__", format("m{}", i)}, labels);
    batch.Add(model::Fingerprinter("", batch.tenant())(labels), labels);
  }
  return batch;
}

TEST(Gauges, ShowTheLargestTenantsOnly) {
  const auto metrics = telemetry::Metrics::Create();
  store::FakeCatalog database;
  catalog::Catalog catalog({});
  const auto gauges = ShowCatalog(catalog, *metrics);
  const auto add = [&](const std::string& tenant, uint64_t count) {
    const model::SeriesBatch batch = BatchOf(tenant, count);
    catalog.Append(std::span(&batch, 1), database.OpenStore()->Apply(std::span(&batch, 1), {}).value());
  };
  add("small", 1);
  EXPECT_THAT(metrics->Render(), HasSubstr("metric_index_catalog_series{tenant=\"small\"} 1\n"));
  for (int i = 0; i < 100; ++i) add(format("t{}", i), 2);
  const std::string text = metrics->Render();
  EXPECT_THAT(text, testing::Not(HasSubstr("\"small\"")));
  EXPECT_THAT(text, HasSubstr("metric_index_catalog_series{tenant=\"t99\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("metric_index_catalog_series{tenant=\"all others\"} 1\n"));
}

TEST(Gauges, ShowHowFarTheIndexIsBehind) {
  const auto metrics = telemetry::Metrics::Create();
  ManualClock clock;
  stream::FakeStream stream;
  const auto consumer = stream.OpenConsumer();
  const auto gauges = ShowIndexLag({consumer.get()}, clock, *metrics);
  ASSERT_TRUE(consumer->Start([](const std::string&, int32_t) { return std::nullopt; }));
  model::SeriesBatch batch = BatchOf("", 3);
  clock.Advance(std::chrono::milliseconds(batch.seen_at_ms() + 2'500 - clock.NowMs()));
  stream.Append(std::move(batch));
  EXPECT_THAT(metrics->Render(), HasSubstr("metric_index_index_lag_records 3\n"));
  EXPECT_THAT(metrics->Render(), HasSubstr("metric_index_index_lag_seconds 2.5\n"));
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(consumer->Poll(10, std::chrono::milliseconds(0)));
  EXPECT_THAT(metrics->Render(), HasSubstr("metric_index_index_lag_records 0\n"));
  EXPECT_THAT(metrics->Render(), HasSubstr("metric_index_index_lag_seconds 0\n"));
}

}  // namespace
}  // namespace mi::app
