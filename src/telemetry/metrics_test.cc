#include "telemetry/metrics.h"

#include <cmath>
#include <ctime>
#include <sstream>
#include <thread>

#include "telemetry/health.h"

namespace mi::telemetry {
namespace {

using testing::HasSubstr;

// The value of the sample whose line starts with `series`; NaN without one.
double Sample(const std::string& text, const std::string& series) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(series + " ")) return std::stod(line.substr(series.size() + 1));
  }
  return std::nan("");
}

TEST(Metrics, RendersTheTextFormatUnderOurPrefix) {
  auto metrics = Metrics::Create();
  metrics->GetCounter("requests_total", "Requests.", {{"code", "204"}}).Add(3);
  metrics->GetGauge("lag", "Lag.").Set(-1.5);
  const std::string text = metrics->Render();
  EXPECT_THAT(text, HasSubstr("# HELP metric_index_requests_total Requests.\n"
                              "# TYPE metric_index_requests_total counter\n"
                              "metric_index_requests_total{code=\"204\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE metric_index_lag gauge\nmetric_index_lag -1.5\n"));
}

TEST(Metrics, EqualNamesAndLabelsGiveTheSameObject) {
  auto metrics = Metrics::Create();
  Counter& first = metrics->GetCounter("a_total", "A.", {{"x", "1"}, {"y", "2"}});
  EXPECT_EQ(&first, &metrics->GetCounter("a_total", "A.", {{"y", "2"}, {"x", "1"}}));
  EXPECT_NE(&first, &metrics->GetCounter("a_total", "A.", {{"x", "2"}, {"y", "2"}}));
  EXPECT_EQ(&metrics->GetGauge("b", "B."), &metrics->GetGauge("b", "B."));
  EXPECT_EQ(&metrics->GetHistogram("c", "C."), &metrics->GetHistogram("c", "C."));
}

TEST(Metrics, ARemovedGaugeIsNotRenderedAndCanBeAddedAgain) {
  const auto metrics = Metrics::Create();
  metrics->GetGauge("g", "G.", {{"of", "a"}}).Set(1);
  metrics->GetGauge("g", "G.", {{"of", "b"}}).Set(2);
  metrics->RemoveGauge("g", {{"of", "a"}});
  metrics->RemoveGauge("g", {{"of", "unknown"}});
  EXPECT_THAT(metrics->Render(), testing::Not(testing::HasSubstr("{of=\"a\"}")));
  EXPECT_THAT(metrics->Render(), testing::HasSubstr("metric_index_g{of=\"b\"} 2\n"));
  EXPECT_EQ(metrics->GetGauge("g", "G.", {{"of", "a"}}).Value(), 0);
}

TEST(Metrics, ValuesCanBeReadBack) {
  auto metrics = Metrics::Create();
  Gauge& gauge = metrics->GetGauge("g", "G.");
  gauge.Set(5);
  gauge.Add(-7);
  EXPECT_EQ(gauge.Value(), -2);
  Counter& counter = metrics->GetCounter("c_total", "C.");
  counter.Add();
  counter.Add(2);
  EXPECT_EQ(counter.Value(), 3);
}

TEST(Metrics, HistogramsCountIntoTheirBuckets) {
  auto metrics = Metrics::Create();
  Histogram& seconds = metrics->GetHistogram("seconds", "S.", {}, {1, 2});
  for (const double value : {0.5, 1.5, 3.0}) seconds.Observe(value);
  const std::string text = metrics->Render();
  EXPECT_EQ(Sample(text, "metric_index_seconds_bucket{le=\"1\"}"), 1);
  EXPECT_EQ(Sample(text, "metric_index_seconds_bucket{le=\"2\"}"), 2);
  EXPECT_EQ(Sample(text, "metric_index_seconds_bucket{le=\"+Inf\"}"), 3);
  EXPECT_EQ(Sample(text, "metric_index_seconds_sum"), 5);
}

