#include "index/index_metrics.h"

#include <algorithm>

namespace mi::index {

LagProbe::LagProbe(const stream::SeriesConsumer& consumer, const Clock& clock, telemetry::Metrics& metrics)
    : consumer_(&consumer),
      clock_(clock),
      records_(metrics.GetGauge("index_lag_records", "Series (journal) or records (Kafka) that wait to be indexed.")),
      seconds_(metrics.GetGauge("index_lag_seconds", "Since the oldest of them was received, seconds.")) {}

std::shared_ptr<LagProbe> LagProbe::Create(const stream::SeriesConsumer& consumer, const Clock& clock,
                                           telemetry::Metrics& metrics) {
  std::shared_ptr<LagProbe> probe(new LagProbe(consumer, clock, metrics));
  metrics.OnRender([weak = std::weak_ptr(probe)] {
    if (const auto alive = weak.lock()) alive->Refresh();
  });
  return probe;
}

void LagProbe::Refresh() {
  MutexLock lock(mutex_);
  if (consumer_ == nullptr) return;
  const stream::SeriesConsumer::Lag lag = consumer_->CurrentLag();
  const int64_t behind_ms = lag.records == 0 ? 0 : std::max<int64_t>(0, clock_.NowMs() - lag.oldest_seen_at_ms);
  records_.Set(static_cast<double>(lag.records));
  seconds_.Set(static_cast<double>(behind_ms) / 1000);
}

}  // namespace mi::index
