#include "stream/kafka/activity_consumer.h"

#include <utility>

#include "codec/kafka_record.h"
#include "stream/kafka/partition_reader.h"

namespace mi::stream {
namespace {

constexpr std::chrono::milliseconds kActivityLeaveTimeout{1'000};

}  // namespace

Result<std::unique_ptr<KafkaActivityConsumer>> KafkaActivityConsumer::Create(const KafkaConsumerOptions& options,
                                                                             const StreamDeps& deps,
                                                                             ActivityQueue& queue) {
  std::unique_ptr<KafkaActivityConsumer> consumer(new KafkaActivityConsumer(options, deps, queue));
  KafkaClientSpec spec = KafkaReaderSpec(ActivityTopic(options.group_id));
  // The later setting wins. Offsets are stored as records are polled.
  spec.fixed.insert(spec.fixed.end(), {{"enable.auto.commit", "true"}, {"enable.auto.offset.store", "true"}});
  consumer->client_ = TRY(KafkaClient::Create(spec, options.kafka, deps));
  return consumer;
}

KafkaActivityConsumer::KafkaActivityConsumer(const KafkaConsumerOptions& options, const StreamDeps& deps,
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
  if (const Status subscribed = client_->Subscribe(topics); !subscribed) Log(subscribed.error());
  thread_ = std::thread([this] { Run(); });
}

void KafkaActivityConsumer::Stop() {
  stop_.Request();
  if (!thread_.joinable()) return;
  thread_.join();
  KafkaClient::Leave(std::move(client_), kActivityLeaveTimeout);
}

void KafkaActivityConsumer::Run() {
  while (!stop_.requested()) {
    OfferWaiting();
    const KafkaMessagePtr record(rd_kafka_consumer_poll(client_->handle(), static_cast<int>(kPollSlice.count())));
    if (record == nullptr) continue;
    if (record->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
      Take(*record);
    } else {
      if (record->err == RD_KAFKA_RESP_ERR__FATAL) client_->ReportFatal();
      Log(client_->Explain(record->err, "activity"));
    }
  }
}

// Kafka may already have the offsets of records that wait, so a stop or a crash here loses them: hints, which the
// series give again in their next window.
void KafkaActivityConsumer::Take(const rd_kafka_message_t& record) {
  logged_.clear();
  model::ActivityBatch batch;
  const std::string_view bytes(static_cast<const char*>(record.payload), record.len);
  const Result<codec::ActivityRecord> decoded = codec::DecodeActivityRecord(bytes, batch.fingerprints);
  if (!decoded) return Refused("undecodable").Add();
  if (decoded->secret_check != secret_check_) return RefuseSecret();
  batch.seen_at_ms = static_cast<int64_t>(decoded->seen_at_s * 1'000);
  if (waiting_.empty() && queue_.Offer(batch)) return;
  waiting_.push_back(std::move(batch));
  Pause(true);
}

// librdkafka drops what it has fetched of a paused partition and fetches it again later. So usually one record waits;
// a rebalance may bring one more from each new partition.
void KafkaActivityConsumer::OfferWaiting() {
  if (waiting_.empty()) return;
  while (!waiting_.empty() && queue_.Offer(waiting_.front())) waiting_.pop_front();
  if (waiting_.empty()) Pause(false);
}

void KafkaActivityConsumer::Pause(bool paused) {
  rd_kafka_topic_partition_list_t* assigned = nullptr;
  if (rd_kafka_assignment(client_->handle(), &assigned) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  const KafkaPartitionsPtr partitions(assigned);
  paused ? rd_kafka_pause_partitions(client_->handle(), assigned)
         : rd_kafka_resume_partitions(client_->handle(), assigned);
}

void KafkaActivityConsumer::RefuseSecret() {
  Refused("secret").Add();
  if (std::exchange(logged_secret_, true)) return;
  deps_.log.Warn(
      "kafka: activity of a producer with another identity.secret than the catalogue's is dropped, so last_seen of its "
      "series is not updated; its /ready says more (metric activity_refused_records_total, logged once)");
}

void KafkaActivityConsumer::Log(const Error& error) {
  if (error.message() == logged_) return;
  logged_ = error.message();
  deps_.log.Warn("kafka: {}; last_seen is not updated meanwhile", logged_);
}

}  // namespace mi::stream
