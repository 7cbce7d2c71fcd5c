#include "stream/kafka_producer.h"

#include <algorithm>

#include "base/format.h"

namespace mi::stream {
namespace {

// "Nothing is lost" and "an answer means that the brokers have it" stand in `fixed`; the rest is a matter of taste.
KafkaClientSpec Spec(const KafkaProducer::Limits& limits) {
  KafkaClientSpec spec{.type = RD_KAFKA_PRODUCER,
                       .hosts_knob = "metric_store.producer.hosts",
                       .topic_knob = "metric_store.producer.topic",
                       .defaults = {{"compression.codec", "lz4"},
                                    {"linger.ms", "5"},
                                    {"message.timeout.ms", "10000"},
                                    {"queue.buffering.max.kbytes", "262144"},
                                    {"queue.buffering.max.messages", "1000000"},
                                    {"allow.auto.create.topics", "false"}},
                       .fixed = {{"enable.idempotence", "true"},
                                 {"acks", "all"},
                                 {"enable.gapless.guarantee", "false"},
                                 {"delivery.report.only.error", "false"}}};
  // librdkafka holds a whole batch to message.max.bytes too; batch.size must not be the larger one of the two.
  if (limits.max_bytes > 0) spec.fixed.emplace_back("message.max.bytes", std::to_string(limits.max_bytes));
  if (limits.batch_bytes > 0) spec.fixed.emplace_back("batch.size", std::to_string(limits.batch_bytes));
  return spec;
}

}  // namespace

Result<std::unique_ptr<KafkaProducer>> KafkaProducer::Create(const KafkaOptions& options, const std::string& topic,
                                                             const std::string& side_topic, const Limits& limits,
                                                             telemetry::Logger& log, KafkaEvents& events) {
  Result<std::unique_ptr<KafkaClient>> client = KafkaClient::Create(Spec(limits), options, log, &events);
  if (!client) return Fail(client.error());
  return std::unique_ptr<KafkaProducer>(new KafkaProducer(std::move(*client), topic, side_topic));
}

KafkaProducer::KafkaProducer(std::unique_ptr<KafkaClient> client, const std::string& topic,
                             const std::string& side_topic)
    : client_(std::move(client)),
      name_(topic),
      topic_(rd_kafka_topic_new(client_->handle(), topic.c_str(), nullptr)),
      side_topic_(rd_kafka_topic_new(client_->handle(), side_topic.c_str(), nullptr)),
      limits_{std::stoul(client_->Setting("message.max.bytes")), std::stoul(client_->Setting("batch.size"))} {}

Status KafkaProducer::SendTo(rd_kafka_topic_t* topic, const Record& record) const {
  // The library copies both, and writes to neither.
  auto* value = const_cast<char*>(record.value.data());  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  const int sent = rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, value, record.value.size(),
                                    record.key.empty() ? nullptr : record.key.data(), record.key.size(), record.seat);
  if (sent == 0) return {};
  switch (const rd_kafka_resp_err_t error = rd_kafka_last_error()) {
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
      return Fail(Errc::kOverloaded,
                  format("{} records wait for Kafka, limit {} or {} KiB (librdkafka.queue.buffering.max.messages, "
                         "librdkafka.queue.buffering.max.kbytes)",
                         queued(), client_->Setting("queue.buffering.max.messages"),
                         client_->Setting("queue.buffering.max.kbytes")));
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
      return Fail(Errc::kTooLarge,
                  format("a record of {}, limit {} (librdkafka.message.max.bytes; max.message.bytes of topic {})",
                         FormatBytes(record.key.size() + record.value.size()), FormatBytes(limits_.max_bytes), name_));
    default: return Fail(client_->Explain(error, "publish to topic " + name_));
  }
}

}  // namespace mi::stream
