// One life of a producer: the handle with its topics, and how large a record and a batch of them may be. The publisher
// makes another when librdkafka says that this one is at its end, or when the topic turns out to take less.
//
// Threads: safe.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "stream/kafka_client.h"

namespace mi::stream {

class KafkaProducer {
 public:
  struct Record {
    std::string_view key;
    std::string_view value;
    void* seat = nullptr;  // comes back with the delivery report
  };

  // Lower than what the user set, when the topic takes less; 0: as set.
  struct Limits {
    size_t max_bytes = 0;    // librdkafka.message.max.bytes: of a record
    size_t batch_bytes = 0;  // batch.size: of records that travel together. The first of them may be larger
  };
  static Result<std::unique_ptr<KafkaProducer>> Create(const KafkaOptions& options, const std::string& topic,
                                                       const std::string& side_topic, const Limits& limits,
                                                       telemetry::Logger& log, KafkaEvents& events);

  // Copies the record into the queue. kOverloaded: the queue is full. kTooLarge: the record never will fit.
  Status Send(const Record& record) const { return SendTo(topic_.get(), record); }
  Status SendAside(const Record& record) const { return SendTo(side_topic_.get(), record); }
  // Serves delivery reports for so long, or until there were some.
  void Poll(std::chrono::milliseconds wait) const { rd_kafka_poll(client_->handle(), static_cast<int>(wait.count())); }
  // Gives up what waits and what is under way: the reports say so.
  void GiveUp() const { rd_kafka_purge(client_->handle(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT); }
  size_t queued() const { return static_cast<size_t>(rd_kafka_outq_len(client_->handle())); }

  KafkaClient& client() const { return *client_; }
  const Limits& limits() const { return limits_; }

 private:
  KafkaProducer(std::unique_ptr<KafkaClient> client, const std::string& topic, const std::string& side_topic);
  Status SendTo(rd_kafka_topic_t* topic, const Record& record) const;

  const std::unique_ptr<KafkaClient> client_;
  const std::string name_;
  const KafkaTopicPtr topic_;
  const KafkaTopicPtr side_topic_;
  const Limits limits_;
};

}  // namespace mi::stream
