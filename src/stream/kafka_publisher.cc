#include "stream/kafka_publisher.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/format.h"
#include "base/mutex.h"
#include "codec/kafka_record.h"
#include "stream/kafka_flight.h"
#include "stream/kafka_metrics.h"
#include "stream/kafka_producer.h"
#include "stream/kafka_series_topic.h"
#include "stream/kafka_sightings.h"

namespace mi::stream {
namespace {

using std::chrono::milliseconds;
using TimePoint = std::chrono::steady_clock::time_point;

constexpr milliseconds kPollWait{50};  // what activity and probes may be late by
constexpr std::chrono::seconds kDeniedFor{30};
constexpr size_t kActivityRecord = 16'384;  // fingerprints
constexpr size_t kSmallestLimit = 1'000;    // librdkafka's own for message.max.bytes

size_t RecordsOf(const model::SeriesBatch& batch) { return batch.size() + batch.metadata().size(); }

PublishResult Failed(const model::SeriesBatch& batch, const Error& error) {
  PublishResult result;
  result.failures.reserve(batch.size());
  for (size_t i = 0; i < batch.size(); ++i) result.failures.push_back({i, error});
  if (!batch.metadata().empty()) result.metadata_failure = error;
  return result;
}

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
  void PublishActivity(model::ActivityBatch batch) override;
  bool Flush(milliseconds timeout) override EXCLUDES(mutex_);
  void Stop() override EXCLUDES(mutex_);

 private:
  Result<std::shared_ptr<KafkaProducer>> Make(size_t max_bytes);
  void Send(const KafkaProducer& producer, const model::SeriesBatch& batch, KafkaFlight& flight);
  void Settle(KafkaFlight& flight, size_t count) EXCLUDES(mutex_);
  void OnDelivery(const rd_kafka_message_t& record) override;
  void SettleActivity(size_t fingerprints, bool sent) EXCLUDES(mutex_);
  Error ErrorOf(const rd_kafka_message_t& record);

  // The polling thread's.
  void Run();
  void SendActivity();
  void ProbeWhenDue() EXCLUDES(mutex_);
  void Open() EXCLUDES(mutex_);
  void Close(const Error& why) EXCLUDES(mutex_);
  void Renew(size_t max_bytes) EXCLUDES(mutex_);
  void BuryRetired();

  const KafkaPublisherOptions options_;
  const KafkaDeps deps_;
  const uint64_t secret_check_;
  KafkaPublishMetrics metrics_;

  mutable Mutex mutex_;
  CondVar answered_;
  std::shared_ptr<KafkaProducer> producer_ GUARDED_BY(mutex_);  // shared: who sends through it holds it meanwhile
  std::optional<Error> closed_ GUARDED_BY(mutex_);              // why nothing is taken
  std::optional<std::pair<Error, TimePoint>> denied_ GUARDED_BY(mutex_);  // for Health() until then
  size_t under_way_ GUARDED_BY(mutex_) = 0;                               // batches
  bool stopped_ GUARDED_BY(mutex_) = false;

  KafkaSightings sightings_;

  // The polling thread's alone, and OnDelivery's, which it calls.
  std::shared_ptr<KafkaProducer> polled_;
  KafkaSeriesTopic topic_;
  std::vector<std::shared_ptr<KafkaProducer>> retired_;
  TimePoint next_probe_;
  TimePoint renewed_at_;
  milliseconds renew_delay_{0};
  std::string logged_;  // why it is closed
  TimePoint logged_at_;
  bool suspicious_ = true;      // something failed: ask the brokers
  bool limit_doubted_ = false;  // the topic refused what was within the limit

