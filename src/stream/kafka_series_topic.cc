#include "stream/kafka_series_topic.h"

#include <charconv>
#include <utility>

#include "base/format.h"
#include "stream/kafka_topics.h"

namespace mi::stream {

Status KafkaSeriesTopic::Check(const KafkaClient& client) {
  const Result<KafkaClient::Topic> topic = client.AskTopic(name_, kBriefTimeout);
  if (!topic) return Fail(topic.error());
  if (!topic->exists) {
    const Status made =
        MakeTopic(client, {.name = name_, .partitions = new_partitions_, .settings = {{"cleanup.policy", "compact"}}},
                  admin_timeout_);
    if (!made) return made;
    log_.Info("kafka: topic {} did not exist and is made, compacted", name_);
  } else if (topic->with_leader == 0) {
    return Fail(Errc::kUnavailable,
                format("Kafka: no partition of topic {} has a leader (metric_store.producer.hosts)", name_));
  }
  if (!std::exchange(known_, true)) {
    MakeActivityTopic(client);
    Learn(client);
  }
  return {};
}

void KafkaSeriesTopic::MakeActivityTopic(const KafkaClient& client) {
  const std::string activity = ActivityTopic(name_);
  const Result<KafkaClient::Topic> found = client.AskTopic(activity, kBriefTimeout);
  if (!found || found->exists) return;
  const Status made =
      MakeTopic(client, {.name = activity, .settings = {{"cleanup.policy", "delete"}, {"retention.ms", "86400000"}}},
                admin_timeout_);
  if (!made) log_.Warn("kafka: {}; last_seen does not move meanwhile", made.error().message());
}

// Not knowing them stops nothing: reading them may need a right that publishing does not need.
void KafkaSeriesTopic::Learn(const KafkaClient& client) {
  auto settings = ReadTopicSettings(client, name_, admin_timeout_);
  if (!settings) {
    // Said once: each refused record has them read again.
    if (settings.error().message() != logged_) log_.Info("kafka: {}", settings.error().message());
    logged_ = settings.error().message();
    return;
  }
  const std::string& policy = (*settings)["cleanup.policy"];
  if (!policy.contains("compact")) {
    log_.Warn(
        "kafka: topic {} has cleanup.policy={}, retention.ms={}: it forgets series, and a replay brings back only what "
        "it holds. Recommended: cleanup.policy=compact. It is left as it is",
        name_, policy, (*settings)["retention.ms"]);
  }
  const std::string& limit = (*settings)["max.message.bytes"];
  std::from_chars(limit.data(), limit.data() + limit.size(), max_bytes_);
}

}  // namespace mi::stream
