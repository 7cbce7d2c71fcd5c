// The journal's cost: commits of rows as they are on disk, and series from Publish to their answer.
// Publishing is measured as process CPU time: encoding, committing and syncing all count, on however many cores.
#include <benchmark/benchmark.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>

#include "base/format.h"
#include "stream/journal/file.h"
#include "stream/journal/journal.h"

namespace mi::stream {
namespace {

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "journal_bench: %s\n", what);
  std::abort();
}

// In the working directory: a memory file system would not sync.
class Directory {
 public:
  explicit Directory(const std::string& name) : path_("journal_bench." + name) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  std::string file() const { return path_ + "/journal.db"; }

 private:
  std::string path_;
};

// Series as a Kubernetes scrape brings them: 12 labels, about 465 bytes, alike but for pod, container and ids.
std::shared_ptr<const model::SeriesBatch> MakeBatch(size_t count, std::mt19937_64& random) {
  auto batch = std::make_shared<model::SeriesBatch>(model::Tenant(), 1'700'000'000'000);
  const model::Fingerprinter fingerprint("", model::Tenant());
  for (size_t i = 0; i < count; ++i) {
    const std::string name = format("container_memory_working_set_{}_bytes", i % 40);
    const std::string pod = format("checkout-api-{:08x}-{:05x}", static_cast<uint32_t>(random()), i / 40);
    const std::string instance = format("10.{}.{}.{}:10250", i % 4, i % 200, random() % 250);
    const std::string id = format("/kubepods/burstable/pod{:016x}{:016x}/{:016x}", random(), random(), random());
    const model::Label labels[] = {{model::kMetricName, name},
                                   {"cluster", "production-eu-west-1"},
                                   {"container", "checkout-api"},
                                   {"endpoint", "https-metrics"},
                                   {"id", id},
                                   {"image", "registry.example.com/shop/checkout-api:v1.42.7"},
                                   {"instance", instance},
                                   {"job", "kubelet"},
                                   {"metrics_path", "/metrics/cadvisor"},
                                   {"namespace", "shop-production"},
                                   {"node", "ip-10-0-12-34.eu-west-1.compute.internal"},
                                   {"pod", pod}};
    const model::Labels canonical = model::Labels::FromUnsorted(labels).value();
    batch->Add(fingerprint(canonical.canonical()), canonical.canonical());
  }
  return batch;
}

void BM_CommitRowsOf60KB(benchmark::State& state) {
  const Directory directory("commit");
  JournalFile file = JournalFile::Open({.path = directory.file()}).value();
  std::mt19937_64 random(1);
  JournalFile::Row row{.bytes = std::string(60 << 10, 'x'), .series = 2'000, .seen_at_ms = 1};
  for (char& c : row.bytes) c = static_cast<char>(random());
  for (auto _ : state) {
    const int64_t before = file.next_offset();
    // What is 100 rows back has been applied, as in a journal that the index keeps up with.
    Require(file.Append(std::span(&row, 1), before - 100).has_value(), "append failed");
    Require(file.next_offset() == before + 1, "an offset was left out");
  }
  state.SetItemsProcessed(state.iterations());
  state.counters["file_MB"] = static_cast<double>(std::filesystem::file_size(directory.file())) / 1e6;
}
BENCHMARK(BM_CommitRowsOf60KB)->UseRealTime()->MeasureProcessCPUTime();

void BM_PublishNewSeries(benchmark::State& state) {
  const Directory directory("publish");
  const SystemClock clock;
  const auto log = telemetry::Logger::Null();
  const auto metrics = telemetry::Metrics::Create();
  const auto journal = Journal::Open({.path = directory.file()},
                                     {clock, *log, *metrics, [](const Error&) { Require(false, "a fatal error"); }})
                           .value();
  std::mt19937_64 random(1);
  const auto size = static_cast<size_t>(state.range(0));
  std::vector<std::shared_ptr<const model::SeriesBatch>> batches;
  for (size_t i = 0; i < 32; ++i) batches.push_back(MakeBatch(size, random));
  for (auto _ : state) {
    std::atomic<size_t> answers = 0;
    for (const auto& batch : batches) {
      journal->publisher().Publish(batch, [&](const PublishResult& result) {
        Require(result.all_durable(), "not durable");
        ++answers;
        answers.notify_all();
      });
    }
    for (size_t n = answers; n < batches.size(); n = answers) answers.wait(n);
    const StreamPosition released = journal->End();
    state.PauseTiming();
    Require(journal->consumer().Start([&](const std::string&, int32_t) { return released.next_offset; }).has_value(),
            "start failed");
    journal->consumer().Release(std::span(&released, 1));
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(size * batches.size()));
}
BENCHMARK(BM_PublishNewSeries)->Arg(2'000)->Arg(100)->Arg(1)->UseRealTime()->MeasureProcessCPUTime();

void BM_PollSeries(benchmark::State& state) {
  const Directory directory("poll");
  const SystemClock clock;
  const auto log = telemetry::Logger::Null();
  const auto metrics = telemetry::Metrics::Create();
  const auto journal = Journal::Open({.path = directory.file()},
                                     {clock, *log, *metrics, [](const Error&) { Require(false, "a fatal error"); }})
                           .value();
  std::mt19937_64 random(1);
  std::atomic<int> answers = 0;
  for (int i = 0; i < 20; ++i) {
    journal->publisher().Publish(MakeBatch(2'000, random), [&](const PublishResult&) {
      ++answers;
      answers.notify_all();
    });
  }
  for (int n = answers; n < 20; n = answers) answers.wait(n);
  const PositionLookup from_the_first = [](const std::string&, int32_t) { return std::nullopt; };
  uint64_t series = 0;
  for (auto _ : state) {
    Require(journal->consumer().Start(from_the_first).has_value(), "start failed");
    uint64_t round = 0;
    while (round < 40'000) round += journal->consumer().Poll(10'000, std::chrono::seconds(10)).value().series;
    Require(round == 40'000, "series are missing");
    series += round;
  }
  state.SetItemsProcessed(static_cast<int64_t>(series));
}
BENCHMARK(BM_PollSeries)->UseRealTime();

}  // namespace
}  // namespace mi::stream
