// What the operating system knows of this process, under the names that every exporter uses (process_cpu_seconds_total,
// …), without our prefix: dashboards made for any service show this one too.
#pragma once

#include <prometheus/metric_family.h>

#include <vector>

namespace mi::telemetry {

// Values that /proc does not give are left out. Threads: safe.
std::vector<prometheus::MetricFamily> CollectProcessMetrics();

}  // namespace mi::telemetry
