// The catalogue with series like those of a Kubernetes fleet. The figures are in README.md.
#include <benchmark/benchmark.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/format.h"
#include "catalog/catalog.h"
#include "model/identity.h"
#include "store/testing/empty_reader.h"

namespace mi::catalog {
namespace {

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* wanted = std::getenv(name);
  return wanted == nullptr ? otherwise : std::strtoull(wanted, nullptr, 10);
}

const uint64_t kSeriesOfPod = FromEnvironment("CATALOG_BENCH_POD", 160);
const uint64_t kSeriesCount = FromEnvironment("CATALOG_BENCH_SERIES", 1'000'000);
constexpr int64_t kSeen = 1'700'000'000'000;

// Series with 12 labels: 160 series per pod (CATALOG_BENCH_POD), 2 containers per pod, 40 pods per node, 25 pods per
// deployment. One metric in four is a histogram with an `le`. They arrive in the order of a scrape, or shuffled within
// 40 pods, as parallel senders send them.
class Fleet {
 public:
  static model::Labels Make(uint64_t number) {
    const uint64_t pod = number / kSeriesOfPod;
    const uint64_t metric = number % kSeriesOfPod;
    const uint64_t node = pod / 40;
    const uint64_t deployment = pod / 25;
    const uint64_t container = pod * 2 + metric % 2;
    std::vector<std::pair<std::string, std::string>> text = {
        {"__name__",
         metric < 40 ? "http_request_duration_seconds_bucket" : mi::format("container_metric_{}_total", metric)},
        {"cluster", mi::format("prod-eu-{}", pod / 3000)},
        {"container", mi::format("container-{}", container % 60)},
        {"container_id", mi::format("containerd://{:016x}{:016x}", Hash(container), Hash(container + 1))},
        {"endpoint", "http-metrics"},
        {"instance", mi::format("10.{}.{}.{}:9100", node >> 8 & 255, node & 255, pod % 40)},
        {"job", mi::format("kubelet-{}", deployment % 12)},
        {"namespace", mi::format("team-{}", deployment % 90)},
        {"node", mi::format("ip-10-{}-{}.eu-central-1.compute.internal", node >> 8 & 255, node & 255)},
        {"pod", mi::format("service-{}-{:08x}-{:05x}", deployment, Hash(deployment) & 0xffffffff, Hash(pod) & 0xfffff)},
        {"service", mi::format("service-{}", deployment)},
        {metric < 40 ? "le" : "mode",
         metric < 40 ? mi::format("{}", 0.005 * static_cast<double>(metric)) : kModes[metric % 8]},
    };
    std::vector<model::Label> labels;
    for (const auto& [name, value] : text) labels.push_back({name, value});
    return model::Labels::FromUnsorted(labels).value();
  }
  static std::string PodOf(uint64_t number) {
    const uint64_t pod = number / kSeriesOfPod;
    const uint64_t deployment = pod / 25;
    return mi::format("service-{}-{:08x}-{:05x}", deployment, Hash(deployment) & 0xffffffff, Hash(pod) & 0xfffff);
  }

 private:
  static constexpr const char* kModes[] = {"idle", "user", "system", "iowait", "irq", "nice", "steal", "softirq"};
  static uint64_t Hash(uint64_t x) {
    x = (x + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
    return (x ^ x >> 29) * 0x94d049bb133111eb;
  }
};

// The numbers of the series in the order in which they arrive.
std::vector<uint32_t> Arrival(uint64_t count, bool shuffled) {
  std::vector<uint32_t> order(count);
  for (uint32_t i = 0; i < count; ++i) order[i] = i;
  const size_t kTogether = 40 * kSeriesOfPod;
  std::mt19937 random(1);
  for (size_t i = 0; shuffled && i < count; i += kTogether) {
    std::shuffle(order.begin() + static_cast<ptrdiff_t>(i),
                 order.begin() + static_cast<ptrdiff_t>(std::min<size_t>(count, i + kTogether)), random);
  }
  return order;
}

uint64_t ResidentBytes() {
  malloc_trim(0);
  uint64_t total = 0;
  uint64_t resident = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr || std::fscanf(file, "%lu %lu", &total, &resident) != 2) std::abort();
  std::fclose(file);
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// Returns contents that were made before, so that only the catalogue is measured.
class ContentReader final : public store::EmptyReader {
 public:
  explicit ContentReader(uint64_t first_id) : first_id_(first_id) {}
  void Add(model::LabelsView labels) {
    model::AppendIdentity(labels, text_);
    ends_.push_back(text_.size());
  }
  std::string_view Content(size_t i) const {
    const size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(text_).substr(begin, ends_[i] - begin);
  }
  size_t size() const { return ends_.size(); }

  Status ReadSeries(uint64_t, const std::function<bool(const store::StoredSeries&)>& visit) override {
    for (size_t i = 0; i < size(); ++i) {
      if (!visit({first_id_ + i, "", Content(i), {}, kSeen, kSeen})) break;
    }
    return {};
  }

