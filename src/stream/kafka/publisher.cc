#include "stream/kafka/publisher.h"

#include <algorithm>
#include <charconv>

#include "base/format.h"
#include "codec/kafka_record.h"
#include "stream/kafka/pending_batch.h"

namespace mi::stream {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPollWait{50};            // activity and probes are late by at most this
constexpr std::chrono::seconds kShowDenied{30};  // how long Health() shows that a write was denied
constexpr std::chrono::seconds kLogAgain{10};    // one outage has several reasons, one after the other
constexpr size_t kSmallestMessageLimit = 1'000;  // librdkafka's minimum for message.max.bytes
constexpr size_t kBatchOverhead = 200;           // the headers of a batch of one record, rounded up
// The outcome of a record that a broker refused as part of a batch. MSG_SIZE_TOO_LARGE stands for a record that was
// refused alone.
constexpr rd_kafka_resp_err_t kBatchTooLarge = RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE;

const Error* FirstError(const PublishResult& result) {
  if (!result.failures.empty()) return &result.failures.front().error;
  return result.metadata_failure ? &*result.metadata_failure : nullptr;
}

const char* ReasonOf(Errc code) {
  if (code == Errc::kOverloaded) return "queue";
  if (code == Errc::kTooLarge) return "too_large";
  return code == Errc::kUnavailable ? "unavailable" : "internal";
}

bool IsDenial(rd_kafka_resp_err_t error) {
  return error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
         error == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
}

}  // namespace

Result<std::unique_ptr<KafkaPublisher>> KafkaPublisher::Create(const KafkaPublisherOptions& options,
                                                               const StreamDeps& deps) {
  std::unique_ptr<KafkaPublisher> publisher(new KafkaPublisher(options, deps));
  publisher->producer_ = TRY(publisher->CreateProducer(std::nullopt));
  publisher->thread_ = std::thread([self = publisher.get()] { self->Run(); });
  return publisher;
}

KafkaPublisher::KafkaPublisher(const KafkaPublisherOptions& options, const StreamDeps& deps)
    : options_(options),
      deps_(deps),
      metrics_(deps.metrics),
      up_(deps.metrics.GetGauge("kafka_up", "1 while Kafka takes what is published, 0 while it does not.")),
      queued_(deps.metrics.GetGauge("kafka_queue_records", "Records that wait for the brokers' acknowledgement.")),
      activity_(options, deps.metrics) {
  unavailable_.emplace(Errc::kUnavailable, "Kafka: not connected yet (metric_store.producer.hosts)");
  up_.Set(0);
}

KafkaPublisher::~KafkaPublisher() {
  if (!thread_.joinable()) return;
  Stop();
  ending_ = true;
  thread_.join();
}

// The settings in `fixed` keep two promises: nothing is lost, and an answer means that the brokers have the record.
// Snappy, because every client can read it. For a client with an old protocol (the Go service) the broker converts the
// batches to an old format, in which that client cannot read lz4 and zstd does not exist.
Result<std::unique_ptr<KafkaPublisher::Producer>> KafkaPublisher::CreateProducer(std::optional<size_t> topic_limit) {
  KafkaClientSpec spec{.type = RD_KAFKA_PRODUCER,
                       .hosts_option = "metric_store.producer.hosts",
                       .topic_option = "metric_store.producer.topic",
                       .defaults = {{"compression.codec", "snappy"},
                                    {"linger.ms", "5"},
                                    {"message.timeout.ms", "10000"},
                                    {"queue.buffering.max.kbytes", "262144"},
                                    {"queue.buffering.max.messages", "1000000"},
                                    {"allow.auto.create.topics", "false"}},
                       .fixed = {{"enable.idempotence", "true"},
                                 {"acks", "all"},
                                 {"enable.gapless.guarantee", "false"},
                                 {"delivery.report.only.error", "false"}},
                       .on_delivery = [this](const rd_kafka_message_t& record) { OnDelivery(record); }};
  if (topic_limit) {  // a smaller batch.size of the configuration stays
    const size_t batch_bytes = std::min(*topic_limit, producer_->max_batch_bytes);
    spec.fixed.insert(spec.fixed.end(), {{"message.max.bytes", std::to_string(*topic_limit)},
                                         {"batch.size", std::to_string(batch_bytes)}});
  }
  StreamDeps deps = deps_;
  deps.fatal = [this](const Error& error) { OnFatal(error); };
  auto producer = std::make_unique<Producer>();
  producer->client = TRY(KafkaClient::Create(spec, options_.kafka, deps));
  rd_kafka_t* handle = producer->client->handle();
  producer->topic.reset(rd_kafka_topic_new(handle, options_.topic.c_str(), nullptr));
  producer->activity_topic.reset(rd_kafka_topic_new(handle, ActivityTopic(options_.topic).c_str(), nullptr));
  producer->max_record_bytes = std::stoul(producer->client->Setting("message.max.bytes"));
  producer->max_batch_bytes = std::stoul(producer->client->Setting("batch.size"));
  return producer;
}

