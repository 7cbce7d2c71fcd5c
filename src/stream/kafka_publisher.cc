#include "stream/kafka_publisher.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <new>
#include <optional>
#include <thread>
#include <utility>

#include "base/format.h"
#include "base/mutex.h"
#include "codec/kafka_record.h"
#include "stream/kafka_activity.h"
#include "stream/kafka_flight.h"
#include "stream/kafka_gate.h"
#include "stream/kafka_metrics.h"
#include "stream/kafka_producers.h"
#include "stream/kafka_series_topic.h"

namespace mi::stream {
namespace {

using std::chrono::milliseconds;
using TimePoint = std::chrono::steady_clock::time_point;

constexpr milliseconds kPollWait{50};     // what activity and probes may be late by
constexpr size_t kSmallestLimit = 1'000;  // librdkafka's own for message.max.bytes
constexpr size_t kNone = std::numeric_limits<size_t>::max();
// Of a record that was refused together with others, as its seat has it. MSG_SIZE_TOO_LARGE is one that was alone.
constexpr rd_kafka_resp_err_t kBatchTooLarge = RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE;

size_t RecordsOf(const model::SeriesBatch& batch) { return batch.size() + batch.metadata().size(); }

const Error* FirstError(const PublishResult& result) {
  if (!result.failures.empty()) return &result.failures.front().error;
  return result.metadata_failure ? &*result.metadata_failure : nullptr;
}

std::string ReasonOf(const Error& error) {
  switch (error.code()) {
    case Errc::kOverloaded: return "queue";
    case Errc::kTooLarge: return "too_large";
    case Errc::kUnavailable: return "unavailable";
    case Errc::kInvalid:
    case Errc::kCorrupt:
    case Errc::kOutdated:
    case Errc::kInternal: return "internal";
  }
  return "internal";
}

bool IsDenial(rd_kafka_resp_err_t error) {
  return error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
         error == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
}

class Publisher final : public KafkaPublisher, private KafkaEvents {
 public:
  Publisher(const KafkaPublisherOptions& options, const KafkaDeps& deps);
  ~Publisher() override;
  Status Begin();

  void Publish(std::shared_ptr<const model::SeriesBatch> batch, Done done) override EXCLUDES(mutex_);
  Status Health() const override EXCLUDES(mutex_);
  void PublishActivity(model::ActivityBatch batch) override { activity_.Add(batch, deps_.clock.Steady()); }
  bool Flush(milliseconds timeout) override EXCLUDES(mutex_);
  void Stop() override EXCLUDES(mutex_);

 private:
  void Refuse(const model::SeriesBatch& batch, Done& done, const Error& why, const std::string& reason);
  void Send(const model::SeriesBatch& batch, KafkaFlight& flight);
  void Land(std::unique_ptr<KafkaFlight> flight) EXCLUDES(mutex_);
  Error ErrorOf(rd_kafka_resp_err_t error, const KafkaProducer& producer);

  // The polling thread's.
  void OnDelivery(const rd_kafka_message_t& record) override;
  rd_kafka_resp_err_t Judge(const rd_kafka_message_t& record, const KafkaProducer& producer);
  void Run();
  void Turn();
  void LandLate() EXCLUDES(mutex_);
  void ProbeWhenDue();
  void Adapt(size_t refused_batch);
  void Renew(const KafkaProducer::Limits& limits);
  void TellNothingIsLeft() EXCLUDES(mutex_);

  const KafkaPublisherOptions options_;
  const KafkaDeps deps_;
  KafkaPublishMetrics metrics_;
  KafkaGate gate_;
  KafkaProducers producers_;
  KafkaActivity activity_;

  mutable Mutex mutex_;
  CondVar answered_;
  size_t under_way_ GUARDED_BY(mutex_) = 0;         // batches
  KafkaFlight* late_ GUARDED_BY(mutex_) = nullptr;  // those that found no memory to land
  bool stopped_ GUARDED_BY(mutex_) = false;

  // The polling thread's alone, and OnDelivery's, which it calls.
  KafkaSeriesTopic topic_;
  TimePoint next_probe_;
  bool suspicious_ = true;        // something failed: ask the brokers
  size_t refused_batch_ = kNone;  // the least batch.size of which a batch was refused for its size

