// The metrics of the index. telemetry::Metrics owns them.
#pragma once

#include <string>
#include <string_view>

#include "telemetry/metrics.h"

namespace mi::index {

// Who keeps store_up and store_errors_total. MySQL's catalogue does it itself, with error kinds of its own.
enum class StoreFigures { kByWorker, kByStore };

struct IndexMetrics {
  IndexMetrics(telemetry::Metrics& m, StoreFigures store)
      : metrics(m),
        store_figures(store),
        inserted(Series("inserted")),
        existing(Series("existing")),
        refused(Series("refused")),
        healed(Series("healed")),
        seen_updated(m.GetCounter("index_seen_updates_total", "Series whose last_seen was moved by activity.")),
        batch_seconds(m.GetHistogram("index_batch_seconds", "One transaction of the index, seconds.")),
        batch_limit(m.GetGauge("index_batch_limit",
                               "Most records of one transaction: halved while the store is too slow for them.")) {
    // Shown from the start: a rate over a counter that appears with its first error misses that error.
    for (const char* reason : {"undecodable", "refused", "collision"}) dead_letters(reason);
    NoteStoreUp(true);
  }

  telemetry::Counter& dead_letters(std::string_view reason) {
    return metrics.GetCounter("index_dead_letters_total", "Records that were put aside, by reason.",
                              {{"reason", std::string(reason)}});
  }
  void NoteStoreUp(bool up) {
    if (store_figures == StoreFigures::kByStore) return;
    metrics.GetGauge("store_up", "1 while the store takes what the index brings, 0 while it does not.").Set(up ? 1 : 0);
  }
  void CountStoreError(std::string_view kind) {
    if (store_figures == StoreFigures::kByStore) return;
    metrics.GetCounter("store_errors_total", "Failed calls of the store, by kind.", {{"kind", std::string(kind)}})
        .Add();
  }
  telemetry::Counter& Series(std::string_view result) {
    return metrics.GetCounter("index_series_total",
                              "Series that the index brought to the store, by what became of them.",
                              {{"result", std::string(result)}});
  }

  telemetry::Metrics& metrics;
  const StoreFigures store_figures;
  telemetry::Counter& inserted;
  telemetry::Counter& existing;
  telemetry::Counter& refused;
  telemetry::Counter& healed;  // also counted in existing
  telemetry::Counter& seen_updated;
  telemetry::Histogram& batch_seconds;
  telemetry::Gauge& batch_limit;
};

}  // namespace mi::index