TEST(Metrics, AnyLabelValueIsRenderedValidly) {
  auto metrics = Metrics::Create();
  metrics->GetGauge("g", "G.", {{"url", "a\"b\\c\nd\xff"}}).Set(1);
  EXPECT_EQ(Sample(metrics->Render(), "metric_index_g{url=\"a\\\"b\\\\c\\nd\xEF\xBF\xBD\"}"), 1);
}

TEST(Metrics, RefreshesRunBeforeEachRendering) {
  auto metrics = Metrics::Create();
  int calls = 0;
  metrics->OnRender([&] { metrics->GetGauge("calls", "C.").Set(++calls); });
  EXPECT_EQ(Sample(metrics->Render(), "metric_index_calls"), 1);
  EXPECT_EQ(Sample(metrics->Render(), "metric_index_calls"), 2);
}

TEST(Metrics, IncludesTheMetricsOfTheProcess) {
  const std::string text = Metrics::Create()->Render();
  EXPECT_GT(Sample(text, "process_resident_memory_bytes"), 1e6);
  EXPECT_GT(Sample(text, "process_virtual_memory_bytes"), Sample(text, "process_resident_memory_bytes"));
  EXPECT_GT(Sample(text, "process_cpu_seconds_total"), 0);
  EXPECT_THAT(text, HasSubstr("# TYPE process_cpu_seconds_total counter"));
  EXPECT_GE(Sample(text, "process_open_fds"), 3);
  EXPECT_GE(Sample(text, "process_max_fds"), Sample(text, "process_open_fds"));
  EXPECT_GT(Sample(text, "process_start_time_seconds"), 1.7e9);
  EXPECT_LE(Sample(text, "process_start_time_seconds"), static_cast<double>(std::time(nullptr)) + 1);
}

TEST(Metrics, ThreadsCanCountRegisterAndRenderConcurrently) {
  auto metrics = Metrics::Create();
  metrics->OnRender([&] { metrics->GetGauge("refreshed", "R.").Add(1); });
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        metrics->GetCounter("n_total", "N.", {{"i", std::to_string(i % 10)}}).Add();
        metrics->GetHistogram("s", "S.").Observe(0.01);
        if (i % 50 == 0) {
          EXPECT_THAT(metrics->Render(), HasSubstr("metric_index_n_total"));
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(metrics->GetCounter("n_total", "N.", {{"i", "3"}}).Value(), 60);
}

TEST(Health, IsReadyOnceThereIsAPartAndNoneWaits) {
  Health health;
  EXPECT_FALSE(health.Ready());
  health.SetReady("journal");
  health.SetWaiting("catalog", "12 of 40 batches");
  EXPECT_FALSE(health.Ready());
  EXPECT_EQ(health.Describe(), "catalog: waiting for 12 of 40 batches\n");
  health.SetReady("catalog");
  EXPECT_TRUE(health.Ready());
  EXPECT_EQ(health.Describe(), "ready\n");
}

TEST(Health, WaitsForThePartThatReportsAnError) {
  Health health;
  health.Report("journal", Fail(Errc::kUnavailable, "the disk: it is full"));
  EXPECT_FALSE(health.Ready());
  EXPECT_EQ(health.Describe(), "journal: waiting for the disk: it is full\n");
  health.Report("journal", {});
  EXPECT_TRUE(health.Ready());
}

TEST(Health, IsReadyDespiteAnImpairedPart) {
  Health health;
  health.SetReady("kafka");
  health.SetImpaired("redis", "no connection");
  EXPECT_TRUE(health.Ready());
  EXPECT_EQ(health.Describe(), "ready\nredis: impaired: no connection\n");
}

TEST(Health, IsSafeForManyThreads) {
  Health health;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, part = "part" + std::to_string(t)] {
      for (int i = 0; i < 200; ++i) {
        health.SetWaiting(part, "something");
        EXPECT_FALSE(health.Describe().empty());
        health.SetReady(part);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(health.Ready());
}

}  // namespace
}  // namespace mi::telemetry
