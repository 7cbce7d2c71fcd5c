// Counters, gauges and histograms under the prefix metric_index_, rendered in the Prometheus text format.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
class Registry;
}  // namespace prometheus

namespace mi::telemetry {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// Threads: safe, lock-free.
class Counter {
 public:
  explicit Counter(prometheus::Counter& counter) : counter_(counter) {}
  void Add(double by = 1);
  double Value() const;

 private:
  prometheus::Counter& counter_;
};

// Threads: safe, lock-free.
class Gauge {
 public:
  explicit Gauge(prometheus::Gauge& gauge) : gauge_(gauge) {}
  void Set(double value);
  void Add(double by);
  double Value() const;

 private:
  prometheus::Gauge& gauge_;
};

// Threads: safe; takes a lock: call it once per request, never once per series.
class Histogram {
 public:
  explicit Histogram(prometheus::Histogram& histogram) : histogram_(histogram) {}
  void Observe(double value);

 private:
  prometheus::Histogram& histogram_;
};

// Buckets for seconds: 100 µs to 30 s.
const std::vector<double>& SecondsBuckets();

// All metrics of the process. Names are given without the prefix: "receive_requests_total". Label values may be any
// bytes; those that are not UTF-8 are replaced.
//
// Ownership: owns what it hands out: references are valid as long as it lives (but see RemoveGauge). Two requests for
//            the same name and labels get the same object.
// Threads: safe.
// Errors: none. One name for two kinds of metric, or an invalid name, is a fault of ours and ends the process.
class Metrics {
 public:
  static std::unique_ptr<Metrics> Create() { return std::make_unique<Metrics>(); }
  Metrics();
  ~Metrics();

  Counter& GetCounter(std::string_view name, std::string_view help, const MetricLabels& labels = {}) EXCLUDES(mutex_);
  Gauge& GetGauge(std::string_view name, std::string_view help, const MetricLabels& labels = {}) EXCLUDES(mutex_);
  Histogram& GetHistogram(std::string_view name, std::string_view help, const MetricLabels& labels = {},
                          const std::vector<double>& buckets = SecondsBuckets()) EXCLUDES(mutex_);
  // Renders this gauge no more and makes references to it invalid. For values that came from outside and are gone.
  void RemoveGauge(std::string_view name, const MetricLabels& labels) EXCLUDES(mutex_);

  // Calls `refresh` before each rendering, to set gauges that are cheaper to read than to keep up to date. Calls are
  // never concurrent. `refresh` must not call Render or OnRender; what it captures must outlive this object.
  void OnRender(std::function<void()> refresh) EXCLUDES(render_mutex_);
  // As OnRender, until the returned object is destroyed. Its destructor waits for a rendering that is running.
  [[nodiscard]] std::shared_ptr<void> RefreshWhileHeld(std::function<void()> refresh) EXCLUDES(render_mutex_);

  // All metrics in the text exposition format 0.0.4, with those of the process (telemetry/process_metrics.h).
  std::string Render() const EXCLUDES(render_mutex_);

 private:
  Mutex mutex_;
  const std::unique_ptr<prometheus::Registry> registry_;
  std::map<const prometheus::Counter*, Counter> counters_ GUARDED_BY(mutex_);
  std::map<const prometheus::Gauge*, Gauge> gauges_ GUARDED_BY(mutex_);
  std::map<const prometheus::Histogram*, Histogram> histograms_ GUARDED_BY(mutex_);

  mutable Mutex render_mutex_;
  std::list<std::function<void()>> refreshes_ GUARDED_BY(render_mutex_);
};

}  // namespace mi::telemetry
