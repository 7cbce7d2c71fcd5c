#include "stream/kafka_activity_consumer.h"

#include <atomic>
#include <deque>
#include <new>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "base/format.h"
#include "codec/kafka_record.h"
#include "model/fingerprint.h"
#include "stream/kafka_client.h"
#include "stream/kafka_reader.h"

namespace mi::stream {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kHintsLeaveTimeout{1'000};

class ActivityConsumer final : public KafkaActivityConsumer {
 public:
  ActivityConsumer(const KafkaActivityOptions& options, const KafkaDeps& deps, ActivityQueue& queue)
      : options_(options),
        deps_(deps),
        secret_check_(model::SecretCheck(options.kafka.identity_secret)),
        queue_(queue) {
    // Shown from the start: a rate over a counter that appears with its first record misses that record.
    for (const char* reason : {"undecodable", "secret"}) Refused(reason);
  }
  ~ActivityConsumer() override { Stop(); }
  Status Connect();

  void Start() override;
  void Stop() override;

 private:
  telemetry::Counter& Refused(const std::string& reason) {
    return deps_.metrics.GetCounter("activity_refused_records_total", "Activity records that were skipped, by reason.",
                                    {{"reason", reason}});
  }
  void Run();
  void Turn();
  void Take(const rd_kafka_message_t& record);
  // Stops fetching while the queue is full; the group must go on being polled meanwhile.
  void OfferHeld();
  void Pause();
  void Resume();

  const KafkaActivityOptions options_;
  const KafkaDeps deps_;
  const uint64_t secret_check_;
  ActivityQueue& queue_;
  std::unique_ptr<KafkaClient> client_;
  std::atomic<bool> stopping_ = false;
  std::deque<model::ActivityBatch> held_;  // did not fit into the queue
  std::set<std::pair<std::string, int32_t>> paused_;
  std::string logged_;
  std::thread thread_;
};

Status ActivityConsumer::Connect() {
  KafkaClientSpec spec = KafkaReaderSpec(ActivityTopic(options_.group_id));
  // Offsets in Kafka alone, stored as records are polled: nothing waits for a hint.
  std::erase_if(spec.fixed, [](const auto& setting) {
    return setting.first == "enable.auto.commit" || setting.first == "enable.auto.offset.store";
  });
  spec.fixed.insert(spec.fixed.end(), {{"enable.auto.commit", "true"}, {"enable.auto.offset.store", "true"}});
  Result<std::unique_ptr<KafkaClient>> client = KafkaClient::Create(spec, options_.kafka, deps_.log, nullptr);
  if (!client) return Fail(client.error());
  client_ = std::move(*client);
  rd_kafka_poll_set_consumer(client_->handle());
  return {};
}

void ActivityConsumer::Start() {
  const KafkaPartitionsPtr topics(rd_kafka_topic_partition_list_new(static_cast<int>(options_.topics.size())));
  for (const std::string& topic : options_.topics) {
    rd_kafka_topic_partition_list_add(topics.get(), ActivityTopic(topic).c_str(), RD_KAFKA_PARTITION_UA);
  }
  const rd_kafka_resp_err_t error = rd_kafka_subscribe(client_->handle(), topics.get());
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    deps_.log.Error("kafka: {}; last_seen does not move", client_->Explain(error, "read activity").message());
  }
  thread_ = std::thread([this] { Run(); });
}

void ActivityConsumer::Stop() {
  stopping_ = true;
  if (!thread_.joinable()) return;
  thread_.join();
  KafkaClient::Leave(std::move(client_), kHintsLeaveTimeout);
}

void ActivityConsumer::Run() {
  while (!stopping_) {
    try {
      Turn();
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(kPollSlice);  // without the record that there was no memory for
    }
  }
}

void ActivityConsumer::Turn() {
  OfferHeld();
  const KafkaMessagePtr record(rd_kafka_consumer_poll(client_->handle(), static_cast<int>(kPollSlice.count())));
  if (record == nullptr) return;
  if (record->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
    Take(*record);
  } else if (const Error error = client_->Explain(record->err, "activity"); error.message() != logged_) {
    logged_ = error.message();
    deps_.log.Warn("kafka: {}; last_seen does not move meanwhile", logged_);
  }
}

void ActivityConsumer::Take(const rd_kafka_message_t& record) {
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

void ActivityConsumer::OfferHeld() {
  while (!held_.empty() && queue_.Offer(held_.front())) held_.pop_front();
  held_.empty() ? Resume() : Pause();
}

// With each record that is held: partitions that a rebalance has brought are not paused yet.
void ActivityConsumer::Pause() {
  rd_kafka_topic_partition_list_t* assigned = nullptr;
  if (rd_kafka_assignment(client_->handle(), &assigned) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  const KafkaPartitionsPtr list(assigned);
  rd_kafka_pause_partitions(client_->handle(), list.get());
  for (int i = 0; i < list->cnt; ++i) paused_.emplace(list->elems[i].topic, list->elems[i].partition);
}

// Those that have gone to others meanwhile, too: a partition that comes back is as it was left.
void ActivityConsumer::Resume() {
  if (paused_.empty()) return;
  const KafkaPartitionsPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(paused_.size())));
  for (const auto& [topic, partition] : paused_) {
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), partition);
  }
  rd_kafka_resume_partitions(client_->handle(), list.get());
  paused_.clear();
}

}  // namespace

Result<std::unique_ptr<KafkaActivityConsumer>> KafkaActivityConsumer::Create(const KafkaActivityOptions& options,
                                                                             const KafkaDeps& deps,
                                                                             ActivityQueue& queue) {
  auto consumer = std::make_unique<ActivityConsumer>(options, deps, queue);
  if (Status connected = consumer->Connect(); !connected) return Fail(connected.error());
  return consumer;
}

}  // namespace mi::stream
