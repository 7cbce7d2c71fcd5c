// Activity on its way to Kafka: gathered by KafkaSightings, sent as records of the activity topic, dropped and counted
// where it cannot be. A hint is not worth a wait.
//
// Threads: Add and empty are safe; the rest is the polling thread's.
#pragma once

#include <cstddef>
#include <span>

#include "model/series_batch.h"
#include "stream/kafka_metrics.h"
#include "stream/kafka_producer.h"
#include "stream/kafka_publisher.h"
#include "stream/kafka_sightings.h"

namespace mi::stream {

class KafkaActivity {
 public:
  // `metrics` outlives it.
  KafkaActivity(const KafkaPublisherOptions& options, KafkaPublishMetrics& metrics);

  void Add(const model::ActivityBatch& batch, KafkaSightings::TimePoint now);
  // Nothing is gathered or under way.
  bool empty() const { return sightings_.empty(); }

  // What is due; all of it when `at_once`. To nobody when `away`. True when nothing is left then.
  bool Send(const KafkaProducer& producer, bool away, KafkaSightings::TimePoint now, bool at_once);
  // Lost or not, it is no longer under way. True when it was the last. Needs no memory.
  bool OnDelivery(const rd_kafka_message_t& record);

 private:
  bool SendOne(const KafkaProducer& producer, int64_t seen_at_ms, std::span<const model::Fingerprint> part) const;
  bool Settle(size_t fingerprints, bool sent);

  const uint32_t window_s_;
  const uint64_t secret_check_;
  KafkaPublishMetrics& metrics_;
  KafkaSightings sightings_;
};

}  // namespace mi::stream
