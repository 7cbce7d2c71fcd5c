// Gauges that are computed when metrics are rendered, because keeping them up to date all the time would cost more.
#pragma once

#include <functional>
#include <memory>

#include "base/mutex.h"
#include "catalog/catalog.h"
#include "dedupe/seen_set.h"
#include "telemetry/metrics.h"

namespace mi::app {

// Calls `refresh` before each rendering of `metrics`, until it is destroyed. `metrics` must outlive it.
//
// Threads: the destructor waits for a refresh that runs.
class [[nodiscard]] RenderedGauges {
 public:
  RenderedGauges(telemetry::Metrics& metrics, std::function<void()> refresh);
  ~RenderedGauges();
  RenderedGauges(const RenderedGauges&) = delete;
  RenderedGauges& operator=(const RenderedGauges&) = delete;

 private:
  struct Shared {
    Mutex mutex;
    std::function<void()> refresh GUARDED_BY(mutex);  // null once this object is destroyed
  };
  const std::shared_ptr<Shared> shared_;  // with the registry, which cannot forget a callback
};

// `seen` and `catalog` must outlive the gauges.
RenderedGauges ShowSeenTable(const dedupe::SeenSet& seen, telemetry::Metrics& metrics);
RenderedGauges ShowCatalog(const catalog::Catalog& catalog, telemetry::Metrics& metrics);

}  // namespace mi::app
