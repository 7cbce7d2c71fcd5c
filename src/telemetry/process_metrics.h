// What the system knows of this process, under the names that every exporter gives it: process_cpu_seconds_total and
// its kin, without our prefix, so that dashboards made for any service show this one.
#pragma once

#include <prometheus/collectable.h>

#include <vector>

namespace mi::telemetry {

// Threads: safe. Values that /proc does not give are left out.
class ProcessMetrics final : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override;
};

}  // namespace mi::telemetry