  std::atomic<bool> draining_ = false;
  std::atomic<bool> giving_up_ = false;
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

Publisher::Publisher(const KafkaPublisherOptions& options, const KafkaDeps& deps)
    : options_(options),
      deps_(deps),
      metrics_(deps.metrics),
      gate_(options.topic, deps, metrics_.up),
      producers_(options.kafka, options.topic, deps, *this),
      activity_(options, metrics_),
      topic_(options.topic, options.new_topic_partitions, options.admin_timeout, deps.log) {}

Publisher::~Publisher() {
  Stop();
  ending_ = true;
  if (thread_.joinable()) thread_.join();
}

Status Publisher::Begin() {
  if (Status begun = producers_.Begin(); !begun) return begun;
  thread_ = std::thread([this] { Run(); });
  return {};
}

void Publisher::Publish(std::shared_ptr<const model::SeriesBatch> batch, Done done) {
  if (batch->empty()) return done({});
  if (const std::optional<Error> closed = gate_.closed()) return Refuse(*batch, done, *closed, "unavailable");
  std::unique_ptr<KafkaFlight> flight;
  try {
    flight = std::make_unique<KafkaFlight>(producers_.current(), batch->size(), batch->metadata().size(),
                                           std::move(done), deps_.clock.Steady());
  } catch (const std::bad_alloc&) {
    return Refuse(*batch, done, Error(Errc::kOverloaded, "no memory"), "memory");  // NOLINT: it was not taken then
  }
  bool stopped = false;
  {
    MutexLock lock(mutex_);
    stopped = stopped_;
    if (!stopped) ++under_way_;
  }
  if (stopped) {
    done = flight->TakeDone();
    return Refuse(*batch, done, Error(Errc::kUnavailable, "publishing to Kafka is stopped"), "stopped");
  }
  Send(*batch, *flight.release());  // who settles the last of its records lands it
}

void Publisher::Refuse(const model::SeriesBatch& batch, Done& done, const Error& why, const std::string& reason) {
  metrics_.errors(reason).Add();
  done(AllFailed(batch, why));
}

void Publisher::Send(const model::SeriesBatch& batch, KafkaFlight& flight) {
  const size_t records = RecordsOf(batch);
  size_t settled = 1;  // having brought all
  size_t i = 0;
  try {
    codec::KafkaRecordText text;
    for (; i < records; ++i) {
      Status taken;
      if (i < batch.size()) {
        taken = codec::EncodeSeriesRecord(batch.tenant(), batch.seen_at_ms(), batch[i].labels, text);
      } else {
        codec::EncodeMetadataRecord(batch.tenant(), batch.seen_at_ms(), batch.metadata()[i - batch.size()], text);
      }
      if (taken) taken = flight.producer().Send({.key = text.key, .value = text.value, .seat = flight.seat(i)});
      if (taken) continue;
      if (taken.error().code() == Errc::kOverloaded) {
        flight.RefuseFrom(i, std::move(taken.error()));
        break;
      }
      flight.Refuse(i, std::move(taken.error()));
      ++settled;
    }
  } catch (const std::bad_alloc&) {
    flight.RefuseFrom(i, Error(Errc::kOverloaded, "no memory"));
  }
  settled += records - i;
  if (flight.Settle(settled)) Land(std::unique_ptr<KafkaFlight>(&flight));
}

void Publisher::Land(std::unique_ptr<KafkaFlight> flight) {
  PublishResult result;
  try {
    result = flight->Report([&](rd_kafka_resp_err_t error) { return ErrorOf(error, flight->producer()); });
    if (const Error* first = FirstError(result)) metrics_.errors(ReasonOf(*first)).Add();
  } catch (const std::bad_alloc&) {
    MutexLock lock(mutex_);
    flight->next = late_;
    late_ = flight.release();
    return;
  }
  metrics_.published.Add(static_cast<double>(flight->series() - result.failures.size()));
  const std::chrono::duration<double> took = deps_.clock.Steady() - flight->began();
  metrics_.publish_seconds.Observe(took.count());
  Done done = flight->TakeDone();
  flight.reset();
  try {
    done(std::move(result));
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch)
    // Who was to hear it has no memory for that: its sender gets no answer in time, and repeats it.
  }
  done = nullptr;  // what it holds goes before Flush() says that nothing is left
  MutexLock lock(mutex_);
  if (--under_way_ == 0) answered_.NotifyAll();
}

Error Publisher::ErrorOf(rd_kafka_resp_err_t error, const KafkaProducer& producer) {
  switch (error) {
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
      return {Errc::kUnavailable, "Kafka had not acknowledged it when publishing ended"};
    case kBatchTooLarge:
      return {Errc::kUnavailable, format("topic {} takes less than {} at once (its max.message.bytes)", options_.topic,
                                         FormatBytes(producer.limits().batch_bytes))};
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
      return {Errc::kTooLarge, format("a record of {} or more is larger than topic {} takes (its max.message.bytes)",
                                      FormatBytes(producer.limits().batch_bytes), options_.topic)};
    default: break;
  }
  Error explained = producer.client().Explain(error, "publish to topic " + options_.topic);
  if (IsDenial(error)) gate_.Deny(explained);
  return explained;
}

Status Publisher::Health() const {
  {
    MutexLock lock(mutex_);
    if (stopped_) return Fail(Errc::kUnavailable, "publishing to Kafka is stopped");
  }
  return gate_.Health();
}

bool Publisher::Flush(milliseconds timeout) {
  const TimePoint deadline = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(mutex_);
  while (under_way_ > 0 || !activity_.empty()) {
    if (!answered_.WaitUntil(mutex_, deadline)) return under_way_ == 0 && activity_.empty();
  }
  return true;
}

void Publisher::Stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
  }
  draining_ = true;
  if (Flush(options_.stop_timeout)) return;
  giving_up_ = true;
  MutexLock lock(mutex_);
  while (under_way_ > 0) answered_.Wait(mutex_);
}

