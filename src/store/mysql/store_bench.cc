// Against a real server, which the environment names:
//   scripts/services/mariadb start /tmp/bench-mariadb
//   MI_BENCH_MYSQL_PORT=$(cat /tmp/bench-mariadb/port) store_bench --benchmark_filter=Mysql
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/format.h"
#include "store/mysql/catalog.h"
#include "store/testing/bench_series.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::store {
namespace {

constexpr size_t kPerCall = 10'000;

// A catalogue in a database of its own; nothing where no server is named.
class Catalog {
 public:
  static std::unique_ptr<Catalog> Open(benchmark::State& state) {
    const char* port = std::getenv("MI_BENCH_MYSQL_PORT");
    if (port == nullptr) {
      state.SkipWithError("MI_BENCH_MYSQL_PORT names no server");
      return nullptr;
    }
    static int made = 0;
    auto catalog = std::make_unique<Catalog>();
    catalog->catalog_ =
        std::make_unique<MysqlCatalog>(MysqlOptions{.port = static_cast<uint16_t>(std::atoi(port)),
                                                    .user = "root",
                                                    .db_name = format("mi-bench_{}_{}", getpid(), made++)},
                                       MysqlDeps{*catalog->log_, *catalog->metrics_, [](const Error&) {}});
    if (const Status prepared = catalog->catalog_->Prepare(); !prepared) {
      state.SkipWithError(prepared.error().message().c_str());
      return nullptr;
    }
    return catalog;
  }
  MysqlCatalog& operator*() { return *catalog_; }
  MysqlCatalog* operator->() { return catalog_.get(); }

  // [0, count) by `writers`, each a share of its own; false when something failed.
  bool Fill(size_t writers, size_t count, int64_t seen_at_ms = 1'700'000'000'000) {
    std::atomic<size_t> next = 0;
    std::atomic<bool> right = true;
    std::vector<std::jthread> threads;
    for (size_t w = 0; w < writers; ++w) {
      threads.emplace_back([&] {
        const auto store = catalog_->OpenStore();
        for (size_t first = next.fetch_add(kPerCall); first < count; first = next.fetch_add(kPerCall)) {
          const model::SeriesBatch batch = MakePodSeries(first, kPerCall, seen_at_ms);
          const StreamPosition position[] = {{"bench", static_cast<int32_t>(first / kPerCall), 1}};
          const Result<ApplyResult> result = store->Apply({&batch, 1}, position);
          if (result && result->inserted.size() + result->existing == kPerCall) continue;
          std::fprintf(stderr, "%s\n", result ? "series are missing" : result.error().message().c_str());
          right = false;
        }
      });
    }
    threads.clear();
    return right;
  }

 private:
  const std::unique_ptr<telemetry::Logger> log_ = telemetry::Logger::Null();
  const std::unique_ptr<telemetry::Metrics> metrics_ = telemetry::Metrics::Create();
  std::unique_ptr<MysqlCatalog> catalog_;
};

void Check(benchmark::State& state, bool right, const char* what) {
  if (!right) state.SkipWithError(what);
}

// New series: connections, total.
void BM_MysqlApplyNew(benchmark::State& state) {
  const auto total = static_cast<size_t>(state.range(1));
  for (auto _ : state) {
    state.PauseTiming();
    const auto catalog = Catalog::Open(state);
    if (catalog == nullptr) return;
    state.ResumeTiming();
    Check(state, catalog->Fill(static_cast<size_t>(state.range(0)), total), "not all were applied");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(total));
}
BENCHMARK(BM_MysqlApplyNew)
    ->Args({1, 200'000})
    ->Args({4, 400'000})
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

constexpr size_t kSeries = 300'000;

Catalog* Filled(benchmark::State& state) {
  static const std::unique_ptr<Catalog> catalog = Catalog::Open(state);
  static const bool filled = catalog != nullptr && catalog->Fill(4, kSeries);
  Check(state, filled, "no filled catalogue");
  return filled ? catalog.get() : nullptr;
}

void BM_MysqlApplyKnown(benchmark::State& state) {
  Catalog* catalog = Filled(state);
  static int64_t now_ms = 1'700'000'000'000;
  for (auto _ : state) {
    Check(state, catalog != nullptr && (*catalog)->Health() && catalog->Fill(1, 50'000, now_ms),
          "not all were applied");
    now_ms += state.range(0);
  }
  state.SetItemsProcessed(state.iterations() * 50'000);
}
BENCHMARK(BM_MysqlApplyKnown)->ArgName("moved_ms")->Arg(0)->Arg(1'000)->UseRealTime()->Unit(benchmark::kMillisecond);

void BM_MysqlReadSeries(benchmark::State& state) {
  Catalog* catalog = Filled(state);
  if (catalog == nullptr) return;
  const auto reader = (*catalog)->OpenReader();
  for (auto _ : state) {
    size_t count = 0;
    const Status read = reader->ReadSeries(0, [&](const StoredSeries&) { return ++count, true; });
    Check(state, read && count == kSeries, "not all were read");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kSeries));
}
BENCHMARK(BM_MysqlReadSeries)->UseRealTime()->Unit(benchmark::kMillisecond);

void BM_MysqlReadFingerprints(benchmark::State& state) {
  Catalog* catalog = Filled(state);
  if (catalog == nullptr) return;
  const auto reader = (*catalog)->OpenReader();
  for (auto _ : state) {
    size_t count = 0;
    const Status read = reader->ReadFingerprints([&](model::Fingerprint, int64_t) { return ++count, true; });
    Check(state, read && count == kSeries, "not all were read");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kSeries));
}
BENCHMARK(BM_MysqlReadFingerprints)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace mi::store
