// Known series in memory: from the compressed body of a request to the answer that all are known, without HTTP. With
// two threads on two free cores, items_per_second should be 1.9 times that of one or more: they share only the seen
// table.
#include <benchmark/benchmark.h>

#include <cstdlib>

#include "base/format.h"
#include "codec/compression.h"
#include "codec/testing/request_encoder.h"
#include "receive/intake.h"
#include "stream/testing/fake_stream.h"

namespace mi::receive {
namespace {

using codec::Compression;
using codec::Schema;

constexpr size_t kSeries = 2000;
constexpr size_t kRequests = 50;  // 100,000 series

void Check(bool holds) {
  if (!holds) std::abort();
}

std::string BodyOf(Schema schema, Compression compression, size_t request) {
  codec::RequestEncoder encoder(schema);
  for (size_t i = 0; i < kSeries; ++i) {
    const size_t number = request * kSeries + i;
    encoder.Add({.labels = {{"__name__", format("container_memory_failures_{}_total", i / 50)},
                            {"cluster", "prod-eu-west-1-blue"},
                            {"container", format("application-{}", number % 7)},
                            {"id", format("/kubepods.slice/kubepods-burstable.slice/pod{:08x}.slice", number / 100)},
                            {"image", "registry.example.com/platform/application-server:v1.42.7-rc3"},
                            {"instance", format("10.17.{}.44:10250", request)},
                            {"job", "kubelet"},
                            {"namespace", format("team-{}-production", number % 23)},
                            {"node", format("ip-10-17-{}-44.eu-west-1.compute.internal", request)},
                            {"pod", format("application-6f7d8b9c5d-x{:06d}", number)},
                            {"service", "kube-prometheus-stack-kubelet"}},
                 .samples = {{1.5 * static_cast<double>(i + 1), 1'700'000'000'000}}});
  }
  return codec::Compress(compression, encoder.Finish());
}

// What the threads share.
struct Service {
  Service(Schema its_schema, Compression its_compression) : schema(its_schema), compression(its_compression) {
    for (size_t i = 0; i < kRequests; ++i) bodies.push_back(BodyOf(schema, compression, i));
  }
  const Schema schema;
  const Compression compression;
  std::vector<std::string> bodies;
  ManualClock clock;
  telemetry::Metrics registry;
  ReceiveMetrics metrics{registry};
  dedupe::SeenSet seen{{}, clock};
  dedupe::SeenSet seen_metadata{{}, clock};
  stream::FakeActivity activity;
  MemoryBudget memory{1 << 30};
  const model::Tenant tenant;
  const model::Fingerprinter fingerprinter{"", tenant};
};

// What each thread of the server has.
class Thread {
 public:
  explicit Thread(Service& service)
      : service_(service),
        intake_({service.seen, service.seen_metadata, service.activity, service.clock, service.metrics}) {}

  uint64_t CountKnown(const std::string& body) {
    const auto decoded = decompressor_.Decode(service_.compression, body, 64 << 20);
    Check(decoded.has_value());
    const model::LocalHasher hasher(service_.seen.alias_key(), service_.fingerprinter);
    Check(scan_.Scan(service_.schema, *decoded, hasher, {.depth = codec::Depth::kKeysFirst}).has_value());
    MemoryHold memory(service_.memory);
    const Intake::Sorted sorted = intake_.Sort(scan_, service_.tenant, service_.fingerprinter, {}, memory);
    service_.seen.Insert(sorted.fresh.fingerprints);
    return sorted.counts.known;
  }

 private:
  Service& service_;
  codec::Decompressor decompressor_;
  codec::RequestScan scan_;
  Intake intake_;
};

void BM_Known(benchmark::State& state, Schema schema, Compression compression) {
  static std::unique_ptr<Service> service;
  if (state.thread_index() == 0) {
    service = std::make_unique<Service>(schema, compression);
    Thread sender(*service);
    for (int round = 0; round < 3; ++round) {
      for (const std::string& body : service->bodies) sender.CountKnown(body);
    }
  }
  std::unique_ptr<Thread> thread;
  size_t next = static_cast<size_t>(state.thread_index()) * kRequests / 2;
  for (auto _ : state) {  // begins when all threads are here
    if (thread == nullptr) thread = std::make_unique<Thread>(*service);
    Check(thread->CountKnown(service->bodies[next++ % kRequests]) == kSeries);
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kSeries));
}
BENCHMARK_CAPTURE(BM_Known, v1_snappy, Schema::kV1, Compression::kSnappy)->ThreadRange(1, 2)->UseRealTime();
BENCHMARK_CAPTURE(BM_Known, v1_zstd, Schema::kV1, Compression::kZstd)->ThreadRange(1, 2)->UseRealTime();
BENCHMARK_CAPTURE(BM_Known, v2_snappy, Schema::kV2, Compression::kSnappy)->ThreadRange(1, 2)->UseRealTime();

}  // namespace
}  // namespace mi::receive
