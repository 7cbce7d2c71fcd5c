// Puts records aside into `<topic>-dead-letter`: the bytes as they came, under their key, with headers that say why and
// where from. Makes the topic where there is none.
//
// Threads: confined to one, but for Wake(), which is safe; its producer is made with the first letter.
// Errors: kUnavailable: not acknowledged.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/result.h"
#include "stream/kafka_client.h"
#include "stream/ports.h"

namespace mi::stream {

class KafkaDeadLetters final : private KafkaEvents {
 public:
  KafkaDeadLetters(const KafkaOptions& options, telemetry::Logger& log) : options_(options), log_(log) {}

  // Returns when the brokers have it. One that is too large for the topic is cut, and a header says how long it was.
  Status Write(const PoisonRecord& record);
  // Gives up a letter that waits for the brokers; when none does, the next one that would.
  void Wake() { woken_ = true; }

 private:
  Status Prepare(const std::string& topic);
  rd_kafka_resp_err_t Send(const std::string& topic, const PoisonRecord& record, size_t whole_bytes);
  void OnDelivery(const rd_kafka_message_t& record) override;

  const KafkaOptions options_;
  telemetry::Logger& log_;
  std::unique_ptr<KafkaClient> client_;
  std::string prepared_;  // the topic that is known to exist
  std::atomic<bool> woken_ = false;
  bool reported_ = false;  // of the letter that is under way
  rd_kafka_resp_err_t outcome_ = RD_KAFKA_RESP_ERR_NO_ERROR;
};

}  // namespace mi::stream
