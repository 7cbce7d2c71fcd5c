// Counters, gauges and histograms under the prefix metric_index_, rendered in the Prometheus text format.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mi::telemetry {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// Threads: safe, lock-free.
class Counter {
 public:
  virtual ~Counter() = default;
  virtual void Add(double by = 1) = 0;
  virtual double Value() const = 0;
};

// Threads: safe, lock-free.
class Gauge {
 public:
  virtual ~Gauge() = default;
  virtual void Set(double value) = 0;
  virtual void Add(double by) = 0;
  virtual double Value() const = 0;
};

// Threads: safe; takes a lock: touch it once a request, never once a series.
class Histogram {
 public:
  virtual ~Histogram() = default;
  virtual void Observe(double value) = 0;
};

// Buckets for seconds: 100 µs to 30 s.
const std::vector<double>& SecondsBuckets();

// Owns what it hands out: references are valid as long as it lives (but for RemoveGauge). Asking twice for the same
// name and labels gives the same one. Names are given without the prefix: "receive_requests_total". Threads: safe.
class Metrics {
 public:
  static std::unique_ptr<Metrics> Create();
  virtual ~Metrics() = default;

  virtual Counter& GetCounter(std::string_view name, std::string_view help, const MetricLabels& labels = {}) = 0;
  virtual Gauge& GetGauge(std::string_view name, std::string_view help, const MetricLabels& labels = {}) = 0;
  // Shows this gauge no more: references to it are invalid from here on. For what came from outside and is gone.
  virtual void RemoveGauge(std::string_view name, const MetricLabels& labels) = 0;
  virtual Histogram& GetHistogram(std::string_view name, std::string_view help, const MetricLabels& labels = {},
                                  const std::vector<double>& buckets = SecondsBuckets()) = 0;

  // Called before each rendering, one after the other and never twice at once, to set gauges that are cheaper to read
  // than to keep. It must not render, nor add to OnRender, and what it captures must outlive this.
  virtual void OnRender(std::function<void()> refresh) = 0;

  // The text exposition format 0.0.4, all families.
  virtual std::string Render() const = 0;
};

}  // namespace mi::telemetry
