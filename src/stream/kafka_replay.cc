#include "stream/kafka_replay.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/format.h"
#include "stream/kafka_dead_letters.h"
#include "stream/kafka_reader.h"

namespace mi::stream {
namespace {

using std::chrono::milliseconds;

// Of fetched records: all lanes of a replay together, and one at least.
constexpr unsigned kQueueKb = 262'144;
constexpr unsigned kLeastQueueKb = 32'768;

// No member of it is ever made: librdkafka reads partitions of one's own choice only with a group's name.
constexpr std::string_view kGroup = "metric-index-replay";

class Replay final : public KafkaReplay {
 public:
  Replay(const KafkaReplayOptions& options, const KafkaDeps& deps)
      : options_(options), deps_(deps), letters_(options.kafka, deps.log) {}
  Status Connect();

  Status Start(PositionLookup positions) override;
  Result<Polled> Poll(size_t max_series, milliseconds max_wait) override;
  Status Rewind() override;
  Status DeadLetter(const PoisonRecord& record) override { return letters_.Write(record); }
  void Release(std::span<const StreamPosition> /*durable*/) override {}
  Lag CurrentLag() const override;
  void Wake() override {
    reader_->Wake();
    letters_.Wake();
  }
  bool finished() const override;
  Progress progress() const override;

 private:
  Result<std::vector<KafkaStart>> StartsOf(const std::string& topic);
  Status SeekToTime(const std::string& topic, std::vector<KafkaStart>& starts);
  Status NoteEvent(const rd_kafka_message_t& event);

  const KafkaReplayOptions options_;
  const KafkaDeps deps_;
  KafkaDeadLetters letters_;
  std::unique_ptr<KafkaClient> client_;
  std::unique_ptr<KafkaReader> reader_;
  std::vector<KafkaStart> starts_;  // with the ends of Start()
  std::atomic<bool> started_ = false;
};

Status Replay::Connect() {
  KafkaClientSpec spec = KafkaReaderSpec(std::string(kGroup));
  spec.defaults.insert(spec.defaults.end(), {{"queued.max.messages.kbytes",
                                              std::to_string(std::max(kLeastQueueKb, kQueueKb / options_.lanes))},
                                             {"queued.min.messages", "1000000"}});
  spec.fixed.emplace_back("enable.partition.eof", "true");  // the last offsets of a log may hold nothing to read
  Result<std::unique_ptr<KafkaClient>> client = KafkaClient::Create(spec, options_.kafka, deps_.log, nullptr);
  if (!client) return Fail(client.error());
  client_ = std::move(*client);
  rd_kafka_poll_set_consumer(client_->handle());
  reader_ = std::make_unique<KafkaReader>(*client_, options_.kafka.identity_secret, deps_);
  return {};
}

Status Replay::Start(PositionLookup positions) {
  started_ = false;
  std::vector<KafkaStart> starts;
  for (const std::string& topic : options_.topics) {
    const Result<std::vector<KafkaStart>> found = StartsOf(topic);
    if (!found) return Fail(found.error());
    starts.insert(starts.end(), found->begin(), found->end());
  }
  // The positions that a replay stores must not pass what the store has not applied yet.
  for (KafkaStart& start : starts) {
    if (!options_.from_ms || !positions) break;
    const Result<std::optional<int64_t>> stored = positions(start.topic, start.partition);
    if (!stored) return Fail(stored.error());
    if (*stored) start.offset = std::min(start.offset, **stored);
  }
  starts_ = std::move(starts);
  if (Status assigned = reader_->Assign(starts_); !assigned) return assigned;
  started_ = true;
  return {};
}

Result<std::vector<KafkaStart>> Replay::StartsOf(const std::string& topic) {
  const Result<KafkaClient::Topic> found = client_->AskTopic(topic, kBrokerTimeout);
  if (!found) return Fail(found.error());
  if (!found->exists) {
    return Fail(Errc::kInvalid, format("topic {} does not exist (metric_store.consumer.topics)", topic));
  }
  std::vector<KafkaStart> starts;
  for (auto partition = static_cast<int32_t>(options_.lane); partition < found->partitions;
       partition += static_cast<int32_t>(options_.lanes)) {
    const Result<KafkaBounds> bounds = AskBounds(*client_, topic, partition, kBrokerTimeout);
    if (!bounds) return Fail(bounds.error());
    starts.push_back({topic, partition, bounds->first, bounds->end});
  }
  if (options_.from_ms && !starts.empty()) {
    if (Status sought = SeekToTime(topic, starts); !sought) return Fail(sought.error());
  }
  return starts;
}

// The first record of that time or later; where there is none, the end.
Status Replay::SeekToTime(const std::string& topic, std::vector<KafkaStart>& starts) {
  const KafkaPartitionsPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(starts.size())));
  for (const KafkaStart& start : starts) {
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), start.partition)->offset = *options_.from_ms;
  }
  const rd_kafka_resp_err_t error =
      rd_kafka_offsets_for_times(client_->handle(), list.get(), static_cast<int>(kBrokerTimeout.count()));
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return Fail(client_->Explain(error, "offsets of topic " + topic));
  for (KafkaStart& start : starts) {
    const auto* found = rd_kafka_topic_partition_list_find(list.get(), topic.c_str(), start.partition);
    if (found->err != RD_KAFKA_RESP_ERR_NO_ERROR)
      return Fail(client_->Explain(found->err, "offsets of topic " + topic));
    start.offset = found->offset < 0 ? start.end : found->offset;
  }
  return {};
}

