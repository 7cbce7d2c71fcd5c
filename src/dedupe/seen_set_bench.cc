// Costs of the seen table: look-ups, inserts, bytes per entry, the longest pause, a restart.
#include "dedupe/seen_set.h"

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <thread>

#include "dedupe/claims.h"
#include "dedupe/seen_snapshot.h"
#include "dedupe/testing/series.h"

namespace mi::dedupe {
namespace {

using model::Fingerprint;
using testing::SeriesRange;

constexpr size_t kBatch = 2000;  // series per request

void Check(bool holds) {
  if (!holds) std::abort();
}

double MillisecondsSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

void InsertAll(SeenSet& seen, uint64_t series) {
  for (uint64_t at = 0; at < series; at += kBatch) Check(seen.Insert(SeriesRange(at, at + kBatch)) == kBatch);
}

void CountSeries(benchmark::State& state, size_t batch) {
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(batch));
  state.counters["ns/series"] = benchmark::Counter(
      static_cast<double>(batch) * 1e-9, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

// Looks series up in another order than they were inserted, so that caches do not help.
void BM_LookupKnown(benchmark::State& state) {
  const SystemClock clock;
  const auto seen = std::make_unique<SeenSet>(SeenOptions{}, clock);
  const auto series = static_cast<uint64_t>(state.range(0));
  InsertAll(*seen, series);
  std::vector<Fingerprint> requests;
  for (uint64_t at = 0; at < 2'000'000; ++at) requests.push_back(testing::Series(at * 7'919'317 % series));
  const std::vector<Touch> touches(kBatch, Touch::kActive);
  std::vector<Seen> answers(kBatch);
  size_t at = 0;
  for (auto _ : state) {
    seen->Lookup(std::span(requests).subspan(at, kBatch), touches, answers);
    Check(std::ranges::find(answers, Seen::kUnknown) == answers.end());
    at = (at + kBatch) % requests.size();
  }
  CountSeries(state, kBatch);
  const auto stats = seen->stats();
  state.counters["bytes/entry"] = static_cast<double>(stats.bytes) / static_cast<double>(stats.entries);
}
BENCHMARK(BM_LookupKnown)->Arg(10'000)->Arg(1'000'000)->Arg(10'000'000);

void BM_LookupUnknown(benchmark::State& state) {
  const SystemClock clock;
  const auto seen = std::make_unique<SeenSet>(SeenOptions{}, clock);
  InsertAll(*seen, static_cast<uint64_t>(state.range(0)));
  const auto requests = SeriesRange(1ULL << 40, (1ULL << 40) + 2'000'000);
  const std::vector<Touch> touches(kBatch, Touch::kActive);
  std::vector<Seen> answers(kBatch);
  size_t at = 0;
  for (auto _ : state) {
    seen->Lookup(std::span(requests).subspan(at, kBatch), touches, answers);
    Check(answers.front() == Seen::kUnknown);
    at = (at + kBatch) % requests.size();
  }
  CountSeries(state, kBatch);
}
BENCHMARK(BM_LookupUnknown)->Arg(1'000'000)->Arg(10'000'000);

void BM_Insert(benchmark::State& state) {
  const SystemClock clock;
  const auto series = static_cast<uint64_t>(state.range(0));
  const auto all = SeriesRange(0, series);
  double worst_bytes = 0;
  for (auto _ : state) {
    const auto seen = std::make_unique<SeenSet>(SeenOptions{}, clock);
    for (uint64_t at = 0; at < series; at += kBatch) {
      Check(seen->Insert(std::span(all).subspan(at, kBatch)) == kBatch);
      if (at < series / 10) continue;
      const auto stats = seen->stats();
      worst_bytes = std::max(worst_bytes, static_cast<double>(stats.bytes) / static_cast<double>(stats.entries));
    }
  }
  CountSeries(state, series);
  state.counters["worst bytes/entry"] = worst_bytes;
}
BENCHMARK(BM_Insert)->Arg(1'000'000)->Arg(10'000'000)->Unit(benchmark::kMillisecond);

double ThreadCpuMilliseconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
}

// The longest of many batches, in wall time and in the thread's CPU time. The wall time includes what other programs of
// the machine do.
class Longest {
 public:
  template <typename Batch>
  void Time(Batch batch) {
    const auto begin = std::chrono::steady_clock::now();
    const double cpu_begin = ThreadCpuMilliseconds();
    batch();
    cpu_ms_ = std::max(cpu_ms_, ThreadCpuMilliseconds() - cpu_begin);
    wall_ms_ = std::max(wall_ms_, MillisecondsSince(begin));
  }
  void Report(benchmark::State& state, const std::string& what) const {
    state.counters[what + " wall ms"] = wall_ms_;
    state.counters[what + " cpu ms"] = cpu_ms_;
  }

 private:
  double wall_ms_ = 0;
  double cpu_ms_ = 0;
};

// The longest batch of 2,000 while the table grows to ten million entries, with or without a concurrent sweep and copy.
void BM_LongestBatch(benchmark::State& state) {
  constexpr uint64_t kSeries = 10'000'000;
  const bool swept = state.range(0) != 0;
  const SystemClock clock;
  for (auto _ : state) {
    const auto seen = std::make_unique<SeenSet>(SeenOptions{}, clock);
    std::atomic<bool> done = false;
    std::jthread cleaner([&] {
      while (swept && !done) {
        seen->Sweep();
        for (size_t shard = 0; shard < SeenSet::kShards; ++shard) seen->CopyShard(shard);
      }
    });
    Longest insert;
    Longest lookup;
    const std::vector<Touch> touches(kBatch, Touch::kActive);
    std::vector<Seen> answers(kBatch);
    for (uint64_t at = 0; at < kSeries; at += kBatch) {
      const auto batch = SeriesRange(at, at + kBatch);
      insert.Time([&] { seen->Insert(batch); });
      const auto known = SeriesRange(at / 3, at / 3 + kBatch);
      lookup.Time([&] { seen->Lookup(known, touches, answers); });
      Check(std::ranges::find(answers, Seen::kUnknown) == answers.end());
    }
    done = true;
    insert.Report(state, "insert");
    lookup.Report(state, "lookup");
  }
}
BENCHMARK(BM_LongestBatch)->ArgName("swept")->Arg(0)->Arg(1)->Iterations(1)->Unit(benchmark::kMillisecond);

void BM_Sweep(benchmark::State& state) {
  const SystemClock clock;
  const auto seen = std::make_unique<SeenSet>(SeenOptions{}, clock);
  InsertAll(*seen, 10'000'000);
  for (auto _ : state) seen->Sweep();
  Check(seen->stats().entries == 10'000'000);
}
BENCHMARK(BM_Sweep)->Unit(benchmark::kMillisecond);

const SnapshotBinding kBinding{.catalog_uuid = "catalogue", .journal_uuid = "journal", .activity_interval_s = 3600};

std::string SnapshotPath() { return "/tmp/seen_set_bench." + std::to_string(getpid()); }

void BM_SnapshotWrite(benchmark::State& state) {
  const SystemClock clock;
  const auto seen = std::make_unique<SeenSet>(SeenOptions{}, clock);
  InsertAll(*seen, 10'000'000);
  for (auto _ : state) {
    Check(WriteSnapshot(*seen, SnapshotPath(), [] { return Result<SnapshotBinding>(kBinding); }).has_value());
  }
  std::remove(SnapshotPath().c_str());
}
BENCHMARK(BM_SnapshotWrite)->UseRealTime()->Unit(benchmark::kMillisecond);

void BM_SnapshotRead(benchmark::State& state) {
  const SystemClock clock;
  {
    const auto seen = std::make_unique<SeenSet>(SeenOptions{}, clock);
    InsertAll(*seen, 10'000'000);
    Check(WriteSnapshot(*seen, SnapshotPath(), [] { return Result<SnapshotBinding>(kBinding); }).has_value());
  }
  for (auto _ : state) {
    const auto seen = ReadSnapshot(SnapshotPath(), kBinding, {}, clock);
    Check(seen && (*seen)->stats().entries == 10'000'000);
  }
  std::remove(SnapshotPath().c_str());
}
BENCHMARK(BM_SnapshotRead)->UseRealTime()->Unit(benchmark::kMillisecond);

void BM_ClaimAndSettle(benchmark::State& state) {
  Claims claims;
  const auto series = SeriesRange(0, kBatch);
  for (auto _ : state) {
    bool told = false;
    const auto waiter = std::make_shared<Waiter>([&](const Waiter::Outcome&) { told = true; });
    Check(claims.Claim(series, waiter).size() == kBatch);
    claims.Settle(series, {});
    Check(told);
  }
  CountSeries(state, kBatch);
}
BENCHMARK(BM_ClaimAndSettle);

}  // namespace
}  // namespace mi::dedupe
