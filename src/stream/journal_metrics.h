// What the journal counts. Owned by telemetry::Metrics; one of these borrows them.
#pragma once

#include "stream/publish_metrics.h"
#include "telemetry/metrics.h"

namespace mi::stream {

struct JournalMetrics : PublishMetrics {
  explicit JournalMetrics(telemetry::Metrics& m)
      : PublishMetrics(m),
        bytes(m.GetGauge("journal_bytes", "Pages of the journal in use, bytes; bounded by journal.max_bytes.")) {}

  telemetry::Gauge& bytes;
};

}  // namespace mi::stream