// The way of a batch. Records are acknowledged one by one and in any order, while further ones are still being sent.
//
//   caller's thread    Publish ──> Send: one record per series ──> librdkafka's queue ──> brokers
//                                  | Settle (refused + 1)                                    |
//                                  v                                                         v
//   polling thread     done <── Finish, by whoever settles last <── Settle (1) <── OnDelivery
void KafkaPublisher::Publish(std::shared_ptr<const model::SeriesBatch> batch, Done done) {
  if (batch->empty()) return done({});
  std::optional<Error> refusal;
  {
    MutexLock lock(mutex_);
    refusal = stopped_ ? Error(Errc::kUnavailable, "publishing to Kafka is stopped") : unavailable_;
    if (!refusal) ++pending_;
  }
  if (refusal) {
    metrics_.errors(ReasonOf(refusal->code())).Add();
    return done(AllFailed(*batch, *refusal));
  }
  auto pending =
      std::make_unique<PendingBatch>(batch->size(), batch->metadata().size(), std::move(done), deps_.clock.Steady());
  Send(*batch, *pending.release());  // whoever settles its last record deletes it
}

void KafkaPublisher::Send(const model::SeriesBatch& batch, PendingBatch& pending) {
  const size_t records = batch.size() + batch.metadata().size();
  size_t settled = 1;  // the publishing thread's own part
  codec::KafkaRecordText text;
  Status accepted;
  for (size_t i = 0; i < records; ++i) {
    // Once the queue is full, the rest of the batch is refused as well: the sender's order is kept.
    if (accepted || accepted.error().code() != Errc::kOverloaded) {
      accepted = {};
      if (i < batch.size()) {
        accepted = codec::EncodeSeriesRecord(batch.tenant(), batch.seen_at_ms(), batch[i].labels, text);
      } else {
        codec::EncodeMetadataRecord(batch.tenant(), batch.seen_at_ms(), batch.metadata()[i - batch.size()], text);
      }
      if (accepted) accepted = Produce(producer_->topic.get(), text.key, text.value, pending.record(i));
    }
    if (accepted) continue;
    pending.Refuse(i, accepted.error());
    ++settled;
  }
  if (pending.Settle(settled)) Finish(std::unique_ptr<PendingBatch>(&pending));
}

Status KafkaPublisher::Produce(rd_kafka_topic_t* topic, std::string_view key, std::string_view value,
                               void* opaque) const {
  // librdkafka copies both and does not write to them.
  auto* bytes = const_cast<char*>(value.data());  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  const int sent = rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, bytes, value.size(),
                                    key.empty() ? nullptr : key.data(), key.size(), opaque);
  if (sent == 0) return {};
  const KafkaClient& client = *producer_->client;
  switch (const rd_kafka_resp_err_t error = rd_kafka_last_error()) {
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
      return Fail(Errc::kOverloaded,
                  format("{} records wait for Kafka, limit {} or {} KiB (librdkafka.queue.buffering.max.messages, "
                         "librdkafka.queue.buffering.max.kbytes)",
                         rd_kafka_outq_len(client.handle()), client.Setting("queue.buffering.max.messages"),
                         client.Setting("queue.buffering.max.kbytes")));
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
      return Fail(
          Errc::kTooLarge,
          format("a record of {}, limit {} (librdkafka.message.max.bytes; max.message.bytes of topic {})",
                 FormatBytes(key.size() + value.size()), FormatBytes(producer_->max_record_bytes), options_.topic));
    default: return Fail(client.Explain(error, "publish to topic " + options_.topic));
  }
}

