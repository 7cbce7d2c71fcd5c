// Writes records that can never be applied to `<topic>-dead-letter`: key and bytes as they came, with headers that hold
// the reason and the origin. Creates the topic if it is missing.
//
// Threads: confined to one, except Wake(), which is safe. Its producer is created with the first letter.
// Errors: kUnavailable: not acknowledged.
#pragma once

#include <atomic>
#include <memory>

#include "stream/kafka/client.h"
#include "stream/ports.h"

namespace mi::stream {

class KafkaDeadLetters {
 public:
  KafkaDeadLetters(const KafkaOptions& options, const StreamDeps& deps) : options_(options), deps_(deps) {}

  // Returns when the brokers have the record. One that is too large for the topic is cut, and a header states its
  // original length.
  Status Write(const PoisonRecord& record);
  // Gives up a letter that waits for the brokers; if none waits, the next one that would.
  void Wake() { woken_ = true; }

 private:
  Status PrepareTopic(const std::string& topic);
  rd_kafka_resp_err_t Send(const std::string& topic, const PoisonRecord& record, size_t original_bytes);

  const KafkaOptions options_;
  const StreamDeps deps_;
  std::unique_ptr<KafkaClient> client_;
  std::string prepared_;  // the topic that is known to exist
  std::atomic<bool> woken_ = false;
  std::optional<rd_kafka_resp_err_t> delivered_;  // the outcome of the letter in flight
};

}  // namespace mi::stream
