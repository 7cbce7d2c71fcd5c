#include "stream/kafka/dead_letters.h"

#include <algorithm>

#include "base/format.h"
#include "codec/kafka_record.h"

namespace mi::stream {
namespace {

constexpr size_t kCutTo = 64UL << 10;

// With key and value as a producer writes them, so that the letter can be sent again.
PoisonRecord AsPublished(const PoisonRecord& record) {
  PoisonRecord letter = record;
  if (record.record == nullptr) return letter;
  const model::SeriesBatch& batch = *record.record;
  codec::KafkaRecordText text;
  if (batch.metadata().empty()) {
    if (!codec::EncodeSeriesRecord(batch.tenant(), batch.seen_at_ms(), batch[0].labels, text)) return letter;
  } else {
    codec::EncodeMetadataRecord(batch.tenant(), batch.seen_at_ms(), batch.metadata().front(), text);
  }
  letter.key = text.key;
  letter.bytes = text.value;
  return letter;
}

}  // namespace

// One letter at a time, sent synchronously. The worker stores the position behind an undecodable or refused record only
// after this has succeeded. So a crash in between writes the letter again: it may be there twice, but is never lost.
// (Collisions differ, see index/applier.cc.) A failure forgets that the topic exists (prepared_), so that the next
// attempt creates a topic that was deleted meanwhile.
Status KafkaDeadLetters::Write(const PoisonRecord& record) {
  const std::string topic = DeadLetterTopic(record.at.stream);
  TRY(PrepareTopic(topic));
  PoisonRecord letter = AsPublished(record);
  const size_t original_bytes = letter.bytes.size();
  rd_kafka_resp_err_t error = Send(topic, letter, original_bytes);
  // The second one: larger than the topic's segment.bytes.
  if (error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || error == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE) {
    // A key can be as large as the record, and a reason can quote it.
    for (std::string* text : {&letter.bytes, &letter.key, &letter.reason}) text->resize(std::min(text->size(), kCutTo));
    error = Send(topic, letter, original_bytes);
  }
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  prepared_.clear();
  if (error == RD_KAFKA_RESP_ERR__PURGE_QUEUE || error == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT) {
    return Fail(Errc::kUnavailable, format("the letter to topic {} was given up: the worker is stopping", topic));
  }
  return Fail(client_->Explain(error, "write a dead letter to topic " + topic));
}

Status KafkaDeadLetters::PrepareTopic(const std::string& topic) {
  if (client_ == nullptr) {
    client_ = TRY(KafkaClient::Create(
        {.type = RD_KAFKA_PRODUCER,
         .hosts_option = "metric_store.consumer.hosts",
         .topic_option = "metric_store.consumer.topics",
         .defaults = {{"message.timeout.ms", "10000"},
                      {"linger.ms", "0"},
                      {"compression.codec", "snappy"},
                      {"allow.auto.create.topics", "false"}},
         .fixed = {{"enable.idempotence", "true"}, {"acks", "all"}, {"delivery.report.only.error", "false"}},
         .on_delivery = [this](const rd_kafka_message_t& record) { delivered_ = record.err; }},
        options_, deps_));
  }
  if (prepared_ == topic) return {};
  if (!TRY(client_->AskTopic(topic, kBrokerTimeout)).exists) {
    TRY(client_->CreateTopic(
        {.name = topic, .partitions = 1, .settings = {{"cleanup.policy", "delete"}, {"retention.ms", "-1"}}},
        kBrokerTimeout));
    deps_.log.Info("kafka: topic {} did not exist and was created", topic);
  }
  prepared_ = topic;
  return {};
}

rd_kafka_resp_err_t KafkaDeadLetters::Send(const std::string& topic, const PoisonRecord& record,
                                           size_t original_bytes) {
  rd_kafka_headers_t* headers = rd_kafka_headers_new(5);
  const auto add = [&](const char* name, const std::string& value) {
    rd_kafka_header_add(headers, name, -1, value.data(), static_cast<ssize_t>(value.size()));
  };
  add("reason", record.reason);
  add("topic", record.at.stream);
  add("partition", std::to_string(record.at.partition));
  add("offset", std::to_string(record.at.next_offset - 1));
  if (record.bytes.size() < original_bytes) add("cut-from-bytes", std::to_string(original_bytes));
  delivered_.reset();
  const rd_kafka_resp_err_t accepted = rd_kafka_producev(
      client_->handle(), RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
      RD_KAFKA_V_KEY(record.key.empty() ? nullptr : record.key.data(), record.key.size()),
      RD_KAFKA_V_VALUE(const_cast<char*>(record.bytes.data()), record.bytes.size()),  // NOLINT: it is copied
      RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
  if (accepted != RD_KAFKA_RESP_ERR_NO_ERROR) {
    rd_kafka_headers_destroy(headers);
    return accepted;
  }
  // Ends after librdkafka.message.timeout.ms at the latest. A stop does not wait for that: it calls Wake().
  while (!delivered_) {
    rd_kafka_poll(client_->handle(), static_cast<int>(kPollSlice.count()));
    if (!delivered_ && woken_.exchange(false)) {
      rd_kafka_purge(client_->handle(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    }
  }
  return *delivered_;
}

}  // namespace mi::stream
