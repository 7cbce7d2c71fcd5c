// What the Kafka adapters count. Owned by telemetry::Metrics; these borrow them.
#pragma once

#include <string>

#include "stream/publish_metrics.h"
#include "telemetry/metrics.h"

namespace mi::stream {

struct KafkaPublishMetrics : PublishMetrics {
  explicit KafkaPublishMetrics(telemetry::Metrics& m)
      : PublishMetrics(m),
        up(m.GetGauge("kafka_up", "1 while Kafka takes what is published, 0 while it does not.")),
        queued(m.GetGauge("kafka_queue_records", "Records that wait for the brokers' acknowledgement.")),
        restarts(m.GetCounter("kafka_producer_restarts_total",
                              "Producers that were made anew, after an error that ends one or for another limit.")),
        activity_dropped(m.GetCounter("activity_dropped_total",
                                      "Sightings of known series that were dropped because the index is behind.")) {}

  telemetry::Gauge& up;
  telemetry::Gauge& queued;
  telemetry::Counter& restarts;
  telemetry::Counter& activity_dropped;
};

struct KafkaReadMetrics {
  explicit KafkaReadMetrics(telemetry::Metrics& m)
      : metrics(m), tombstones(m.GetCounter("kafka_tombstones_total", "Records without a value, which are skipped.")) {}

  telemetry::Gauge& lag(const std::string& topic, int32_t partition) {
    return metrics.GetGauge("kafka_lag_records",
                            "Offsets of a partition that wait to be applied; 0 where another process reads it.",
                            {{"topic", topic}, {"partition", std::to_string(partition)}});
  }

  telemetry::Metrics& metrics;
  telemetry::Counter& tombstones;
};

}  // namespace mi::stream
