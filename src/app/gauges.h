// Gauges that are computed when metrics are rendered, because keeping them up to date all the time would cost more.
#pragma once

#include <memory>
#include <vector>

#include "base/clock.h"
#include "catalog/catalog.h"
#include "dedupe/seen_set.h"
#include "net/server.h"
#include "stream/ports.h"
#include "telemetry/metrics.h"

namespace mi::app {

// The gauges are refreshed until the returned object is destroyed. The arguments must outlive it.
[[nodiscard]] std::shared_ptr<void> ShowServer(net::Server& server, telemetry::Metrics& metrics);
[[nodiscard]] std::shared_ptr<void> ShowSeenTable(const dedupe::SeenSet& seen, telemetry::Metrics& metrics);
[[nodiscard]] std::shared_ptr<void> ShowCatalog(const catalog::Catalog& catalog, telemetry::Metrics& metrics);
// How far the index is behind the stream, over all its consumers.
[[nodiscard]] std::shared_ptr<void> ShowIndexLag(const std::vector<const stream::SeriesConsumer*>& consumers,
                                                 const Clock& clock, telemetry::Metrics& metrics);

}  // namespace mi::app
