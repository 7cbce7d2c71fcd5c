#include "stream/kafka/activity_consumer.h"

#include "base/format.h"
#include "codec/kafka_record.h"
#include "model/fingerprint.h"
#include "stream/kafka/partition_reader.h"
#include "stream/kafka/topics.h"

namespace mi::stream {
namespace {

constexpr std::chrono::milliseconds kLeaveTimeout{1'000};

}  // namespace

Result<std::unique_ptr<KafkaActivityConsumer>> KafkaActivityConsumer::Create(const KafkaConsumerOptions& options,
                                                                             const KafkaDeps& deps,
                                                                             ActivityQueue& queue) {
  std::unique_ptr<KafkaActivityConsumer> consumer(new KafkaActivityConsumer(options, deps, queue));
  KafkaClientSpec spec = KafkaReaderSpec(ActivityTopic(options.group_id));
  // The later setting wins. Offsets are stored as records are polled.
  spec.fixed.insert(spec.fixed.end(), {{"enable.auto.commit", "true"}, {"enable.auto.offset.store", "true"}});
  consumer->client_ = TRY(KafkaClient::Create(spec, options.kafka, deps));
  return consumer;
}

KafkaActivityConsumer::KafkaActivityConsumer(const KafkaConsumerOptions& options, const KafkaDeps& deps,
                                             ActivityQueue& queue)
    : options_(options), deps_(deps), secret_check_(model::SecretCheck(options.kafka.identity_secret)), queue_(queue) {
  // The counters exist from the start: a rate over a counter that appears with its first record misses that record.
  for (const char* reason : {"undecodable", "secret"}) Refused(reason);
}

telemetry::Counter& KafkaActivityConsumer::Refused(const std::string& reason) {
  return deps_.metrics.GetCounter("activity_refused_records_total", "Activity records that were skipped, by reason.",
                                  {{"reason", reason}});
}

void KafkaActivityConsumer::Start() {
  std::vector<std::string> topics;
  for (const std::string& topic : options_.topics) topics.push_back(ActivityTopic(topic));
  if (const Status subscribed = client_->Subscribe(topics); !subscribed) {
    deps_.log.Error("kafka: {}; last_seen is not updated", subscribed.error().message());
  }
  thread_ = std::thread([this] { Run(); });
}

void KafkaActivityConsumer::Stop() {
  stopping_ = true;
  if (!thread_.joinable()) return;
  thread_.join();
  KafkaClient::Leave(std::move(client_), kLeaveTimeout);
}

void KafkaActivityConsumer::Run() {
  while (!stopping_) {
    OfferHeld();
    const KafkaMessagePtr record(rd_kafka_consumer_poll(client_->handle(), static_cast<int>(kPollSlice.count())));
    if (record == nullptr) continue;
    if (record->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
      Take(*record);
      continue;
    }
    if (record->err == RD_KAFKA_RESP_ERR__FATAL) client_->ReportFatal();
    const Error error = client_->Explain(record->err, "activity");
    if (error.message() == logged_) continue;
    logged_ = error.message();
    deps_.log.Warn("kafka: {}; last_seen is not updated meanwhile", logged_);
  }
}

void KafkaActivityConsumer::Take(const rd_kafka_message_t& record) {
  logged_.clear();
  model::ActivityBatch batch;
  const std::string_view bytes(static_cast<const char*>(record.payload), record.len);
  const Result<codec::ActivityRecord> decoded = codec::DecodeActivityRecord(bytes, batch.fingerprints);
  if (!decoded) return Refused("undecodable").Add();
  if (decoded->secret_check != secret_check_) return Refused("secret").Add();
  batch.seen_at_ms = static_cast<int64_t>(decoded->seen_at_s * 1'000);
  held_.push_back(std::move(batch));
  OfferHeld();
}

// While the queue is full, fetching is paused. Polling must go on, or the group would exclude this member.
void KafkaActivityConsumer::OfferHeld() {
  while (!held_.empty() && queue_.Offer(held_.front())) held_.pop_front();
  held_.empty() ? Resume() : Pause();
}

// Called with each record that is held, because partitions that a rebalance has just assigned are not paused yet.
void KafkaActivityConsumer::Pause() {
  rd_kafka_topic_partition_list_t* assigned = nullptr;
  if (rd_kafka_assignment(client_->handle(), &assigned) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  const KafkaPartitionsPtr list(assigned);
  rd_kafka_pause_partitions(client_->handle(), list.get());
  for (int i = 0; i < list->cnt; ++i) paused_.emplace(list->elems[i].topic, list->elems[i].partition);
}

// Includes partitions that other members have by now: one that returns is still paused.
void KafkaActivityConsumer::Resume() {
  if (paused_.empty()) return;
  const KafkaPartitionsPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(paused_.size())));
  for (const auto& [topic, partition] : paused_) {
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), partition);
  }
  rd_kafka_resume_partitions(client_->handle(), list.get());
  paused_.clear();
}

}  // namespace mi::stream