void KafkaPublisher::Finish(std::unique_ptr<PendingBatch> pending) {
  PublishResult result = pending->Outcome([&](rd_kafka_resp_err_t error) { return ErrorOf(error); });
  if (const Error* first = FirstError(result)) metrics_.errors(ReasonOf(first->code())).Add();
  metrics_.published.Add(static_cast<double>(pending->series() - result.failures.size()));
  const std::chrono::duration<double> took = deps_.clock.Steady() - pending->began();
  metrics_.publish_seconds.Observe(took.count());
  {
    Done done = pending->TakeDone();
    pending.reset();
    done(std::move(result));
  }  // `done` and what it holds are destroyed before Flush() can return
  MutexLock lock(mutex_);
  if (--pending_ == 0) answered_.NotifyAll();
}

Error KafkaPublisher::ErrorOf(rd_kafka_resp_err_t error) {
  switch (error) {
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
      return {Errc::kUnavailable, "Kafka had not acknowledged the record when publishing ended"};
    case kBatchTooLarge:
      return {Errc::kUnavailable, format("topic {} accepts less than {} per batch (its max.message.bytes); set "
                                         "librdkafka.message.max.bytes and librdkafka.batch.size to that limit",
                                         options_.topic, FormatBytes(producer_->max_batch_bytes))};
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
      return {Errc::kTooLarge, format("a record of {} or more is larger than topic {} accepts (its max.message.bytes)",
                                      FormatBytes(producer_->max_batch_bytes), options_.topic)};
    default: break;
  }
  Error explained = producer_->client->Explain(error, "publish to topic " + options_.topic);
  if (IsDenial(error)) {
    MutexLock lock(mutex_);
    denied_.emplace(explained, deps_.clock.Steady() + kShowDenied);
  }
  return explained;
}

Status KafkaPublisher::Health() const {
  MutexLock lock(mutex_);
  if (stopped_) return Fail(Errc::kUnavailable, "publishing to Kafka is stopped");
  if (unavailable_) return Fail(*unavailable_);
  if (denied_ && deps_.clock.Steady() < denied_->second) return Fail(denied_->first);
  return {};
}

bool KafkaPublisher::Flush(milliseconds timeout) {
  const TimePoint deadline = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(mutex_);
  while (pending_ > 0 || !activity_.empty()) {
    if (!answered_.WaitUntil(mutex_, deadline)) return pending_ == 0 && activity_.empty();
  }
  return true;
}

// After stopped_ is set, pending_ can only fall. But a caller that was counted in pending_ before may still hand over
// records. So giving up is not one purge: the polling thread purges with every turn until it ends, and this waits until
// the last batch is answered.
void KafkaPublisher::Stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
  }
  if (Flush(options_.stop_timeout)) return;
  giving_up_ = true;
  MutexLock lock(mutex_);
  while (pending_ > 0) answered_.Wait(mutex_);
}

void KafkaPublisher::Run() {
  while (!ending_) {
    rd_kafka_t* handle = producer_->client->handle();
    rd_kafka_poll(handle, static_cast<int>(kPollWait.count()));
    queued_.Set(rd_kafka_outq_len(handle));
    if (giving_up_) GiveUp();
    SendActivity();
    if (!giving_up_) ProbeWhenDue();
  }
  GiveUp();
  while (rd_kafka_outq_len(producer_->client->handle()) > 0) {
    rd_kafka_poll(producer_->client->handle(), static_cast<int>(kPollWait.count()));
  }
}

