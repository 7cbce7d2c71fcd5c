// What every publisher counts, whatever stream is behind it. Owned by telemetry::Metrics; this borrows them.
#pragma once

#include <string>

#include "telemetry/metrics.h"

namespace mi::stream {

struct PublishMetrics {
  explicit PublishMetrics(telemetry::Metrics& m)
      : metrics(m),
        published(m.GetCounter("stream_published_total", "Series that became durable in the stream.")),
        publish_seconds(m.GetHistogram("stream_publish_seconds", "From publishing a batch to its answer, seconds.")) {}

  telemetry::Counter& errors(const std::string& reason) {
    return metrics.GetCounter("stream_publish_errors_total", "Batches that could not be published, by reason.",
                              {{"reason", reason}});
  }

  telemetry::Metrics& metrics;
  telemetry::Counter& published;
  telemetry::Histogram& publish_seconds;
};

}  // namespace mi::stream