Status Replay::Rewind() { return reader_->Assign(starts_); }

Result<Polled> Replay::Poll(size_t max_series, milliseconds max_wait) {
  Result<Polled> polled = reader_->Poll(
      max_series, max_wait, [] { return Status(); },
      [this](const rd_kafka_message_t& event) { return NoteEvent(event); });
  if (polled && polled->empty() && !finished()) {
    if (const std::optional<Error> down = client_->down()) {
      // Said once: whether it still is so is asked with the next records.
      client_->ForgetDown();
      return Fail(*down);
    }
  }
  return polled;
}

Status Replay::NoteEvent(const rd_kafka_message_t& event) {
  if (event.err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    reader_->Pass({rd_kafka_topic_name(event.rkt), event.partition}, event.offset);
    return {};
  }
  if (event.err == RD_KAFKA_RESP_ERR__TRANSPORT || event.err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) return {};
  return Fail(client_->Explain(event.err, "replay"));
}

bool Replay::finished() const {
  if (!started_) return false;
  const Progress now = progress();
  return now.read == now.total;
}

KafkaReplay::Progress Replay::progress() const {
  Progress progress;
  if (!started_) return progress;
  const auto readings = reader_->readings();
  for (const KafkaStart& start : starts_) {
    progress.total += static_cast<uint64_t>(start.end - start.offset);
    const auto reading = readings.find({start.topic, start.partition});
    if (reading == readings.end()) continue;
    progress.read += static_cast<uint64_t>(std::clamp(reading->second.next, start.offset, start.end) - start.offset);
  }
  return progress;
}

// Up to the end that counts.
SeriesConsumer::Lag Replay::CurrentLag() const {
  Lag lag;
  if (!started_) return lag;
  const auto readings = reader_->readings();
  for (const KafkaStart& start : starts_) {
    const auto reading = readings.find({start.topic, start.partition});
    if (reading == readings.end()) continue;
    lag.records += static_cast<uint64_t>(start.end - std::clamp(reading->second.applied, start.offset, start.end));
  }
  if (lag.records > 0) lag.oldest_seen_at_ms = reader_->lag().oldest_seen_at_ms;
  return lag;
}

}  // namespace

Result<std::unique_ptr<KafkaReplay>> KafkaReplay::Create(const KafkaReplayOptions& options, const KafkaDeps& deps) {
  auto replay = std::make_unique<Replay>(options, deps);
  if (Status connected = replay->Connect(); !connected) return Fail(connected.error());
  return replay;
}

}  // namespace mi::stream
