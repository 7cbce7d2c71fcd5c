// What all adapters are given, and the metrics that several of them share. telemetry::Metrics owns the metrics.
#pragma once

#include <string>

#include "base/clock.h"
#include "base/fatal.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::stream {

struct StreamDeps {
  const Clock& clock;
  telemetry::Logger& log;
  telemetry::Metrics& metrics;
  FatalHandler fatal;
};

// Of every publisher.
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

inline telemetry::Counter& ActivityDropped(telemetry::Metrics& m) {
  return m.GetCounter("activity_dropped_total",
                      "Sightings of known series that were dropped because the index is behind.");
}

}  // namespace mi::stream
