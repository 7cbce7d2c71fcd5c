// What a series costs on its way through this room. Every loop checks that its result is right.
//
// Items are series: read items_per_second, or ns/series = real_time / 2000.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "base/format.h"
#include "codec/canonicaliser.h"
#include "codec/compression.h"
#include "codec/journal_batch.h"
#include "codec/kafka_record.h"
#include "codec/remote_write.h"
#include "codec/testing/request_encoder.h"

namespace mi::codec {
namespace {

constexpr size_t kSeries = 2000;

enum class Traffic { kNodeExporter, kKubernetes };
enum class Order { kSorted, kAppended, kRandom };

void Check(bool holds) {
  if (!holds) std::abort();
}

// Short: a node exporter's, 7 labels. Long: cAdvisor's through the Prometheus operator, 12 or 13 labels, 465 bytes.
std::vector<std::pair<std::string, std::string>> LabelsOf(size_t i, Traffic traffic) {
  if (traffic == Traffic::kNodeExporter) {
    return {{"__name__", format("node_cpu_{}_seconds_total", i / 40)},
            {"cpu", format("{}", i % 20)},
            {"instance", "10.17.3.44:9100"},
            {"job", "node-exporter"},
            {"mode", i % 2 ? "system" : "user"}};
  }
  std::vector<std::pair<std::string, std::string>> labels = {
      {"__name__", format("container_memory_failures_{}_total", i / 50)},
      {"cluster", "prod-eu-west-1-blue"},
      {"container", format("application-{}", i % 7)},
      {"endpoint", "https-metrics"},
      {"id", format("/kubepods.slice/kubepods-burstable.slice/pod{:08x}_4d6f_4c1a.slice", i % 97 * 2654435761U)},
      {"image", "registry.example.com/platform/application-server:v1.42.7-rc3"},
      {"instance", format("10.17.{}.44:10250", i % 200)},
      {"job", "kubelet"},
      {"namespace", format("team-{}-production", i % 23)},
      {"node", format("ip-10-17-{}-44.eu-west-1.compute.internal", i % 200)},
      {"pod", format("application-{}-6f7d8b9c5d-x{:04d}", i % 7, i % 97)},
      {"service", "kube-prometheus-stack-kubelet"}};
  if (i % 2) labels.emplace_back("scope", "container");
  std::ranges::sort(labels);
  return labels;
}

std::string Request(Schema schema, Traffic traffic, Order order, size_t first = 0) {
  RequestEncoder encoder(schema);
  std::mt19937 random(42);
  for (size_t i = 0; i < kSeries; ++i) {
    WireSeries series{.labels = LabelsOf(first + i, traffic), .samples = {{1.5 * double(i + 1), 1700000000000}}};
    // vmagent appends its external labels after the others.
    if (order == Order::kAppended)
      std::rotate(series.labels.begin() + 1, series.labels.begin() + 2, series.labels.end());
    if (order == Order::kRandom) std::ranges::shuffle(series.labels, random);
    if (schema == Schema::kV2) series.metadata = model::MetricMetadata{"", "counter", format("Help {}.", i / 50), ""};
    encoder.Add(series);
  }
  return encoder.Finish();
}

void BM_Decompress(benchmark::State& state, Compression compression, Schema schema, Traffic traffic) {
  const std::string raw = Request(schema, traffic, Order::kSorted);
  const std::string body = Compress(compression, raw);
  Decompressor decompressor;
  for (auto _ : state) Check(decompressor.Decode(compression, body, 64 << 20)->size() == raw.size());
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kSeries));
  state.counters["raw_bytes"] = double(raw.size()) / kSeries;
  state.counters["sent_bytes"] = double(body.size()) / kSeries;
}

void BM_Scan(benchmark::State& state, Schema schema, Traffic traffic, Order order) {
  const std::string raw = Request(schema, traffic, order);
  const model::LocalHashKey key;
  const model::LocalHasher hasher(key, model::Fingerprinter("", {}));
  RequestScan scan;
  for (auto _ : state) {
    Check(scan.Scan(schema, raw, hasher).has_value());
    Check(scan.keys().size() == kSeries && scan.keys().back() != model::Fingerprint());
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kSeries));
}

// A new series after the scan: checked and converted to canonical form.
void BM_Canonicalise(benchmark::State& state, Schema schema, Order order) {
  const std::string raw = Request(schema, Traffic::kKubernetes, order);
  RequestScan scan;
  const model::LocalHashKey key;
  Check(scan.Scan(schema, raw, model::LocalHasher(key, model::Fingerprinter("", {}))).has_value());
  Canonicaliser canonicalise;
  for (auto _ : state) {
    for (const ScannedSeries& series : scan.series()) {
      Check(canonicalise(scan, series, {}).refusal == Refusal::kNone);
    }
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kSeries));
}

model::SeriesBatch NewSeries(Traffic traffic) {
  const model::Fingerprinter fingerprinter("", {});
  model::SeriesBatch batch({}, 1700000000000);
  for (size_t i = 0; i < kSeries; ++i) {
    const auto owned = LabelsOf(i, traffic);
    std::vector<model::Label> labels;
    for (const auto& [name, value] : owned) labels.push_back({name, value});
    const auto canonical = model::Labels::FromUnsorted(labels).value();
    batch.Add(fingerprinter(canonical.canonical()), canonical.canonical());
  }
  return batch;
}

