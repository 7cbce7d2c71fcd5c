// The topics of this service: their names, and how they are created and described.
//
// Threads: each call uses the given client and waits for a broker's answer, at most for the given time.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>

#include "stream/kafka/client.h"

namespace mi::stream {

inline std::string ActivityTopic(std::string_view topic) { return std::string(topic) + "-activity"; }
inline std::string DeadLetterTopic(std::string_view topic) { return std::string(topic) + "-dead-letter"; }

struct KafkaNewTopic {
  std::string name;
  int partitions = -1;  // -1: the broker's default
  KafkaSettings settings;
};

// Returns when the brokers know the topic. Also succeeds if it exists already.
Status CreateTopic(const KafkaClient& client, const KafkaNewTopic& topic, std::chrono::milliseconds timeout);

Result<std::map<std::string, std::string>> ReadTopicSettings(const KafkaClient& client, const std::string& topic,
                                                             std::chrono::milliseconds timeout);

}  // namespace mi::stream
