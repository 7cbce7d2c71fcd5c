// Gauges that are computed when metrics are rendered, because keeping them up to date all the time would cost more.
#pragma once

#include <memory>

#include "catalog/catalog.h"
#include "dedupe/seen_set.h"
#include "telemetry/metrics.h"

namespace mi::app {

// The gauges are refreshed until the returned object is destroyed. `seen`, `catalog` and `metrics` must outlive it.
[[nodiscard]] std::shared_ptr<void> ShowSeenTable(const dedupe::SeenSet& seen, telemetry::Metrics& metrics);
[[nodiscard]] std::shared_ptr<void> ShowCatalog(const catalog::Catalog& catalog, telemetry::Metrics& metrics);

}  // namespace mi::app
