// Gauges that are read when somebody looks, not kept all the time.
#pragma once

#include <functional>
#include <memory>

#include "base/mutex.h"
#include "catalog/catalog.h"
#include "dedupe/seen_set.h"
#include "telemetry/metrics.h"

namespace mi::app {

// Refreshes gauges whenever metrics are rendered, as long as it lives. `metrics` outlives it, and cannot forget a
// callback.
//
// Threads: its end waits for a refresh that runs.
class [[nodiscard]] Figures {
 public:
  Figures(telemetry::Metrics& metrics, std::function<void()> refresh);
  ~Figures();
  Figures(const Figures&) = delete;
  Figures& operator=(const Figures&) = delete;

 private:
  struct Shared {
    Mutex mutex;
    std::function<void()> refresh GUARDED_BY(mutex);
  };
  const std::shared_ptr<Shared> shared_;  // with the registry
};

// What they show outlives the figures.
Figures ShowSeenTable(const dedupe::SeenSet& seen, telemetry::Metrics& metrics);
Figures ShowCatalog(const catalog::Catalog& catalog, telemetry::Metrics& metrics);

}  // namespace mi::app
