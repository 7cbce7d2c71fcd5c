// Publishes new series to Kafka, one record per series, so that the compacted topic is the catalogue
// (docs/formats/kafka.md).
//
// An idempotent producer with acks=all. A batch is answered when all its records are acknowledged or given up
// (librdkafka.message.timeout.ms, 10 s). While no broker answers, or the topic cannot be written, Publish fails at once
// and queues nothing. A thread of its own polls librdkafka and, while something is wrong, asks the brokers once per
// second. It creates the topic if it is missing (compacted); an existing topic is left as it is.
//
// Threads: safe. `done` is called by that thread, or by Publish if nothing was accepted. It must be quick.
// Errors: kOverloaded: the queue is full (librdkafka.queue.buffering.max.kbytes, .messages); only for the records that
//         it did not accept. kUnavailable: the brokers are away, did not answer in time, or refuse us; the message says
//         which and names the option. kTooLarge: the topic can never accept this record.
//         Fatal: a fatal error of librdkafka; the topic's max.message.bytes was lowered while we write to it.
// Memory: the queue, of which librdkafka does not count about 200 bytes per record; and the batches in flight, which
//         their `done` holds, plus 16 bytes per record.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "stream/deps.h"
#include "stream/kafka/activity_publisher.h"
#include "stream/kafka/client.h"
#include "stream/ports.h"

namespace mi::stream {

class PendingBatch;

class KafkaPublisher final : public SeriesPublisher, public ActivityPublisher {
 public:
  // Connects in the background: Health() says when. kInvalid: an option that librdkafka does not accept.
  static Result<std::unique_ptr<KafkaPublisher>> Create(const KafkaPublisherOptions& options, const StreamDeps& deps);
  ~KafkaPublisher() override;

  void Publish(std::shared_ptr<const model::SeriesBatch> batch, Done done) override EXCLUDES(mutex_);
  Status Health() const override EXCLUDES(mutex_);
  void PublishActivity(model::ActivityBatch batch) override { activity_.Add(batch, deps_.clock.Steady()); }

  // Replaces the options' secret; only activity depends on it. Threads: any.
  void SetIdentitySecret(const std::string& identity_secret) { activity_.SetIdentitySecret(identity_secret); }

  // Waits until everything published so far is answered, activity included. Returns false if that takes longer.
  bool Flush(std::chrono::milliseconds timeout) EXCLUDES(mutex_);
  // Accepts no more, gives what is in flight stop_timeout, then fails it. Everything is answered when it returns.
  // Idempotent; the destructor does it too.
  void Stop() EXCLUDES(mutex_);

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  // The handle with its topics, and its limits.
  struct Producer {
    std::unique_ptr<KafkaClient> client;
    KafkaTopicPtr topic;
    KafkaTopicPtr activity_topic;
    size_t max_record_bytes;  // librdkafka.message.max.bytes
    size_t max_batch_bytes;   // librdkafka.batch.size; a single record may be larger
  };

  KafkaPublisher(const KafkaPublisherOptions& options, const StreamDeps& deps);
  // `topic_limit`: the largest batch that the topic accepts, if that is known to be less than the settings.
  Result<std::unique_ptr<Producer>> CreateProducer(std::optional<size_t> topic_limit);
  void Send(const model::SeriesBatch& batch, PendingBatch& pending);
  Status Produce(rd_kafka_topic_t* topic, std::string_view key, std::string_view value, void* opaque) const;
  void Finish(std::unique_ptr<PendingBatch> pending) EXCLUDES(mutex_);
  Error ErrorOf(rd_kafka_resp_err_t error) EXCLUDES(mutex_);

  // By the polling thread.
  void Run();
  void OnDelivery(const rd_kafka_message_t& record);
  rd_kafka_resp_err_t OutcomeOf(const rd_kafka_message_t& record);
  void OnFatal(const Error& error) EXCLUDES(mutex_);
  void SendActivity() EXCLUDES(mutex_);
  void ProbeWhenDue();
  Status CheckTopic();
  Status CreateActivityTopic();
  Status ReadSettings();
  Status AdoptTopicLimit();
  void SetAvailable() EXCLUDES(mutex_);
  void SetUnavailable(const Error& why) EXCLUDES(mutex_);
  void GiveUp();

  const KafkaPublisherOptions options_;
  const StreamDeps deps_;
  PublishMetrics metrics_;
  telemetry::Gauge& up_;
  telemetry::Gauge& queued_;
  KafkaActivityPublisher activity_;
  std::unique_ptr<Producer> producer_;  // replaced only before the first SetAvailable, thus before the first Publish

  mutable Mutex mutex_;
  CondVar answered_;
  size_t pending_ GUARDED_BY(mutex_) = 0;                // batches in flight
  std::optional<Error> unavailable_ GUARDED_BY(mutex_);  // why Publish accepts nothing
  // The brokers denied a write: Health() shows it until this time, because a person must change the ACLs.
  std::optional<std::pair<Error, TimePoint>> denied_ GUARDED_BY(mutex_);
  bool stopped_ GUARDED_BY(mutex_) = false;

  // Of the polling thread.
  bool topic_settings_read_ = false;
  std::string logged_settings_;  // the last reason why they could not be read
  size_t topic_max_bytes_ = 0;   // max.message.bytes: the largest batch that the topic accepts; 0 if it is not known
  TimePoint next_probe_;
  bool probe_ = true;  // something failed: ask the brokers
  bool was_available_ = false;
  std::string logged_;  // why it is unavailable
  TimePoint logged_at_;

  std::atomic<bool> giving_up_ = false;
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

}  // namespace mi::stream
