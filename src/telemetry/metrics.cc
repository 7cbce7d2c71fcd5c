#include "telemetry/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <iterator>
#include <map>

#include "base/mutex.h"
#include "telemetry/printable.h"
#include "telemetry/process_metrics.h"

namespace mi::telemetry {
namespace {

constexpr std::string_view kPrefix = "metric_index_";

class PromCounter final : public Counter {
 public:
  explicit PromCounter(prometheus::Counter& counter) : counter_(counter) {}
  void Add(double by) override { counter_.Increment(by); }
  double Value() const override { return counter_.Value(); }

 private:
  prometheus::Counter& counter_;
};

class PromGauge final : public Gauge {
 public:
  PromGauge(prometheus::Family<prometheus::Gauge>& family, const prometheus::Labels& labels)
      : family_(family), gauge_(family.Add(labels)) {}
  ~PromGauge() override { family_.Remove(&gauge_); }
  PromGauge(const PromGauge&) = delete;
  PromGauge& operator=(const PromGauge&) = delete;
  void Set(double value) override { gauge_.Set(value); }
  void Add(double by) override { gauge_.Increment(by); }
  double Value() const override { return gauge_.Value(); }

 private:
  prometheus::Family<prometheus::Gauge>& family_;
  prometheus::Gauge& gauge_;
};

class PromHistogram final : public Histogram {
 public:
  explicit PromHistogram(prometheus::Histogram& histogram) : histogram_(histogram) {}
  void Observe(double value) override { histogram_.Observe(value); }

 private:
  prometheus::Histogram& histogram_;
};

// Label values come from outside (urls, tenants): one that is not UTF-8 would cost the whole scrape.
prometheus::Labels ToLabels(const MetricLabels& labels) {
  prometheus::Labels valid;
  for (const auto& [name, value] : labels) valid.emplace(name, ToValidUtf8(value));
  return valid;
}

class PromMetrics final : public Metrics {
 public:
  Counter& GetCounter(std::string_view name, std::string_view help, const MetricLabels& labels) override {
    return GetOrAdd(counters_, name, labels, [&](const std::string& full, const prometheus::Labels& valid) {
      auto& family = prometheus::BuildCounter().Name(full).Help(std::string(help)).Register(registry_);
      return std::make_unique<PromCounter>(family.Add(valid));
    });
  }

  Gauge& GetGauge(std::string_view name, std::string_view help, const MetricLabels& labels) override {
    return GetOrAdd(gauges_, name, labels, [&](const std::string& full, const prometheus::Labels& valid) {
      auto& family = prometheus::BuildGauge().Name(full).Help(std::string(help)).Register(registry_);
      return std::make_unique<PromGauge>(family, valid);
    });
  }

  void RemoveGauge(std::string_view name, const MetricLabels& labels) override EXCLUDES(mutex_) {
    std::string full(kPrefix);
    full += name;
    MutexLock lock(mutex_);
    gauges_.erase({full, ToLabels(labels)});
  }

  Histogram& GetHistogram(std::string_view name, std::string_view help, const MetricLabels& labels,
                          const std::vector<double>& buckets) override {
    return GetOrAdd(histograms_, name, labels, [&](const std::string& full, const prometheus::Labels& valid) {
      auto& family = prometheus::BuildHistogram().Name(full).Help(std::string(help)).Register(registry_);
      return std::make_unique<PromHistogram>(family.Add(valid, buckets));
    });
  }

  void OnRender(std::function<void()> refresh) override {
    MutexLock lock(render_mutex_);
    refreshes_.push_back(std::move(refresh));
  }

  std::string Render() const override {
    MutexLock lock(render_mutex_);
    for (const auto& refresh : refreshes_) refresh();
    auto families = registry_.Collect();
    auto process = process_.Collect();
    families.insert(families.end(), std::make_move_iterator(process.begin()), std::make_move_iterator(process.end()));
    return prometheus::TextSerializer().Serialize(families);
  }

 private:
  template <typename Kind>
  using Known = std::map<std::pair<std::string, prometheus::Labels>, std::unique_ptr<Kind>>;

  // A name that is asked for as two kinds, or that is no metric name, is our own fault: the registry throws, and nobody
  // catches.
  template <typename Kind, typename Make>
  Kind& GetOrAdd(Known<Kind>& known, std::string_view name, const MetricLabels& labels, Make make) EXCLUDES(mutex_) {
    std::string full(kPrefix);
    full += name;
    auto valid = ToLabels(labels);
    MutexLock lock(mutex_);
    const auto [at, inserted] = known.try_emplace({full, valid});
    if (inserted) at->second = make(full, valid);
    return *at->second;
  }

  prometheus::Registry registry_;  // has a lock of its own; goes after the gauges, which go from their families
  Mutex mutex_;
  // Reached only through GetOrAdd and RemoveGauge, which hold mutex_.
  Known<Counter> counters_;
  Known<Gauge> gauges_;
  Known<Histogram> histograms_;
  ProcessMetrics process_;

  mutable Mutex render_mutex_;
  std::vector<std::function<void()>> refreshes_ GUARDED_BY(render_mutex_);
};

}  // namespace

const std::vector<double>& SecondsBuckets() {
  static const std::vector<double> kBuckets = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                               0.1,    0.25,    0.5,    1,     2.5,    5,     10,   30};
  return kBuckets;
}

std::unique_ptr<Metrics> Metrics::Create() { return std::make_unique<PromMetrics>(); }

}  // namespace mi::telemetry
