// Gauges that are read when somebody looks, not kept all the time.
#pragma once

#include "catalog/catalog.h"
#include "dedupe/seen_set.h"
#include "telemetry/metrics.h"

namespace mi::app {

// Both outlive `metrics`' last rendering.
void ShowSeenTable(const dedupe::SeenSet& seen, telemetry::Metrics& metrics);
void ShowCatalog(const catalog::Catalog& catalog, telemetry::Metrics& metrics);

}  // namespace mi::app
