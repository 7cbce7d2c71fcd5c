// The worker over a real MariaDB that is too slow for whole batches.
#include <optional>

#include "base/eventually.h"
#include "index/worker.h"
#include "store/testing/mysql_database.h"
#include "stream/testing/fake_stream.h"

namespace mi::index {
namespace {

// A row of metric_label takes 5 ms, and a transaction may take 3 s: a batch of 1,000 series with one label each is
// rolled back whenever it is tried.
TEST(WorkerOverMariadb, HalvesABatchThatTheDatabaseIsTooSlowFor) {
  RealService* const server = RealService::Get("mariadb");
  if (server == nullptr) GTEST_SKIP() << RealService::kMissing;
  store::TestDatabase database(*server);
  database.options().longest_transaction = std::chrono::seconds(6);
  const auto catalog = database.Open();
  ASSERT_TRUE(catalog->Prepare());
  const auto store = catalog->OpenStore();
  database.RunHere("CREATE TRIGGER slow BEFORE INSERT ON metric_label FOR EACH ROW SET @slept = SLEEP(0.005)");

  stream::FakeStream stream;
  for (int batch = 0; batch < 10; ++batch) {
    model::SeriesBatch series({}, 1'000);
    const model::Fingerprinter fingerprint("", {});
    for (int i = 0; i < 100; ++i) {
      const std::string name = format("m{}", batch * 100 + i);
      const model::Label labels[] = {{model::kMetricName, name}, {"job", "slow"}};
      const model::Labels canonical = model::Labels::FromUnsorted(labels).value();
      series.Add(fingerprint(canonical.canonical()), canonical.canonical());
    }
    stream.Append(std::move(series));
  }
  const auto consumer = stream.OpenConsumer();
  const SystemClock clock;
  const auto log = telemetry::Logger::Null();
  Worker worker({}, {*consumer, *store, nullptr, nullptr, clock, *log, database.metrics(), store::IgnoreFatal});
  worker.Start();
  EXPECT_TRUE(Eventually([&] { return stream.released() == stream.end(); }, std::chrono::minutes(2)));
  worker.Stop();
  database.ExpectCount(1'000, "v_series");
  database.ExpectCount(1'000, "v_series_label");
  EXPECT_LE(database.metrics().GetGauge("index_batch_limit", "").Value(), 1'000);
  EXPECT_GE(database.metrics().GetCounter("store_errors_total", "", {{"kind", "timeout"}}).Value(), 1);
}

}  // namespace
}  // namespace mi::index
