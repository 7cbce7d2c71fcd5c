// The topics of this service: their names, and how they are created, checked and described.
//
// Threads: each call uses the given client and waits for a broker's answer, at most for the given time.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "stream/kafka/client.h"
#include "telemetry/log.h"

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

// The topic that the publisher writes to, and the activity topic beside it. Creates them if they are missing.
// Threads: confined to one.
class KafkaPublishTopic {
 public:
  // -1 partitions: the broker's default.
  KafkaPublishTopic(std::string name, int new_partitions, std::chrono::milliseconds admin_timeout,
                    telemetry::Logger& log)
      : name_(std::move(name)), new_partitions_(new_partitions), admin_timeout_(admin_timeout), log_(log) {}

  // Fails with the reason why the topic cannot be written now. The first check also reads the topic's settings.
  Status Check(const KafkaClient& client);
  // The largest batch that the topic accepts, in bytes (max.message.bytes); 0 if it could not be read.
  size_t max_bytes() const { return max_bytes_; }
  // The next Check reads the settings again.
  void ForgetSettings() { settings_read_ = false; }

 private:
  void ReadSettings(const KafkaClient& client);
  void CreateActivityTopic(const KafkaClient& client);

  const std::string name_;
  const int new_partitions_;
  const std::chrono::milliseconds admin_timeout_;
  telemetry::Logger& log_;
  bool settings_read_ = false;
  size_t max_bytes_ = 0;
  std::string logged_;  // the last reason why the settings could not be read
};

}  // namespace mi::stream
