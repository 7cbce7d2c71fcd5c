// What the catalogue costs in SQLite. Each benchmark checks that what it did is right.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/format.h"
#include "store/sqlite/catalog.h"
#include "store/testing/bench_series.h"
#include "store/testing/fatal_log.h"

namespace mi::store {
namespace {

class Catalog {
 public:
  Catalog() { std::filesystem::remove_all(directory_), std::filesystem::create_directories(directory_); }
  ~Catalog() { std::filesystem::remove_all(directory_); }
  SqliteCatalog Open() const { return SqliteCatalog::Open({.path = directory_ + "/catalog.db"}).value(); }
  uint64_t Bytes() const { return std::filesystem::file_size(directory_ + "/catalog.db"); }

 private:
  static inline int made_ = 0;
  const std::string directory_ =
      std::filesystem::temp_directory_path() / format("mi_store_bench.{}.{}", static_cast<int>(getpid()), ++made_);
};

void Check(benchmark::State& state, bool right, const char* what) {
  if (!right) state.SkipWithError(what);
}

// New series into a catalogue that grows to range(0), range(1) a transaction; checkpoints included.
void BM_ApplyNew(benchmark::State& state) {
  const auto total = static_cast<size_t>(state.range(0));
  const auto per_call = static_cast<size_t>(state.range(1));
  for (auto _ : state) {
    Catalog catalog;
    auto store = catalog.Open().OpenStore(IgnoreFatal).value();
    for (size_t done = 0; done < total; done += per_call) {
      state.PauseTiming();
      std::vector<model::SeriesBatch> batches;
      for (size_t i = 0; i < per_call; i += 2'000)
        batches.push_back(MakePodSeries(done + i, std::min<size_t>(2'000, per_call - i)));
      const StreamPosition position[] = {{"journal", 0, static_cast<int64_t>(done)}};
      state.ResumeTiming();
      const Result<ApplyResult> result = store->Apply(batches, position);
      Check(state, result && result->inserted.size() == per_call, "not all were inserted");
    }
    Check(state, store->Checkpoint().value().size() == 1, "no checkpoint");
    state.PauseTiming();
    store.reset();
    state.counters["bytes/series"] = static_cast<double>(catalog.Bytes()) / static_cast<double>(total);
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(total));
}
BENCHMARK(BM_ApplyNew)
    ->Args({200'000, 2'000})
    ->Args({200'000, 10'000})
    ->Args({1'000'000, 10'000})
    ->Args({1'000'000, 50'000})
    ->Unit(benchmark::kMillisecond)
    ->Iterations(1)
    ->UseRealTime()
    ->MeasureProcessCPUTime();

// A catalogue of 300,000 series, made once.
constexpr size_t kSeries = 300'000;

const Catalog& Filled() {
  static const Catalog catalog;
  static const bool filled = [] {
    auto store = catalog.Open().OpenStore(IgnoreFatal).value();
    for (size_t done = 0; done < kSeries; done += 20'000) {
      const model::SeriesBatch batch = MakePodSeries(done, 20'000);
      if (!store->Apply({&batch, 1}, {})) return false;
    }
    return store->Checkpoint().has_value();
  }();
  if (!filled) std::abort();
  return catalog;
}

void BM_ApplyKnown(benchmark::State& state) {
  auto store = Filled().Open().OpenStore(IgnoreFatal).value();
  const model::SeriesBatch batch = MakePodSeries(100'000, 10'000);
  for (auto _ : state) {
    const Result<ApplyResult> result = store->Apply({&batch, 1}, {});
    Check(state, result && result->existing == batch.size(), "not all were known");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(batch.size()));
}
BENCHMARK(BM_ApplyKnown)->Unit(benchmark::kMillisecond);

void BM_ApplyActivity(benchmark::State& state) {
  auto store = Filled().Open().OpenStore(IgnoreFatal).value();
  static int64_t now_ms = 1'700'000'001'000;  // each run must move what the one before moved
  model::ActivityBatch activity;
  const model::SeriesBatch batch = MakePodSeries(100'000, 100'000);
  for (size_t i = 0; i < batch.size(); ++i) activity.fingerprints.push_back(batch[i].fingerprint);
  for (auto _ : state) {
    activity.seen_at_ms = ++now_ms;
    const Result<std::vector<SeenUpdate>> moved = store->ApplyActivity({&activity, 1});
    Check(state, moved && moved->size() == batch.size(), "not all moved");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(batch.size()));
}
BENCHMARK(BM_ApplyActivity)->Unit(benchmark::kMillisecond);

void BM_ReadSeries(benchmark::State& state) {
  auto reader = Filled().Open().OpenReader().value();
  for (auto _ : state) {
    uint64_t last = 0;
    const Status read = reader->ReadSeries(0, [&](const StoredSeries& series) {
      benchmark::DoNotOptimize(series.content.data());
      return last = series.id, true;
    });
    Check(state, read && last == kSeries, "not all were read");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kSeries));
}
BENCHMARK(BM_ReadSeries)->Unit(benchmark::kMillisecond);

void BM_ReadFingerprints(benchmark::State& state) {
  auto reader = Filled().Open().OpenReader().value();
  for (auto _ : state) {
    size_t count = 0;
    const Status read = reader->ReadFingerprints([&](model::Fingerprint, int64_t) { return ++count, true; });
    Check(state, read && count == kSeries, "not all were read");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kSeries));
}
BENCHMARK(BM_ReadFingerprints)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace mi::store
