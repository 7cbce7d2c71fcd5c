// What the journal counts. Owned by telemetry::Metrics; one of these borrows them.
#pragma once

#include <string>

#include "base/result.h"
#include "telemetry/metrics.h"

namespace mi::stream {

struct JournalMetrics {
  explicit JournalMetrics(telemetry::Metrics& m)
      : metrics(m),
        published(m.GetCounter("stream_published_total", "Series that became durable in the stream.")),
        publish_seconds(m.GetHistogram("stream_publish_seconds", "From publishing a batch to its answer, seconds.")),
        bytes(m.GetGauge("journal_bytes", "Pages of the journal in use, bytes; bounded by journal.max_bytes.")) {}

  telemetry::Counter& errors(const std::string& reason) {
    return metrics.GetCounter("stream_publish_errors_total", "Batches that could not be published, by reason.",
                              {{"reason", reason}});
  }

  telemetry::Metrics& metrics;
  telemetry::Counter& published;
  telemetry::Histogram& publish_seconds;
  telemetry::Gauge& bytes;
};

}  // namespace mi::stream
