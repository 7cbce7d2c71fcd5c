// The topic that is published to, and the activity topic beside it: whether they can be written, and what they take.
// Makes them where they are missing and that is allowed.
//
// Threads: confined to one; each call waits for the brokers' answers.
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"
#include "stream/kafka_client.h"
#include "telemetry/log.h"

namespace mi::stream {

class KafkaSeriesTopic {
 public:
  // -1 partitions: as the broker does by default.
  KafkaSeriesTopic(std::string name, int new_partitions, std::chrono::milliseconds admin_timeout,
                   telemetry::Logger& log)
      : name_(std::move(name)), new_partitions_(new_partitions), admin_timeout_(admin_timeout), log_(log) {}

  // Why the topic cannot be written now.
  Status Check(const KafkaClient& client);
  // What the topic takes at once, in bytes; 0 when nobody says.
  size_t max_bytes() const { return max_bytes_; }
  // Its settings are read again by the next Check.
  void Doubt() { known_ = false; }

 private:
  void Learn(const KafkaClient& client);
  void MakeActivityTopic(const KafkaClient& client);

  const std::string name_;
  const int new_partitions_;
  const std::chrono::milliseconds admin_timeout_;
  telemetry::Logger& log_;
  bool known_ = false;
  size_t max_bytes_ = 0;
  std::string logged_;  // why its settings are not known
};

}  // namespace mi::stream