// Called from within librdkafka: nothing here may throw.
void Publisher::OnDelivery(const rd_kafka_message_t& record) {
  auto* seat = static_cast<KafkaFlight::Seat*>(record._private);
  if (seat == nullptr) {
    if (activity_.OnDelivery(record)) TellNothingIsLeft();
    return;
  }
  KafkaFlight& flight = *seat->flight;
  seat->error = Judge(record, flight.producer());
  if (flight.Settle(1)) Land(std::unique_ptr<KafkaFlight>(&flight));
}

rd_kafka_resp_err_t Publisher::Judge(const rd_kafka_message_t& record, const KafkaProducer& producer) {
  switch (record.err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT: return record.err;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case kBatchTooLarge: {
      // A broker refuses a whole batch of records for its size. One that fills a batch was alone in it; others are to
      // come again, in smaller company.
      const size_t batch_bytes = producer.limits().batch_bytes;
      if (record.len + record.key_len >= batch_bytes) return RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
      refused_batch_ = std::min(refused_batch_, batch_bytes);
      return kBatchTooLarge;
    }
    default: suspicious_ = true; return record.err;
  }
}

void Publisher::TellNothingIsLeft() {
  MutexLock lock(mutex_);  // or who looks at it now misses this
  answered_.NotifyAll();
}

void Publisher::Run() {
  while (!ending_) {
    try {
      Turn();
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(kPollWait);
    }
  }
  producers_.polled().GiveUp();
  while (!producers_.none_left()) {
    producers_.polled().Poll(kPollWait);
    producers_.BuryRetired(true);
  }
}

void Publisher::Turn() {
  const KafkaProducer& polled = producers_.polled();
  polled.Poll(kPollWait);
  metrics_.queued.Set(static_cast<double>(polled.queued()));
  if (giving_up_) polled.GiveUp();
  LandLate();
  producers_.BuryRetired(giving_up_);
  if (activity_.Send(polled, gate_.closed().has_value(), deps_.clock.Steady(), draining_)) TellNothingIsLeft();
  if (const std::optional<Error> fatal = polled.client().fatal()) {
    gate_.Close(*fatal);
    if (producers_.may_renew()) Renew(polled.limits());
  } else {
    ProbeWhenDue();
  }
}

void Publisher::LandLate() {
  KafkaFlight* late = nullptr;
  {
    MutexLock lock(mutex_);
    late = std::exchange(late_, nullptr);
  }
  while (late != nullptr) Land(std::unique_ptr<KafkaFlight>(std::exchange(late, late->next)));
}

void Publisher::ProbeWhenDue() {
  const KafkaClient& client = producers_.polled().client();
  if (const std::optional<Error> down = client.down()) {
    gate_.Close(*down);
  } else if (!suspicious_ && refused_batch_ == kNone) {
    return;
  }
  const TimePoint now = deps_.clock.Steady();
  if (now < next_probe_) return;
  next_probe_ = now + options_.probe_interval;
  const size_t refused_batch = std::exchange(refused_batch_, kNone);
  if (refused_batch != kNone) topic_.Doubt();
  suspicious_ = false;  // before the question: what goes wrong meanwhile counts
  if (const Status asked = topic_.Check(client); !asked) {
    suspicious_ = true;
    return gate_.Close(asked.error());
  }
  producers_.polled().client().ForgetDown();
  Adapt(refused_batch);
  gate_.Open();
}

// To what the topic says that it takes; where it does not say, or says more than it takes, to half of what was refused.
void Publisher::Adapt(size_t refused_batch) {
  const KafkaProducer::Limits now = producers_.polled().limits();
  const size_t takes = topic_.max_bytes() == 0 ? now.max_bytes : std::max(kSmallestLimit, topic_.max_bytes());
  if (takes < now.max_bytes) {
    deps_.log.Info("kafka: topic {} takes {} at once (max.message.bytes): so do we", options_.topic,
                   FormatBytes(takes));
    Renew({takes, std::min(takes, now.batch_bytes)});
  } else if (refused_batch <= now.batch_bytes && now.batch_bytes > 1) {
    deps_.log.Info("kafka: topic {} takes less than {} at once (its max.message.bytes): half of that from now on",
                   options_.topic, FormatBytes(now.batch_bytes));
    Renew({now.max_bytes, now.batch_bytes / 2});
  }
}

void Publisher::Renew(const KafkaProducer::Limits& limits) {
  if (const Status renewed = producers_.Renew(limits); !renewed) return gate_.Close(renewed.error());
  metrics_.restarts.Add();
  suspicious_ = true;
  next_probe_ = deps_.clock.Steady();
}

}  // namespace

Result<std::unique_ptr<KafkaPublisher>> KafkaPublisher::Create(const KafkaPublisherOptions& options,
                                                               const KafkaDeps& deps) {
  auto publisher = std::make_unique<Publisher>(options, deps);
  if (Status begun = publisher->Begin(); !begun) return Fail(begun.error());
  return publisher;
}

}  // namespace mi::stream
