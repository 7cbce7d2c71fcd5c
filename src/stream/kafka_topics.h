// Makes topics and reads their settings, through a handle that is there already.
//
// Threads: as the handle's. Each call waits for a broker's answer, at most so long as it is told.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "base/result.h"
#include "stream/kafka_client.h"

namespace mi::stream {

struct KafkaNewTopic {
  std::string name;
  int partitions = -1;  // -1: as the broker does by default
  KafkaSettings settings;
};

// Returns when the brokers know it. Success too when the topic exists already.
Status MakeTopic(const KafkaClient& client, const KafkaNewTopic& topic, std::chrono::milliseconds timeout);

Result<std::map<std::string, std::string>> ReadTopicSettings(const KafkaClient& client, const std::string& topic,
                                                             std::chrono::milliseconds timeout);

}  // namespace mi::stream
