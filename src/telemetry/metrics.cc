#include "telemetry/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <iterator>

#include "base/utf8.h"
#include "telemetry/process_metrics.h"

namespace mi::telemetry {
namespace {

// The family of a name. The registry returns the family that exists, if there is one; likewise Family::Add returns the
// metric that exists for the same labels. The registry throws for one name of two kinds and for an invalid name: that
// is a fault of ours, and nobody catches.
template <typename Builder>
auto& FamilyOf(Builder builder, std::string_view name, std::string_view help, prometheus::Registry& registry) {
  return builder.Name("metric_index_" + std::string(name)).Help(std::string(help)).Register(registry);
}

// Label values come from outside (URLs, tenants). One that is not UTF-8 would make the whole scrape invalid.
prometheus::Labels ToLabels(const MetricLabels& labels) {
  prometheus::Labels valid;
  for (const auto& [name, value] : labels) valid.emplace(name, ToValidUtf8(value));
  return valid;
}

}  // namespace

void Counter::Add(double by) { counter_.Increment(by); }
double Counter::Value() const { return counter_.Value(); }

void Gauge::Set(double value) { gauge_.Set(value); }
void Gauge::Add(double by) { gauge_.Increment(by); }
double Gauge::Value() const { return gauge_.Value(); }

void Histogram::Observe(double value) { histogram_.Observe(value); }

const std::vector<double>& SecondsBuckets() {
  static const std::vector<double> kBuckets = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                               0.1,    0.25,    0.5,    1,     2.5,    5,     10,   30};
  return kBuckets;
}

Metrics::Metrics() : registry_(std::make_unique<prometheus::Registry>()) {}
Metrics::~Metrics() = default;

Counter& Metrics::GetCounter(std::string_view name, std::string_view help, const MetricLabels& labels) {
  MutexLock lock(mutex_);
  auto& counter = FamilyOf(prometheus::BuildCounter(), name, help, *registry_).Add(ToLabels(labels));
  return counters_.try_emplace(&counter, counter).first->second;
}

Gauge& Metrics::GetGauge(std::string_view name, std::string_view help, const MetricLabels& labels) {
  MutexLock lock(mutex_);
  auto& gauge = FamilyOf(prometheus::BuildGauge(), name, help, *registry_).Add(ToLabels(labels));
  return gauges_.try_emplace(&gauge, gauge).first->second;
}

Histogram& Metrics::GetHistogram(std::string_view name, std::string_view help, const MetricLabels& labels,
                                 const std::vector<double>& buckets) {
  MutexLock lock(mutex_);
  auto& histogram = FamilyOf(prometheus::BuildHistogram(), name, help, *registry_).Add(ToLabels(labels), buckets);
  return histograms_.try_emplace(&histogram, histogram).first->second;
}

void Metrics::RemoveGauge(std::string_view name, const MetricLabels& labels) {
  MutexLock lock(mutex_);
  auto& family = FamilyOf(prometheus::BuildGauge(), name, "", *registry_);
  auto& gauge = family.Add(ToLabels(labels));  // finds it, or makes one to be removed at once
  gauges_.erase(&gauge);
  family.Remove(&gauge);
}

void Metrics::OnRender(std::function<void()> refresh) {
  MutexLock lock(render_mutex_);
  refreshes_.push_back(std::move(refresh));
}

// The destructor of the result takes the lock that Render() holds while it calls the functions. So once it has
// returned, `refresh` neither runs nor will run, and what it uses may be destroyed. A list keeps `at` valid while
// others come and go. Render() and `refresh` may take mutex_ below render_mutex_, never the other way round.
std::shared_ptr<void> Metrics::RefreshWhileHeld(std::function<void()> refresh) {
  MutexLock lock(render_mutex_);
  const auto at = refreshes_.insert(refreshes_.end(), std::move(refresh));
  return {this, [this, at](void*) {
            MutexLock deleter_lock(render_mutex_);
            refreshes_.erase(at);
          }};
}

std::string Metrics::Render() const {
  MutexLock lock(render_mutex_);
  for (const auto& refresh : refreshes_) refresh();
  auto families = registry_->Collect();
  auto process = CollectProcessMetrics();
  families.insert(families.end(), std::make_move_iterator(process.begin()), std::make_move_iterator(process.end()));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace mi::telemetry
