// The options of the Kafka adapters. The defaults are the documented ones.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mi::stream {

// What all adapters share. `librdkafka` takes any option of librdkafka under its own name. It wins over our defaults,
// except for the settings that keep a promise of this service: the configuration refuses to change those
// (config/relations.cc).
struct KafkaOptions {
  std::vector<std::string> hosts;                 // metric_store.producer.hosts, metric_store.consumer.hosts: host:port
  std::map<std::string, std::string> librdkafka;  // librdkafka.*
  std::string identity_secret;                    // identity.secret: fingerprints are derived with it

  bool operator==(const KafkaOptions&) const = default;
};

struct KafkaPublisherOptions {
  KafkaOptions kafka;
  std::string topic = "metric-index";               // metric_store.producer.topic
  std::chrono::seconds activity_interval{3'600};    // catalog.activity_interval: written into activity records
  std::chrono::milliseconds activity_delay{1'000};  // how long activity is collected before it is sent
  size_t max_activity_fingerprints = 1'000'000;     // collected or in flight; more is dropped and counted
  std::chrono::milliseconds probe_interval{1'000};  // how often unavailable brokers are asked
  std::chrono::milliseconds stop_timeout{5'000};    // how long Stop() waits for acknowledgements
  std::chrono::milliseconds admin_timeout{5'000};   // for creating topics and reading their settings
  int new_topic_partitions = -1;                    // -1: the broker's default

  bool operator==(const KafkaPublisherOptions&) const = default;
};

// Also for KafkaActivityConsumer, which appends "-activity" to the topics and to the group.
struct KafkaConsumerOptions {
  KafkaOptions kafka;
  std::vector<std::string> topics = {"metric-index"};  // metric_store.consumer.topics
  std::string group_id = "metric-index-worker-v1";     // metric_store.consumer.group_id
  std::string offset_type = "oldest";                  // metric_store.consumer.offset_type: oldest, newest

  bool operator==(const KafkaConsumerOptions&) const = default;
};

struct KafkaReplayOptions {
  KafkaOptions kafka;
  std::vector<std::string> topics = {"metric-index"};
  std::optional<int64_t> from_ms;  // only records with this Kafka timestamp or a later one; nullopt: all records
  // Several replays can share the work. Each reads the partitions with number % lanes == lane.
  unsigned lane = 0;
  unsigned lanes = 1;
};

}  // namespace mi::stream
