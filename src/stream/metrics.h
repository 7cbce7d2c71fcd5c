// The metrics of the publishers. telemetry::Metrics owns them; these structs hold references to them.
#pragma once

#include <string>

#include "telemetry/metrics.h"

namespace mi::stream {

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

struct JournalMetrics : PublishMetrics {
  explicit JournalMetrics(telemetry::Metrics& m)
      : PublishMetrics(m),
        bytes(m.GetGauge("journal_bytes", "Pages of the journal in use, bytes; bounded by journal.max_bytes.")) {}

  telemetry::Gauge& bytes;
};

inline telemetry::Counter& ActivityDropped(telemetry::Metrics& m) {
  return m.GetCounter("activity_dropped_total",
                      "Sightings of known series that were dropped because the index is behind.");
}

struct KafkaPublishMetrics : PublishMetrics {
  explicit KafkaPublishMetrics(telemetry::Metrics& m)
      : PublishMetrics(m),
        up(m.GetGauge("kafka_up", "1 while Kafka takes what is published, 0 while it does not.")),
        queued(m.GetGauge("kafka_queue_records", "Records that wait for the brokers' acknowledgement.")) {}

  telemetry::Gauge& up;
  telemetry::Gauge& queued;
};

}  // namespace mi::stream
