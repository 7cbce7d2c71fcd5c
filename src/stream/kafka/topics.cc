#include "stream/kafka/topics.h"

#include <array>
#include <memory>
#include <thread>

#include "base/format.h"

namespace mi::stream {
namespace {

using NewTopicPtr = std::unique_ptr<rd_kafka_NewTopic_t, KafkaFree<rd_kafka_NewTopic_destroy>>;
using ResourcePtr = std::unique_ptr<rd_kafka_ConfigResource_t, KafkaFree<rd_kafka_ConfigResource_destroy>>;
using AdminOptionsPtr = std::unique_ptr<rd_kafka_AdminOptions_t, KafkaFree<rd_kafka_AdminOptions_destroy>>;

AdminOptionsPtr OptionsWithTimeout(const KafkaClient& client, rd_kafka_admin_op_t operation,
                                   std::chrono::milliseconds timeout) {
  std::array<char, 256> text{};
  AdminOptionsPtr options(rd_kafka_AdminOptions_new(client.handle(), operation));
  rd_kafka_AdminOptions_set_request_timeout(options.get(), static_cast<int>(timeout.count()), text.data(), text.size());
  return options;
}

// The answer to one request.
Result<KafkaEventPtr> AwaitAnswer(const KafkaClient& client, rd_kafka_queue_t* queue, const std::string& what,
                                  std::chrono::milliseconds timeout) {
  // The request has a timeout of its own. This longer one covers an answer that never comes.
  KafkaEventPtr event(rd_kafka_queue_poll(queue, 2 * static_cast<int>(timeout.count())));
  if (event == nullptr) return Fail(client.Explain(RD_KAFKA_RESP_ERR__TIMED_OUT, what));
  const rd_kafka_resp_err_t error = rd_kafka_event_error(event.get());
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return Fail(client.Explain(error, what));
  return event;
}

// The controller has created the topic; the other brokers learn of it a little later. Asking also updates the handle,
// which would otherwise look again only with its next periodic refresh.
Status AwaitTopic(const KafkaClient& client, const std::string& topic, std::chrono::milliseconds timeout) {
  constexpr std::chrono::milliseconds kPause{10};
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    const KafkaClient::Topic found = TRY(client.AskTopic(topic, timeout));
    if (found.exists && found.with_leader == found.partitions) return {};
    if (std::chrono::steady_clock::now() >= deadline) {
      return Fail(Errc::kUnavailable, format("Kafka: topic {} was created, but is not ready", topic));
    }
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace

Status CreateTopic(const KafkaClient& client, const KafkaNewTopic& topic, std::chrono::milliseconds timeout) {
  const std::string what = "create topic " + topic.name;
  std::array<char, 256> text{};
  const NewTopicPtr wanted(rd_kafka_NewTopic_new(topic.name.c_str(), topic.partitions, -1, text.data(), text.size()));
  if (wanted == nullptr) return Fail(Errc::kInvalid, format("{}: {}", what, text.data()));
  for (const auto& [name, value] : topic.settings) {
    rd_kafka_NewTopic_set_config(wanted.get(), name.c_str(), value.c_str());
  }
  const KafkaQueuePtr queue(rd_kafka_queue_new(client.handle()));
  rd_kafka_NewTopic_t* one = wanted.get();
  rd_kafka_CreateTopics(client.handle(), &one, 1,
                        OptionsWithTimeout(client, RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout).get(), queue.get());
  const KafkaEventPtr event = TRY(AwaitAnswer(client, queue.get(), what, timeout));
  size_t count = 0;
  const auto* results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event.get()), &count);
  if (count != 1) return Fail(Errc::kUnavailable, format("{}: no answer", what));
  const rd_kafka_resp_err_t error = rd_kafka_topic_result_error(results[0]);
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR || error == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
    return AwaitTopic(client, topic.name, timeout);
  }
  const char* reason = rd_kafka_topic_result_error_string(results[0]);
  return Fail(client.Explain(error, reason == nullptr ? what : format("{}: {}", what, reason)));
}

Result<std::map<std::string, std::string>> ReadTopicSettings(const KafkaClient& client, const std::string& topic,
                                                             std::chrono::milliseconds timeout) {
  const std::string what = "read the settings of topic " + topic;
  const ResourcePtr resource(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str()));
  const KafkaQueuePtr queue(rd_kafka_queue_new(client.handle()));
  rd_kafka_ConfigResource_t* one = resource.get();
  rd_kafka_DescribeConfigs(client.handle(), &one, 1,
                           OptionsWithTimeout(client, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout).get(), queue.get());
  const KafkaEventPtr event = TRY(AwaitAnswer(client, queue.get(), what, timeout));
  size_t count = 0;
  const auto* described =
      rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event.get()), &count);
  if (count != 1) return Fail(Errc::kUnavailable, format("{}: no answer", what));
  if (const rd_kafka_resp_err_t error = rd_kafka_ConfigResource_error(described[0]);
      error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return Fail(client.Explain(error, what));
  }
  size_t entries = 0;
  const auto* found = rd_kafka_ConfigResource_configs(described[0], &entries);
  std::map<std::string, std::string> settings;
  for (size_t i = 0; i < entries; ++i) {
    const char* value = rd_kafka_ConfigEntry_value(found[i]);
    settings[rd_kafka_ConfigEntry_name(found[i])] = value == nullptr ? "" : value;
  }
  return settings;
}

}  // namespace mi::stream
