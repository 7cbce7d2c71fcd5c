// The query API's answers over a million series (WEB_BENCH_SERIES) as a Kubernetes fleet has them, without the network.
// Figures are in README.md. Every answer's size is checked inside the loop.
//
// One deployment of three ended a day before the others. In one of ten, one series of sixteen has ended.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/format.h"
#include "catalog/catalog.h"
#include "model/labels.h"
#include "model/series_batch.h"
#include "web/endpoints.h"

namespace mi::web {
namespace {

const uint64_t kSeries = [] {
  const char* wanted = std::getenv("WEB_BENCH_SERIES");
  return wanted == nullptr ? 1'000'000 : std::strtoull(wanted, nullptr, 10);
}();
constexpr uint64_t kSeriesOfPod = 160;
constexpr uint64_t kPodsOfDeployment = 25;
constexpr uint64_t kPodsOfCluster = 1875;  // 300,000 series
constexpr int64_t kSeen = 1'700'000'000'000;
constexpr int64_t kDay = 86'400'000;

bool HasEnded(uint64_t number) {
  const uint64_t deployment = number / kSeriesOfPod / kPodsOfDeployment;
  return deployment % 3 == 2 || (deployment % 10 == 0 && number % 16 == 7);
}

model::Labels MakeSeries(uint64_t number) {
  const uint64_t pod = number / kSeriesOfPod;
  const uint64_t metric = number % kSeriesOfPod;
  const uint64_t deployment = pod / kPodsOfDeployment;
  const std::vector<std::pair<std::string, std::string>> text = {
      {"__name__", metric < 40 ? "http_request_duration_seconds_bucket"
                               : format("container_metric_{}_{}_total", deployment % 8, metric)},
      {"cluster", format("prod-eu-{}", pod / kPodsOfCluster)},
      {"container", format("container-{}", metric % 2)},
      {"endpoint", "http-metrics"},
      {"image", format("registry.example.com/platform/service-{}:v1.{}.0", deployment, deployment % 30)},
      {"instance", format("10.{}.{}.{}:9100", pod >> 16U, pod >> 8U & 255U, pod & 255U)},
      {"job", format("kubelet-{}", deployment % 12)},
      {"namespace", format("team-{}", deployment % 90)},
      {"node", format("ip-10-0-{}.eu-central-1.compute.internal", pod / 40)},
      {"pod", format("service-{}-6d4b75cb6d-{:05x}", deployment, pod)},
      {"service", format("service-{}", deployment)},
      {metric < 40 ? "le" : "mode", format("{}", metric)},
  };
  std::vector<model::Label> labels;
  for (const auto& [name, value] : text) labels.push_back({.name = name, .value = value});
  return model::Labels::FromUnsorted(labels).value();
}

std::shared_ptr<const catalog::Snapshot> Fleet() {
  static const std::shared_ptr<const catalog::Snapshot> fleet = [] {
    static const std::unique_ptr<catalog::Catalog> catalog =
        std::make_unique<catalog::Catalog>(catalog::CatalogOptions{});
    constexpr uint64_t kBatch = 10'000;
    for (uint64_t from = 0; from < kSeries; from += kBatch) {
      std::vector<model::SeriesBatch> batches;
      batches.emplace_back(model::Tenant(), kSeen);
      store::ApplyResult applied;
      for (uint64_t i = 0; i < kBatch; ++i) {
        const int64_t last_seen = HasEnded(from + i) ? kSeen - kDay : kSeen;
        applied.updated.push_back({.id = from + i + 1, .first_seen_ms = kSeen - 2 * kDay, .last_seen_ms = last_seen});
        batches.front().Add({.hi = 0, .lo = from + i}, MakeSeries(from + i).canonical());
        applied.inserted.push_back({.id = from + i + 1, .batch = 0, .index = i});
      }
      catalog->Append(batches, applied);
    }
    return catalog->Current();
  }();
  return fleet;
}

// The bytes of a whole answer; only 200 counts.
size_t Read(net::Response response) {
  if (response.status != 200) std::abort();
  size_t bytes = response.body.size();
  if (!response.next_chunk) return bytes;
  for (std::string chunk;; chunk.clear()) {
    response.next_chunk(chunk);
    if (chunk.empty()) return bytes;
    bytes += chunk.size();
  }
}

// Asks a question. The answer must have at least `min_bytes` and at most twice that.
void Ask(benchmark::State& state, Endpoint endpoint, std::string_view parameters, std::string label, size_t min_bytes) {
  const std::shared_ptr<const catalog::Snapshot> fleet = Fleet();
  size_t bytes = 0;
  for (auto _ : state) {
    bytes = Read(
        endpoint({.parameters = net::FormParameters::Parse(parameters), .label = label, .snapshot = fleet}).value());
    if (bytes < min_bytes || bytes > 2 * min_bytes) return state.SkipWithError(format("{} bytes", bytes).c_str());
  }
  state.counters["bytes"] = static_cast<double>(bytes);
}

#define MI_QUESTION(name, answer, parameters, label, min_bytes)                            \
  void name(benchmark::State& state) { Ask(state, answer, parameters, label, min_bytes); } \
  BENCHMARK(name)->Unit(benchmark::kMillisecond)

#define MI_ALWAYS "start=1600000000&end=1800000000"
#define MI_NEVER "start=1600000000&end=1600003600"
#define MI_NOW "start=1699996400&end=1700000000"

MI_QUESTION(MetricNames, &AnswerLabelValues, "", "__name__", 25'000);
MI_QUESTION(MetricNamesAlways, &AnswerLabelValues, MI_ALWAYS, "__name__", 25'000);
MI_QUESTION(MetricNamesNever, &AnswerLabelValues, MI_NEVER, "__name__", 20);
MI_QUESTION(MetricNamesNow, &AnswerLabelValues, MI_NOW, "__name__", 25'000);
MI_QUESTION(LabelsNow, &AnswerLabels, MI_NOW, "", 100);
MI_QUESTION(Pods, &AnswerLabelValues, "", "pod", kSeries / kSeriesOfPod * 20);
MI_QUESTION(PodsNow, &AnswerLabelValues, MI_NOW, "pod", kSeries / kSeriesOfPod * 13);
MI_QUESTION(SeriesOfMetricNow, &AnswerSeries, "match[]=container_metric_1_100_total&limit=1000&" MI_NOW, "", 150'000);
MI_QUESTION(LabelsOfMetricNow, &AnswerLabels, "match[]=container_metric_1_100_total&" MI_NOW, "", 100);
MI_QUESTION(PodsOfMetricNow, &AnswerLabelValues, "match[]=container_metric_1_100_total&" MI_NOW, "pod",
            kSeries / kSeriesOfPod * 2);
MI_QUESTION(Labels, &AnswerLabels, "", "", 100);
MI_QUESTION(LabelsOfOnePod, &AnswerLabels, "match[]={pod=\"service-0-6d4b75cb6d-00007\"}", "", 100);
MI_QUESTION(LabelsOfACluster, &AnswerLabels, "match[]={cluster=\"prod-eu-1\"}", "", 100);
MI_QUESTION(PodsOfACluster, &AnswerLabelValues, "match[]={cluster=\"prod-eu-1\"}", "pod", 40'000);
MI_QUESTION(PodsByRegex, &AnswerLabelValues, "match[]={pod=~\"service-1.-.*[37]\"}", "pod", 800);
MI_QUESTION(SeriesOfOnePod, &AnswerSeries, "match[]={pod=\"service-0-6d4b75cb6d-00007\"}", "", 40'000);
MI_QUESTION(SeriesBroadLimit1000, &AnswerSeries, "match[]={cluster=\"prod-eu-1\"}&limit=1000", "", 300'000);
MI_QUESTION(SeriesAll40000, &AnswerSeries, "match[]={__name__!=\"\"}&limit=40000", "", 12'000'000);
MI_QUESTION(Series300k, &AnswerSeries, "match[]={cluster=\"prod-eu-1\"}", "", 100'000'000);

}  // namespace
}  // namespace mi::web