 private:
  uint64_t first_id_;
  std::string text_;
  std::vector<size_t> ends_;
};

// CPU time of this process, since the machine does other things as well. Loading uses two threads.
double CpuSeconds() {
  timespec time{};
  if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) != 0) std::abort();
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

struct Built {
  std::unique_ptr<Catalog> catalog = std::make_unique<Catalog>(CatalogOptions{});
  double seconds = 0;
  uint64_t resident = 0;  // bytes
};

// In portions, so that the prepared data takes little memory compared with what is measured.
Built BuildByLoad(std::span<const uint32_t> order) {
  constexpr size_t kPortion = 100'000;
  const uint64_t before = ResidentBytes();
  Built built;
  for (size_t done = 0; done < order.size(); done += kPortion) {
    ContentReader reader(done + 1);
    for (const uint32_t number : order.subspan(done, std::min(kPortion, order.size() - done))) {
      reader.Add(Fleet::Make(number).view());
    }
    const double start = CpuSeconds();
    if (!built.catalog->Load(reader)) std::abort();
    built.seconds += CpuSeconds() - start;
  }
  built.resident = ResidentBytes() - before;
  return built;
}

Built BuildByAppend(std::span<const uint32_t> order, size_t batch_size) {
  Built built;
  for (size_t done = 0; done < order.size(); done += batch_size) {
    std::vector<model::SeriesBatch> batches(1, model::SeriesBatch({}, kSeen));
    store::ApplyResult applied;
    for (const uint32_t number : order.subspan(done, std::min(batch_size, order.size() - done))) {
      applied.inserted.push_back({done + applied.inserted.size() + 1, 0, applied.inserted.size()});
      batches[0].Add({}, Fleet::Make(number).canonical());
    }
    const double start = CpuSeconds();
    built.catalog->Append(batches, applied);
    built.seconds += CpuSeconds() - start;
  }
  return built;
}

Built& Shared() {
  static Built built = BuildByLoad(Arrival(kSeriesCount, true));
  return built;
}

void Report(benchmark::State& state, const Built& built) {
  const auto stats = built.catalog->stats();
  const auto series = static_cast<double>(stats.series);
  state.SetIterationTime(built.seconds);
  state.counters["series/s"] = series / built.seconds;
  state.counters["B/series"] = static_cast<double>(stats.bytes) / series;
  if (built.resident > 0) state.counters["RSS/series"] = static_cast<double>(built.resident) / series;
  state.counters["pairs/series"] = static_cast<double>(stats.pairs) / series;
}

void Load(benchmark::State& state) {
  const std::vector<uint32_t> order = Arrival(kSeriesCount, state.range(0) != 0);
  for (auto unused : state) Report(state, BuildByLoad(order));
}
BENCHMARK(Load)->ArgName("shuffled")->Arg(0)->Arg(1)->Iterations(1)->UseManualTime()->Unit(benchmark::kMillisecond);

void Append(benchmark::State& state) {
  const std::vector<uint32_t> order = Arrival(kSeriesCount, true);
  for (auto unused : state) Report(state, BuildByAppend(order, static_cast<size_t>(state.range(0))));
}
BENCHMARK(Append)->ArgName("batch")->Arg(1)->Arg(2000)->Arg(10000)->Iterations(1)->UseManualTime()->Unit(
    benchmark::kMillisecond);

void Scan(benchmark::State& state) {
  ContentReader reader(1);
  for (uint64_t i = 0; i < 10'000; ++i) reader.Add(Fleet::Make(i).view());
  model::IdentityReader identity;
  for (auto unused : state) {
    for (size_t i = 0; i < reader.size(); ++i) {
      const auto labels = identity.Read(reader.Content(i));
      if (!labels || labels->size() != 12) state.SkipWithError("wrong");
    }
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * reader.size()));
}
BENCHMARK(Scan);

// The cost of a query. The snapshot is taken in the loop, as in a request.
void MetricNames(benchmark::State& state) {
  Shared();  // built before the first iteration
  for (auto unused : state) {
    const auto snapshot = Shared().catalog->Current();
    std::vector<std::string_view> names;
    snapshot->ForEachValue("__name__", [&](std::string_view value, PairId) {
      names.push_back(value);
      return true;
    });
    std::ranges::sort(names);
    if (names.size() != 121) state.SkipWithError("wrong");
  }
}
BENCHMARK(MetricNames)->Unit(benchmark::kMicrosecond);

void LabelNames(benchmark::State& state) {
  for (auto unused : state) {
    if (Shared().catalog->Current()->LabelNames().size() != 13) state.SkipWithError("wrong");
  }
}
BENCHMARK(LabelNames)->Unit(benchmark::kMicrosecond);

void LabelsAndTheirSeries(benchmark::State& state) {
  for (auto unused : state) {
    const auto snapshot = Shared().catalog->Current();
    uint64_t series = 0;
    for (const std::string_view name : snapshot->LabelNames()) series += snapshot->WithLabel(name).size();
    if (series != snapshot->series() * 12) state.SkipWithError("wrong");
  }
}
BENCHMARK(LabelsAndTheirSeries)->Unit(benchmark::kMicrosecond);

uint64_t ReadAll(const Snapshot& snapshot, const SeriesSet& set, uint64_t limit) {
  SeriesView view;
  uint64_t read = 0;
  set.ForEach([&](Ordinal ordinal) {
    snapshot.Read(ordinal, view);
    benchmark::DoNotOptimize(view.labels.data());
    return ++read < limit;
  });
  return read;
}

void OnePod(benchmark::State& state) {
  const std::string pod = Fleet::PodOf(kSeriesCount / 2);
  for (auto unused : state) {
    const auto snapshot = Shared().catalog->Current();
    const SeriesSet set = snapshot->WithPair(snapshot->FindPair("pod", pod).value());
    if (ReadAll(*snapshot, set, UINT64_MAX) != kSeriesOfPod) state.SkipWithError("wrong");
  }
}
BENCHMARK(OnePod)->Unit(benchmark::kMicrosecond);

// The cluster has 3,000 pods, which are 480,000 series.
SeriesSet Cluster(const Snapshot& snapshot) {
  return snapshot.WithPair(snapshot.FindPair("cluster", "prod-eu-0").value());
}

void Broad(benchmark::State& state) {
  const auto limit = static_cast<uint64_t>(state.range(0));
  for (auto unused : state) {
    const auto snapshot = Shared().catalog->Current();
    if (ReadAll(*snapshot, Cluster(*snapshot), limit) != limit) state.SkipWithError("wrong");
  }
}
BENCHMARK(Broad)->ArgName("limit")->Arg(1000)->Arg(300'000)->Unit(benchmark::kMicrosecond);

void StatusOfAllPairs(benchmark::State& state) {
  for (auto unused : state) {
    const auto snapshot = Shared().catalog->Current();
    uint64_t total = 0;
    for (const std::string_view name : snapshot->LabelNames()) {
      snapshot->ForEachValue(name, [&](std::string_view, PairId pair) {
        total += snapshot->CountWithPair(pair);
        return true;
      });
    }
    if (total != snapshot->series() * 12) state.SkipWithError("wrong");
  }
}
BENCHMARK(StatusOfAllPairs)->Unit(benchmark::kMicrosecond);

void StatusWithinCluster(benchmark::State& state) {
  std::vector<uint32_t> counts;
  for (auto unused : state) {
    const auto snapshot = Shared().catalog->Current();
    const SeriesSet cluster = Cluster(*snapshot);
    snapshot->CountPairs(cluster, counts);
    uint64_t total = 0;
    for (const std::string_view name : snapshot->LabelNames()) {
      snapshot->ForEachValue(name, [&](std::string_view, PairId pair) {
        total += counts[pair];
        return true;
      });
    }
    if (total != cluster.size() * 12) state.SkipWithError("wrong");
  }
}
BENCHMARK(StatusWithinCluster)->Unit(benchmark::kMicrosecond);

void StatusWithinClusterPairByPair(benchmark::State& state) {
  for (auto unused : state) {
    const auto snapshot = Shared().catalog->Current();
    const SeriesSet cluster = Cluster(*snapshot);
    uint64_t total = 0;
    for (const std::string_view name : snapshot->LabelNames()) {
      snapshot->ForEachValue(name, [&](std::string_view, PairId pair) {
        total += snapshot->CountWithPair(pair, cluster);
        return true;
      });
    }
    if (total != cluster.size() * 12) state.SkipWithError("wrong");
  }
}
BENCHMARK(StatusWithinClusterPairByPair)->Unit(benchmark::kMicrosecond);

void UnionOfAllContainers(benchmark::State& state) {
  for (auto unused : state) {
    const auto snapshot = Shared().catalog->Current();
    std::vector<PairId> pairs;
    snapshot->ForEachValue("container_id", [&](std::string_view, PairId pair) {
      pairs.push_back(pair);
      return true;
    });
    if (snapshot->WithAnyPair(pairs).size() != snapshot->series()) state.SkipWithError("wrong");
  }
}
BENCHMARK(UnionOfAllContainers)->Unit(benchmark::kMicrosecond);

void SeenInAnHour(benchmark::State& state) {
  for (auto unused : state) {
    const auto snapshot = Shared().catalog->Current();
    const SeriesSet seen = snapshot->SeenIn(Cluster(*snapshot), {kSeen - 3'600'000, kSeen});
    if (seen.empty()) state.SkipWithError("wrong");
  }
}
BENCHMARK(SeenInAnHour)->Unit(benchmark::kMicrosecond);

void UpdateSeen(benchmark::State& state) {
  std::mt19937_64 random(1);
  std::vector<store::SeenUpdate> updates;
  for (int i = 0; i < 10'000; ++i) updates.push_back({1 + random() % kSeriesCount, kSeen, kSeen + i});
  for (auto unused : state) Shared().catalog->UpdateSeen(updates);
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * updates.size()));
}
BENCHMARK(UpdateSeen);

}  // namespace
}  // namespace mi::catalog