void BM_JournalEncode(benchmark::State& state, Traffic traffic) {
  const model::SeriesBatch batch = NewSeries(traffic);
  JournalEncoder encoder;
  size_t size = 0;
  const model::SeriesBatch* const one = &batch;
  for (auto _ : state) size = encoder.Encode({&one, 1})->size();
  Check(JournalDecoder().Decode(*encoder.Encode({&one, 1}))->front().size() == kSeries);
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kSeries));
  state.counters["row_bytes"] = double(size) / kSeries;
}

void BM_JournalDecode(benchmark::State& state, Traffic traffic) {
  JournalEncoder encoder;
  const model::SeriesBatch batch = NewSeries(traffic);
  const model::SeriesBatch* const one = &batch;
  const std::string row(*encoder.Encode({&one, 1}));
  JournalDecoder decoder;
  for (auto _ : state) Check(decoder.Decode(row)->front().size() == kSeries);
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kSeries));
}

void BM_KafkaEncode(benchmark::State& state, Traffic traffic) {
  const model::SeriesBatch batch = NewSeries(traffic);
  KafkaRecordText record;
  for (auto _ : state) {
    for (size_t i = 0; i < batch.size(); ++i) {
      Check(EncodeSeriesRecord({}, 1'700'000'000'000, batch[i].labels, record) && record.value.ends_with('}'));
    }
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kSeries));
  state.counters["bytes"] = double(record.key.size() + record.value.size());
}

void BM_KafkaDecode(benchmark::State& state, Traffic traffic) {
  const model::SeriesBatch batch = NewSeries(traffic);
  std::vector<std::string> values;
  for (size_t i = 0; i < batch.size(); ++i) {
    KafkaRecordText record;
    Check(EncodeSeriesRecord({}, 1'700'000'000'000, batch[i].labels, record).has_value());
    values.push_back(record.value);
  }
  KafkaRecordDecoder decoder("");
  for (auto _ : state) {
    for (size_t i = 0; i < batch.size(); ++i) {
      Check(decoder.Decode(values[i], 0)->labels.canonical() == batch[i].labels.canonical());
    }
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kSeries));
}

constexpr auto kNode = Traffic::kNodeExporter;
constexpr auto kKube = Traffic::kKubernetes;

BENCHMARK_CAPTURE(BM_Decompress, snappy_v1_kubernetes, Compression::kSnappy, Schema::kV1, kKube);
BENCHMARK_CAPTURE(BM_Decompress, snappy_v1_node, Compression::kSnappy, Schema::kV1, kNode);
BENCHMARK_CAPTURE(BM_Decompress, snappy_v2_kubernetes, Compression::kSnappy, Schema::kV2, kKube);
BENCHMARK_CAPTURE(BM_Decompress, zstd_v1_kubernetes, Compression::kZstd, Schema::kV1, kKube);
BENCHMARK_CAPTURE(BM_Scan, v1_kubernetes, Schema::kV1, kKube, Order::kSorted);
BENCHMARK_CAPTURE(BM_Scan, v1_kubernetes_appended, Schema::kV1, kKube, Order::kAppended);
BENCHMARK_CAPTURE(BM_Scan, v1_kubernetes_random, Schema::kV1, kKube, Order::kRandom);
BENCHMARK_CAPTURE(BM_Scan, v1_node, Schema::kV1, kNode, Order::kSorted);
BENCHMARK_CAPTURE(BM_Scan, v2_kubernetes, Schema::kV2, kKube, Order::kSorted);
BENCHMARK_CAPTURE(BM_Scan, v2_kubernetes_appended, Schema::kV2, kKube, Order::kAppended);
BENCHMARK_CAPTURE(BM_Scan, v2_kubernetes_random, Schema::kV2, kKube, Order::kRandom);
BENCHMARK_CAPTURE(BM_Scan, v2_node, Schema::kV2, kNode, Order::kSorted);
BENCHMARK_CAPTURE(BM_Canonicalise, v1_sorted, Schema::kV1, Order::kSorted);
BENCHMARK_CAPTURE(BM_Canonicalise, v1_random, Schema::kV1, Order::kRandom);
BENCHMARK_CAPTURE(BM_Canonicalise, v2_sorted, Schema::kV2, Order::kSorted);
BENCHMARK_CAPTURE(BM_JournalEncode, kubernetes, kKube);
BENCHMARK_CAPTURE(BM_JournalEncode, node, kNode);
BENCHMARK_CAPTURE(BM_JournalDecode, kubernetes, kKube);
BENCHMARK_CAPTURE(BM_KafkaEncode, kubernetes, kKube);
BENCHMARK_CAPTURE(BM_KafkaEncode, node, kNode);
BENCHMARK_CAPTURE(BM_KafkaDecode, kubernetes, kKube);

}  // namespace
}  // namespace mi::codec