void KafkaPublisher::SendActivity() {
  bool available = false;
  bool at_once = false;
  {
    MutexLock lock(mutex_);
    available = !unavailable_;
    at_once = stopped_;
  }
  for (const std::string& record : activity_.TakeRecords(deps_.clock.Steady(), at_once, producer_->max_record_bytes)) {
    const bool sent = available && Produce(producer_->activity_topic.get(), {}, record, nullptr);
    if (!sent) activity_.OnDelivery(record.size(), false);
  }
  if (activity_.empty()) answered_.NotifyAll();  // a Flush that misses this one gets the next
}

// What waits and what is in flight is reported as failed.
void KafkaPublisher::GiveUp() {
  rd_kafka_purge(producer_->client->handle(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
}

void KafkaPublisher::OnDelivery(const rd_kafka_message_t& record) {
  auto* ours = static_cast<PendingBatch::Record*>(record._private);
  if (ours == nullptr) return activity_.OnDelivery(record.len, record.err == RD_KAFKA_RESP_ERR_NO_ERROR);
  ours->error = OutcomeOf(record);
  PendingBatch& batch = *ours->batch;
  if (batch.Settle(1)) Finish(std::unique_ptr<PendingBatch>(&batch));
}

rd_kafka_resp_err_t KafkaPublisher::OutcomeOf(const rd_kafka_message_t& record) {
  switch (record.err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT: return record.err;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case kBatchTooLarge:
      probe_ = true;
      topic_settings_read_ = false;
      // A broker refuses a whole batch for its size. A record that fills a batch was alone in it, so it can never
      // succeed. The others may.
      return record.len + record.key_len >= producer_->max_batch_bytes ? RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE
                                                                       : kBatchTooLarge;
    default: probe_ = true; return record.err;
  }
}

// librdkafka reports nothing more for the records of a dead producer, so they are given up.
void KafkaPublisher::OnFatal(const Error& error) {
  SetUnavailable(error);
  giving_up_ = true;
  deps_.fatal(error);
}

// Keeps unavailable_, which decides whether Publish accepts anything:
//
//   unavailable ──(a probe succeeds: the topic can be written)──────────────> available
//   unavailable <──(a probe fails, all brokers are down, or they refuse us)── available
//
// A record that fails does not close the publisher, it only asks for a probe: the brokers know better than one record
// whether the next one has a chance. The first SetAvailable also hands producer_ to the other threads: they use it only
// after they have seen under mutex_ that unavailable_ is empty. Until then AdoptTopicLimit may replace it.
//
// Cost: at most one probe per probe_interval. Delivery reports wait for it: usually one round trip, at worst
// kBriefTimeout, and longer only where topics are created or their settings are read.
void KafkaPublisher::ProbeWhenDue() {
  if (const std::optional<Error> down = producer_->client->down()) {
    probe_ = true;
    SetUnavailable(*down);
  }
  const TimePoint now = deps_.clock.Steady();
  if (!probe_ || now < next_probe_) return;
  next_probe_ = now + options_.probe_interval;
  probe_ = false;  // before the question: what goes wrong meanwhile counts
  Status usable = CheckTopic();
  if (usable) usable = AdoptTopicLimit();
  if (usable) {
    producer_->client->ForgetDown();
    return SetAvailable();
  }
  probe_ = true;
  if (!giving_up_) SetUnavailable(usable.error());
}

// Whether the topic can be written. Creates it, and the activity topic beside it, if they are missing.
Status KafkaPublisher::CheckTopic() {
  const KafkaClient& client = *producer_->client;
  const KafkaClient::Topic topic = TRY(client.AskTopic(options_.topic, kBriefTimeout));
  if (!topic.exists) {
    TRY(client.CreateTopic({.name = options_.topic,
                            .partitions = options_.new_topic_partitions,
                            .settings = {{"cleanup.policy", "compact"}}},
                           options_.admin_timeout));
    deps_.log.Info("kafka: topic {} did not exist; it was created with cleanup.policy=compact", options_.topic);
  } else if (topic.with_leader == 0) {
    return Fail(Errc::kUnavailable,
                format("Kafka: no partition of topic {} has a leader (metric_store.producer.hosts)", options_.topic));
  }
  if (!std::exchange(topic_settings_read_, true)) {
    // Publishing needs neither the activity topic nor the permission to read settings: failures are only logged.
    if (const Status created = CreateActivityTopic(); !created) {
      deps_.log.Warn("kafka: {}; last_seen is not updated until it exists", created.error().message());
    }
    if (const Status read = ReadSettings(); !read) {
      if (read.error().message() != logged_settings_) deps_.log.Info("kafka: {}", read.error().message());
      logged_settings_ = read.error().message();
    }
  }
  return {};
}

Status KafkaPublisher::CreateActivityTopic() {
  const KafkaClient& client = *producer_->client;
  const std::string name = ActivityTopic(options_.topic);
  if (TRY(client.AskTopic(name, kBriefTimeout)).exists) return {};
  return client.CreateTopic({.name = name, .settings = {{"cleanup.policy", "delete"}, {"retention.ms", "86400000"}}},
                            options_.admin_timeout);
}

Status KafkaPublisher::ReadSettings() {
  auto settings = TRY(producer_->client->ReadTopicSettings(options_.topic, options_.admin_timeout));
  const std::string& policy = settings["cleanup.policy"];
  if (!policy.contains("compact")) {
    deps_.log.Warn(
        "kafka: topic {} has cleanup.policy={}, retention.ms={}: series expire from it, and a replay restores only "
        "those that are left. Recommended: cleanup.policy=compact. The topic is not changed",
        options_.topic, policy, settings["retention.ms"]);
  }
  const std::string& limit = settings["max.message.bytes"];
  std::from_chars(limit.data(), limit.data() + limit.size(), topic_max_bytes_);
  return {};
}

// A broker refuses a whole batch that is larger than the topic's max.message.bytes, so the producer must not make
// larger ones. librdkafka cannot change the limits of a handle. Before the first record another producer takes its
// place; after it, only a restart helps.
Status KafkaPublisher::AdoptTopicLimit() {
  if (topic_max_bytes_ == 0) return {};
  const size_t limit = std::max(kSmallestMessageLimit, topic_max_bytes_ - std::min(kBatchOverhead, topic_max_bytes_));
  if (limit >= producer_->max_record_bytes) return {};
  const std::string accepts = FormatBytes(topic_max_bytes_);
  if (was_available_) {
    OnFatal({Errc::kUnavailable,
             format("topic {} now accepts at most {} per batch (its max.message.bytes), and this process sends up to "
                    "{}: a restart adopts the new limit",
                    options_.topic, accepts, FormatBytes(producer_->max_record_bytes))});
    return Fail(Errc::kUnavailable, "restarting");
  }
  deps_.log.Info("kafka: topic {} accepts at most {} per batch (its max.message.bytes), so no more is sent at once",
                 options_.topic, accepts);
  producer_ = TRY(CreateProducer(limit));
  return {};
}

void KafkaPublisher::SetAvailable() {
  was_available_ = true;
  up_.Set(1);
  MutexLock lock(mutex_);
  if (!unavailable_) return;
  unavailable_.reset();
  deps_.log.Info("kafka: publishing to topic {}", options_.topic);
}

void KafkaPublisher::SetUnavailable(const Error& why) {
  up_.Set(0);
  bool was_available = false;
  {
    MutexLock lock(mutex_);
    was_available = !unavailable_;
    unavailable_ = why;
  }
  const TimePoint now = deps_.clock.Steady();
  if (!was_available && (why.message() == logged_ || now < logged_at_ + kLogAgain)) return;
  logged_ = why.message();
  logged_at_ = now;
  deps_.log.Warn("kafka: nothing can be published: {}", logged_);
}

}  // namespace mi::stream
