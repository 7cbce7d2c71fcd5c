#include "index/metrics.h"

#include <algorithm>

namespace mi::index {

LagProbe::LagProbe(const Clock& clock, telemetry::Metrics& metrics)
    : clock_(clock),
      records_(metrics.GetGauge("index_lag_records", "Series (journal) or records (Kafka) that wait to be indexed.")),
      seconds_(metrics.GetGauge("index_lag_seconds", "Since the oldest of them was received, seconds.")) {}

std::shared_ptr<LagProbe> LagProbe::Create(const Clock& clock, telemetry::Metrics& metrics) {
  std::shared_ptr<LagProbe> probe(new LagProbe(clock, metrics));
  metrics.OnRender([weak = std::weak_ptr(probe)] {
    if (const auto alive = weak.lock()) alive->Refresh();
  });
  return probe;
}

void LagProbe::Watch(const stream::SeriesConsumer& consumer) {
  MutexLock lock(mutex_);
  consumers_.push_back(&consumer);
}

void LagProbe::Forget(const stream::SeriesConsumer& consumer) {
  MutexLock lock(mutex_);
  std::erase(consumers_, &consumer);
}

void LagProbe::Refresh() {
  uint64_t records = 0;
  int64_t behind_ms = 0;
  const int64_t now_ms = clock_.NowMs();
  MutexLock lock(mutex_);
  for (const stream::SeriesConsumer* consumer : consumers_) {
    const stream::SeriesConsumer::Lag lag = consumer->CurrentLag();
    records += lag.records;
    if (lag.records > 0) behind_ms = std::max(behind_ms, now_ms - lag.oldest_seen_at_ms);
  }
  records_.Set(static_cast<double>(records));
  seconds_.Set(static_cast<double>(behind_ms) / 1000);
}

}  // namespace mi::index
