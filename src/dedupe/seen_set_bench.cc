// What the seen table costs: a look-up, an insert, an entry's bytes, its longest pause, a restart.
#include "dedupe/seen_set.h"

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "dedupe/dedupe_testing.h"
#include "dedupe/in_flight.h"
#include "dedupe/seen_snapshot.h"

namespace mi::dedupe {
namespace {

using model::Fingerprint;
using testing::SeriesRange;

constexpr size_t kBatch = 2000;  // series of a request

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

// Requests in another order than they were inserted in, so that no cache helps.
void BM_LookupKnown(benchmark::State& state) {
  const SystemClock clock;
  const auto seen = SeenSet::Create({}, clock);
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
  const auto seen = SeenSet::Create({}, clock);
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
    const auto seen = SeenSet::Create({}, clock);
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

// The longest that one batch of 2,000 takes while the table grows to ten million, and is swept and copied beside it.
// Other programs' turns on the processor are in it too.
void BM_LongestPause(benchmark::State& state) {
  constexpr uint64_t kSeries = 10'000'000;
  const SystemClock clock;
  for (auto _ : state) {
    const auto seen = SeenSet::Create({}, clock);
    std::atomic<bool> done = false;
    double lookup_ms = 0;
    std::jthread reader([&] {
      const auto request = SeriesRange(0, kBatch);
      const std::vector<Touch> touches(kBatch, Touch::kActive);
      std::vector<Seen> answers(kBatch);
      while (!done) {
        const auto begin = std::chrono::steady_clock::now();
        seen->Lookup(request, touches, answers);
        lookup_ms = std::max(lookup_ms, MillisecondsSince(begin));
      }
    });
    std::jthread cleaner([&] {
      while (!done) {
        seen->Sweep();
        for (size_t shard = 0; shard < seen->shards(); ++shard) seen->CopyShard(shard);
      }
    });
    double insert_ms = 0;
    for (uint64_t at = 0; at < kSeries; at += kBatch) {
      const auto batch = SeriesRange(at, at + kBatch);
      const auto begin = std::chrono::steady_clock::now();
      seen->Insert(batch);
      insert_ms = std::max(insert_ms, MillisecondsSince(begin));
    }
    done = true;
    reader.join();
    cleaner.join();
    state.counters["lookup ms"] = lookup_ms;
    state.counters["insert ms"] = insert_ms;
  }
}
BENCHMARK(BM_LongestPause)->Iterations(1)->Unit(benchmark::kMillisecond);

// As above with one thread alone: what the table itself adds to its most unlucky batch.
void BM_LongestInsertAlone(benchmark::State& state) {
  constexpr uint64_t kSeries = 10'000'000;
  const SystemClock clock;
  for (auto _ : state) {
    const auto seen = SeenSet::Create({}, clock);
    std::vector<double> batches_ms;
    for (uint64_t at = 0; at < kSeries; at += kBatch) {
      const auto batch = SeriesRange(at, at + kBatch);
      const auto begin = std::chrono::steady_clock::now();
      seen->Insert(batch);
      batches_ms.push_back(MillisecondsSince(begin));
    }
    std::ranges::sort(batches_ms);
    state.counters["p50 ms"] = batches_ms[batches_ms.size() / 2];
    state.counters["p99.9 ms"] = batches_ms[batches_ms.size() * 999 / 1000];
    state.counters["max ms"] = batches_ms.back();
  }
}
BENCHMARK(BM_LongestInsertAlone)->Iterations(1)->Unit(benchmark::kMillisecond);

void BM_Sweep(benchmark::State& state) {
  const SystemClock clock;
  const auto seen = SeenSet::Create({}, clock);
  InsertAll(*seen, 10'000'000);
  for (auto _ : state) seen->Sweep();
  Check(seen->stats().entries == 10'000'000);
}
BENCHMARK(BM_Sweep)->Unit(benchmark::kMillisecond);

const SnapshotBinding kBinding{.catalog_uuid = "catalogue", .journal_uuid = "journal", .activity_interval_s = 3600};

std::string SnapshotPath() { return "/tmp/seen_set_bench." + std::to_string(getpid()); }

void BM_SnapshotWrite(benchmark::State& state) {
  const SystemClock clock;
  const auto seen = SeenSet::Create({}, clock);
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
    const auto seen = SeenSet::Create({}, clock);
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
  const auto in_flight = InFlight::Create();
  const auto series = SeriesRange(0, kBatch);
  for (auto _ : state) {
    bool told = false;
    const auto waiter = std::make_shared<Waiter>([&](const Status&) { told = true; });
    Check(in_flight->Claim(series, waiter).size() == kBatch);
    in_flight->Settle(series, {});
    Check(told);
  }
  CountSeries(state, kBatch);
}
BENCHMARK(BM_ClaimAndSettle);

}  // namespace
}  // namespace mi::dedupe
