// What everything that speaks to Kafka has in common: where the brokers are, and how librdkafka is set up.
//
// Any option of librdkafka is taken by its own name. Ours are defaults, but for those that keep a promise of this
// service: the configuration refuses to change them (config/relations.cc), and here they win.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::stream {

struct KafkaOptions {
  std::vector<std::string> hosts;                 // metric_store.producer.hosts, metric_store.consumer.hosts: host:port
  std::map<std::string, std::string> librdkafka;  // librdkafka.*
  std::string identity_secret;                    // identity.secret: records hold labels, fingerprints are made of them
};

struct KafkaDeps {
  const Clock& clock;
  telemetry::Logger& log;
  telemetry::Metrics& metrics;
};

// kInvalid: librdkafka knows no such option, or not this value of it; the message names the key. Connects to nobody.
Status CheckKafkaOptions(const std::map<std::string, std::string>& librdkafka);

inline std::string ActivityTopic(std::string_view topic) { return std::string(topic) + "-activity"; }
inline std::string DeadLetterTopic(std::string_view topic) { return std::string(topic) + "-dead-letter"; }

}  // namespace mi::stream