  std::atomic<bool> draining_ = false;
  std::atomic<bool> giving_up_ = false;
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

Publisher::Publisher(const KafkaPublisherOptions& options, const KafkaDeps& deps)
    : options_(options),
      deps_(deps),
      secret_check_(model::SecretCheck(options.kafka.identity_secret)),
      metrics_(deps.metrics),
      sightings_(options.activity_delay, kActivityRecord, options.max_activity_fingerprints),
      topic_(options.topic, options.new_topic_partitions, options.admin_timeout, deps.log) {
  closed_.emplace(Errc::kUnavailable, "Kafka: not connected yet (metric_store.producer.hosts)");
  metrics_.up.Set(0);
}

Publisher::~Publisher() {
  Stop();
  ending_ = true;
  if (thread_.joinable()) thread_.join();
}

Status Publisher::Begin() {
  Result<std::shared_ptr<KafkaProducer>> producer = Make(0);
  if (!producer) return Fail(producer.error());
  {
    MutexLock lock(mutex_);
    producer_ = *producer;
  }
  polled_ = std::move(*producer);
  thread_ = std::thread([this] { Run(); });
  return {};
}

Result<std::shared_ptr<KafkaProducer>> Publisher::Make(size_t max_bytes) {
  Result<std::unique_ptr<KafkaProducer>> made =
      KafkaProducer::Create(options_.kafka, options_.topic, ActivityTopic(options_.topic), max_bytes, deps_.log, *this);
  if (!made) return Fail(made.error());
  return std::shared_ptr<KafkaProducer>(std::move(*made));
}

void Publisher::Publish(std::shared_ptr<const model::SeriesBatch> batch, Done done) {
  if (batch->empty()) return done({});
  std::shared_ptr<KafkaProducer> producer;
  std::optional<Error> refused;
  std::string reason;
  {
    MutexLock lock(mutex_);
    if (stopped_) {
      refused.emplace(Errc::kUnavailable, "publishing to Kafka is stopped");
      reason = "stopped";
    } else if (closed_) {
      refused = closed_;
      reason = "unavailable";
    } else {
      producer = producer_;
      ++under_way_;
    }
  }
  if (refused) {
    metrics_.errors(reason).Add();
    return done(Failed(*batch, *refused));
  }
  // Frees itself with the last of its records.
  auto* flight = new KafkaFlight(batch->size(), batch->metadata().size(), std::move(done), deps_.clock.Steady());
  Send(*producer, *batch, *flight);
}

void Publisher::Send(const KafkaProducer& producer, const model::SeriesBatch& batch, KafkaFlight& flight) {
  codec::KafkaRecordText text;
  size_t settled = 1;  // having brought all
  std::optional<Error> full;
  for (size_t i = 0; i < RecordsOf(batch); ++i) {
    Status taken;
    if (full) {
      taken = Fail(*full);
    } else if (i < batch.size()) {
      taken = codec::EncodeSeriesRecord(batch.tenant(), batch.seen_at_ms(), batch[i].labels, text);
    } else {
      codec::EncodeMetadataRecord(batch.tenant(), batch.seen_at_ms(), batch.metadata()[i - batch.size()], text);
    }
    if (taken) taken = producer.Send({.key = text.key, .value = text.value, .seat = flight.seat(i)});
    if (taken) continue;
    if (!full && taken.error().code() == Errc::kOverloaded) full = taken.error();
    flight.Refuse(i, std::move(taken.error()));
    ++settled;
  }
  Settle(flight, settled);
}

void Publisher::Settle(KafkaFlight& flight, size_t count) {
  const std::unique_ptr<KafkaFlight::Outcome> outcome = flight.Settle(count);
  if (outcome == nullptr) return;
  metrics_.published.Add(static_cast<double>(outcome->durable));
  if (const Error* first = FirstError(outcome->result)) metrics_.errors(ReasonOf(*first)).Add();
  const std::chrono::duration<double> took = deps_.clock.Steady() - outcome->began;
  metrics_.publish_seconds.Observe(took.count());
  outcome->done(std::move(outcome->result));
  outcome->done = nullptr;  // what it holds goes before Flush() says that nothing is left
  MutexLock lock(mutex_);
  if (--under_way_ == 0) answered_.NotifyAll();
}

void Publisher::OnDelivery(const rd_kafka_message_t& record) {
  auto* seat = static_cast<KafkaFlight::Seat*>(record._private);
  if (seat == nullptr) {  // activity: lost or not, it is no longer under way
    const size_t fingerprints = (record.len - codec::kActivityHeaderBytes) / sizeof(model::Fingerprint);
    return SettleActivity(fingerprints, record.err == RD_KAFKA_RESP_ERR_NO_ERROR);
  }
  KafkaFlight& flight = *seat->flight;
  if (record.err != RD_KAFKA_RESP_ERR_NO_ERROR) flight.Lose(seat->index, ErrorOf(record));
  Settle(flight, 1);
}

void Publisher::SettleActivity(size_t fingerprints, bool sent) {
  if (!sent) metrics_.activity_dropped.Add(static_cast<double>(fingerprints));
  if (!sightings_.Settle(fingerprints)) return;
  MutexLock lock(mutex_);  // or who looks at it now misses this
  answered_.NotifyAll();
}

Error Publisher::ErrorOf(const rd_kafka_message_t& record) {
  switch (record.err) {
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
      return {Errc::kUnavailable, "Kafka had not acknowledged it when publishing ended"};
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE: {
      // The broker refuses the whole batch of records for its size. Alone, each may fit: learn the limit, and let them
      // come again.
      limit_doubted_ = true;
      return {Errc::kUnavailable, format("topic {} takes less than {} at once (its max.message.bytes)", options_.topic,
                                         FormatBytes(polled_->max_bytes()))};
    }
    default: break;
  }
  Error error = polled_->client().Explain(record.err, "publish to topic " + options_.topic);
  suspicious_ = true;
  if (IsDenial(record.err)) {
    MutexLock lock(mutex_);
    denied_.emplace(error, deps_.clock.Steady() + kDeniedFor);
  }
  return error;
}

Status Publisher::Health() const {
  MutexLock lock(mutex_);
  if (stopped_) return Fail(Errc::kUnavailable, "publishing to Kafka is stopped");
  if (closed_) return Fail(*closed_);
  if (denied_ && deps_.clock.Steady() < denied_->second) return Fail(denied_->first);
  return {};
}

void Publisher::PublishActivity(model::ActivityBatch batch) {
  if (batch.fingerprints.empty() || sightings_.Add(batch, deps_.clock.Steady())) return;
  metrics_.activity_dropped.Add(static_cast<double>(batch.fingerprints.size()));
}

bool Publisher::Flush(milliseconds timeout) {
  const TimePoint deadline = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(mutex_);
  while (under_way_ > 0 || !sightings_.empty()) {
    if (!answered_.WaitUntil(mutex_, deadline)) return under_way_ == 0 && sightings_.empty();
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

void Publisher::Run() {
  while (!ending_) {
    polled_->Poll(kPollWait);
    metrics_.queued.Set(static_cast<double>(polled_->queued()));
    if (giving_up_) polled_->GiveUp();
    BuryRetired();
    SendActivity();
    if (const std::optional<Error> fatal = polled_->client().fatal()) {
      Close(*fatal);
      // One that ends at once is not made again and again without a pause.
      if (deps_.clock.Steady() >= renewed_at_ + renew_delay_) Renew(polled_->max_bytes());
    } else {
      ProbeWhenDue();
    }
  }
  polled_->GiveUp();
  while (!retired_.empty() || polled_->queued() > 0) {
    polled_->Poll(kPollWait);
    BuryRetired();
  }
}

void Publisher::SendActivity() {
  const model::ActivityBatch due = sightings_.TakeDue(deps_.clock.Steady(), draining_);
  if (due.fingerprints.empty()) return;
  bool away = false;
  {
    MutexLock lock(mutex_);
    away = closed_.has_value();
  }
  if (away) return SettleActivity(due.fingerprints.size(), false);  // a hint is not worth the wait
  const size_t fits = (polled_->max_bytes() - kSmallestLimit / 2) / sizeof(model::Fingerprint);
  std::span<const model::Fingerprint> left = due.fingerprints;
  while (!left.empty()) {
    const auto part = left.first(std::min({left.size(), kActivityRecord, fits}));
    left = left.subspan(part.size());
    const std::string bytes = codec::EncodeActivityRecord({
        .window_s = static_cast<uint32_t>(options_.activity_interval.count()),
        .seen_at_s = static_cast<uint64_t>(due.seen_at_ms / 1'000),
        .secret_check = secret_check_,
        .fingerprints = part,
    });
    if (polled_->SendAside({.key = {}, .value = bytes})) continue;
    SettleActivity(part.size(), false);
  }
}

void Publisher::ProbeWhenDue() {
  std::optional<Error> down = polled_->client().down();
  if (down) {
    Close(*down);
  } else if (!suspicious_ && !limit_doubted_) {
    return;
  }
  const TimePoint now = deps_.clock.Steady();
  if (now < next_probe_) return;
  next_probe_ = now + options_.probe_interval;
  if (std::exchange(limit_doubted_, false)) topic_.Doubt();
  suspicious_ = false;  // before the question: what goes wrong meanwhile counts
  if (const Status asked = topic_.Check(polled_->client()); !asked) {
    suspicious_ = true;
    return Close(asked.error());
  }
  polled_->client().ForgetDown();
  const size_t takes = topic_.max_bytes() == 0 ? polled_->max_bytes() : std::max(kSmallestLimit, topic_.max_bytes());
  if (takes < polled_->max_bytes()) {
    deps_.log.Info("kafka: topic {} takes {} at once (max.message.bytes): so do we", options_.topic,
                   FormatBytes(takes));
    Renew(takes);
  }
  Open();
}

void Publisher::Open() {
  bool was_closed = false;
  {
    MutexLock lock(mutex_);
    was_closed = closed_.has_value();
    closed_.reset();
  }
  metrics_.up.Set(1);
  if (was_closed) deps_.log.Info("kafka: publishing to topic {}", options_.topic);
}

void Publisher::Close(const Error& why) {
  constexpr std::chrono::seconds kQuiet{10};
  bool was_open = false;
  {
    MutexLock lock(mutex_);
    was_open = !closed_;
    closed_ = why;
  }
  metrics_.up.Set(0);
  // One outage has many reasons, one after the other.
  const TimePoint now = deps_.clock.Steady();
  if (!was_open && (why.message() == logged_ || now < logged_at_ + kQuiet)) return;
  logged_ = why.message();
  logged_at_ = now;
  deps_.log.Warn("kafka: nothing can be published: {}", logged_);
}

// Who holds the old one goes on with it; it goes when all of its records are reported.
void Publisher::Renew(size_t max_bytes) {
  constexpr milliseconds kFirst{1'000};
  constexpr milliseconds kLongest{30'000};
  const TimePoint now = deps_.clock.Steady();
  const bool soon = now - renewed_at_ < 2 * kLongest;
  renew_delay_ = soon ? std::min(std::max(kFirst, 2 * renew_delay_), kLongest) : kFirst;
  renewed_at_ = now;
  Result<std::shared_ptr<KafkaProducer>> made = Make(max_bytes);
  if (!made) return Close(made.error());
  metrics_.restarts.Add();
  // A dead one reports nothing on its own; one that only has another limit finishes what it has.
  if (polled_->client().fatal()) polled_->GiveUp();
  retired_.push_back(std::exchange(polled_, *made));
  suspicious_ = true;
  next_probe_ = now;
  MutexLock lock(mutex_);
  producer_ = std::move(*made);
}

void Publisher::BuryRetired() {
  std::erase_if(retired_, [&](const std::shared_ptr<KafkaProducer>& old) {
    if (giving_up_ || ending_ || old->client().fatal()) old->GiveUp();
    old->Poll(milliseconds(0));
    return old.use_count() == 1 && old->queued() == 0;
  });
}

}  // namespace

Result<std::unique_ptr<KafkaPublisher>> KafkaPublisher::Create(const KafkaPublisherOptions& options,
                                                               const KafkaDeps& deps) {
  auto publisher = std::make_unique<Publisher>(options, deps);
  if (Status begun = publisher->Begin(); !begun) return Fail(begun.error());
  return publisher;
}

}  // namespace mi::stream
