#include "stream/kafka_consumer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/format.h"
#include "stream/kafka_dead_letters.h"
#include "stream/kafka_reader.h"

namespace mi::stream {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLeaveTimeout{2'000};  // all workers of a process leave within app.shutdown_timeout
constexpr milliseconds kAskEvery{1'000};
// Stands with the offsets that a new group is given in Kafka when it begins at the newest record.
constexpr std::string_view kBornHere = "metric-index: began at newest";

class Consumer final : public KafkaConsumer, private KafkaEvents {
 public:
  Consumer(const KafkaConsumerOptions& options, const KafkaDeps& deps)
      : options_(options), deps_(deps), letters_(options.kafka, deps.log) {}
  ~Consumer() override;
  Status Connect();

  Status Start(PositionLookup positions) override;
  Result<Polled> Poll(size_t max_series, milliseconds max_wait) override;
  Status Rewind() override;
  Status DeadLetter(const PoisonRecord& record) override { return letters_.Write(record); }
  void Release(std::span<const StreamPosition> durable) override;
  Lag CurrentLag() const override { return reader_->lag(); }
  void Wake() override {
    reader_->Wake();
    letters_.Wake();
  }
  size_t assigned() const override { return reader_->readings().size(); }

 private:
  using Key = KafkaReader::Key;

  void OnRebalance(rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t& partitions) override;
  Status BeginWaiting();
  Status Begin(const std::vector<Key>& partitions);
  Result<KafkaStart> StartOf(const Key& partition, std::optional<int64_t> stored);
  Result<std::map<Key, int64_t>> NewestStarts();
  Result<bool> IsKnownToStore(const std::vector<Key>& partitions);
  Result<std::vector<Key>> AllPartitions();
  Result<KafkaPartitionsPtr> Committed(const std::vector<Key>& partitions);
  Status BeginGroupAtTheEnd(const std::vector<Key>& partitions, std::map<Key, int64_t>& starts);
  Status NoteError(const rd_kafka_message_t& event);
  Status AskWhatIsWrong();

  const KafkaConsumerOptions options_;
  const KafkaDeps deps_;
  KafkaDeadLetters letters_;
  std::unique_ptr<KafkaClient> client_;
  std::unique_ptr<KafkaReader> reader_;
  PositionLookup positions_;
  bool subscribed_ = false;
  KafkaPartitionsPtr waiting_;    // assigned, but not looked up yet
  std::optional<Error> trouble_;  // with topics or the group
  std::chrono::steady_clock::time_point ask_at_;
};

Consumer::~Consumer() {
  reader_.reset();  // whoever looks at the gauges goes through it to the client
  if (client_ != nullptr && subscribed_) KafkaClient::Leave(std::move(client_), kLeaveTimeout);
}

Status Consumer::Connect() {
  Result<std::unique_ptr<KafkaClient>> client =
      KafkaClient::Create(KafkaReaderSpec(options_.group_id), options_.kafka, deps_.log, this);
  if (!client) return Fail(client.error());
  client_ = std::move(*client);
  rd_kafka_poll_set_consumer(client_->handle());
  reader_ = std::make_unique<KafkaReader>(*client_, options_.kafka.identity_secret, deps_);
  return {};
}

Status Consumer::Start(PositionLookup positions) {
  positions_ = std::move(positions);
  // Partitions come with a later Poll; that the store answers can be known now.
  if (const auto stored = positions_(options_.topics.front(), 0); !stored) return Fail(stored.error());
  if (subscribed_) return Rewind();
  const KafkaPartitionsPtr topics(rd_kafka_topic_partition_list_new(static_cast<int>(options_.topics.size())));
  for (const std::string& topic : options_.topics) {
    rd_kafka_topic_partition_list_add(topics.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
  }
  const rd_kafka_resp_err_t error = rd_kafka_subscribe(client_->handle(), topics.get());
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return Fail(client_->Explain(error, "join group " + options_.group_id));
  subscribed_ = true;
  return {};
}

Result<Polled> Consumer::Poll(size_t max_series, milliseconds max_wait) {
  Result<Polled> polled = reader_->Poll(
      max_series, max_wait, [this] { return BeginWaiting(); },
      [this](const rd_kafka_message_t& event) { return NoteError(event); });
  if (!polled) return polled;
  if (!polled->empty()) {
    trouble_.reset();
  } else if (Status asked = AskWhatIsWrong(); !asked) {
    return Fail(asked.error());
  }
  return polled;
}

// Called from within a poll: only notes what is assigned, without memory of ours. The lookup may take its time, and
// fail.
void Consumer::OnRebalance(rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t& partitions) {
  waiting_.reset();
  if (what != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) return reader_->GiveBack();
  reader_->Take();
  waiting_.reset(rd_kafka_topic_partition_list_copy(&partitions));
  trouble_.reset();
}

Status Consumer::BeginWaiting() {
  if (waiting_ == nullptr) return {};
  std::vector<Key> partitions;
  for (const rd_kafka_topic_partition_t& one : std::span(waiting_->elems, static_cast<size_t>(waiting_->cnt))) {
    partitions.emplace_back(one.topic, one.partition);
  }
  if (Status begun = Begin(partitions); !begun) return begun;
  waiting_.reset();
  return {};
}

Status Consumer::Rewind() {
  if (waiting_ != nullptr) return BeginWaiting();
  std::vector<Key> partitions;
  for (const auto& [key, reading] : reader_->readings()) partitions.push_back(key);
  if (partitions.empty()) return {};
  return Begin(partitions);
}

Status Consumer::Begin(const std::vector<Key>& partitions) {
  std::vector<KafkaStart> starts;
  std::optional<std::map<Key, int64_t>> newest;  // asked for once, by the first partition without a position
  for (const Key& key : partitions) {
    Result<std::optional<int64_t>> stored = positions_(key.first, key.second);
    if (!stored) return Fail(stored.error());
    if (!*stored && options_.offset_type == "newest") {
      if (!newest) {
        Result<std::map<Key, int64_t>> found = NewestStarts();
        if (!found) return Fail(found.error());
        newest = std::move(*found);
      }
      if (const auto at = newest->find(key); at != newest->end()) *stored = at->second;
    }
    const Result<KafkaStart> start = StartOf(key, *stored);
    if (!start) return Fail(start.error());
    starts.push_back(*start);
  }
  return reader_->Assign(starts);
}

Result<KafkaStart> Consumer::StartOf(const Key& partition, std::optional<int64_t> stored) {
  const auto& [topic, number] = partition;
  const Result<KafkaBounds> bounds = AskBounds(*client_, topic, number, kBrokerTimeout);
  if (!bounds) return Fail(bounds.error());
  KafkaStart start{.topic = topic, .partition = number, .offset = stored.value_or(bounds->first), .end = bounds->end};
  if (start.offset > bounds->end) {
    deps_.log.Warn(
        "kafka: the store is {} offsets ahead of topic {}, partition {}, which ends at {}: the topic was made again. "
        "It is "
        "read from its first record",
        start.offset - bounds->end, topic, number, bounds->end);
    start.offset = bounds->first;
  } else if (start.offset < bounds->first) {
    deps_.log.Warn(
        "kafka: the store has applied topic {}, partition {} up to offset {}, but it begins at {}: what was between "
        "has "
        "left the topic. It comes back as senders repeat it; a compacted topic would have kept it",
        topic, number, start.offset, bounds->first);
    start.offset = bounds->first;
  }
  return start;
}

// Where partitions begin that the store does not know, if the group is a new one that wants the newest records; nothing
// for those that begin at their first record.
Result<std::map<KafkaReader::Key, int64_t>> Consumer::NewestStarts() {
  const Result<std::vector<Key>> all = AllPartitions();
  if (!all) return Fail(all.error());
  const Result<KafkaPartitionsPtr> committed = Committed(*all);
  if (!committed) return Fail(committed.error());
  std::map<Key, int64_t> starts;
  bool in_kafka = false;
  for (int i = 0; i < (*committed)->cnt; ++i) {
    const rd_kafka_topic_partition_t& found = (*committed)->elems[i];
    if (found.offset < 0) continue;
    in_kafka = true;
    const std::string_view note(static_cast<const char*>(found.metadata), found.metadata_size);
    if (note == kBornHere) starts[{found.topic, found.partition}] = found.offset;
  }
  if (in_kafka) return starts;
  const Result<bool> in_store = IsKnownToStore(*all);
  if (!in_store) return Fail(in_store.error());
  if (!*in_store) {
    if (Status begun = BeginGroupAtTheEnd(*all, starts); !begun) return Fail(begun.error());
  }
  return starts;
}

Result<bool> Consumer::IsKnownToStore(const std::vector<Key>& partitions) {
  for (const Key& key : partitions) {
    const Result<std::optional<int64_t>> stored = positions_(key.first, key.second);
    if (!stored) return Fail(stored.error());
    if (*stored) return true;
  }
  return false;
}

Result<std::vector<KafkaReader::Key>> Consumer::AllPartitions() {
  std::vector<Key> all;
  for (const std::string& topic : options_.topics) {
    const Result<KafkaClient::Topic> found = client_->AskTopic(topic, kBrokerTimeout);
    if (!found) return Fail(found.error());
    for (int32_t i = 0; i < found->partitions; ++i) all.emplace_back(topic, i);
  }
  return all;
}

Result<KafkaPartitionsPtr> Consumer::Committed(const std::vector<Key>& partitions) {
  KafkaPartitionsPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(partitions.size())));
  for (const Key& key : partitions) rd_kafka_topic_partition_list_add(list.get(), key.first.c_str(), key.second);
  const rd_kafka_resp_err_t error =
      rd_kafka_committed(client_->handle(), list.get(), static_cast<int>(kBrokerTimeout.count()));
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
    return Fail(client_->Explain(error, "offsets of group " + options_.group_id));
  return list;
}

// All partitions at once, and in Kafka before anything is read: the other workers, and this one after a crash, then
// begin where this one does, and nothing that comes meanwhile is passed over.
Status Consumer::BeginGroupAtTheEnd(const std::vector<Key>& partitions, std::map<Key, int64_t>& starts) {
  const KafkaPartitionsPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(partitions.size())));
  for (const Key& key : partitions) {
    const Result<KafkaBounds> bounds = AskBounds(*client_, key.first, key.second, kBrokerTimeout);
    if (!bounds) return Fail(bounds.error());
    starts[key] = bounds->end;
    rd_kafka_topic_partition_t* entry = rd_kafka_topic_partition_list_add(list.get(), key.first.c_str(), key.second);
    entry->offset = bounds->end;
    entry->metadata = rd_kafka_mem_malloc(nullptr, kBornHere.size());  // the list frees it
    std::ranges::copy(kBornHere, static_cast<char*>(entry->metadata));
    entry->metadata_size = kBornHere.size();
  }
  const rd_kafka_resp_err_t error = rd_kafka_commit(client_->handle(), list.get(), 0);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return Fail(client_->Explain(error, "begin group " + options_.group_id));
  deps_.log.Info("kafka: group {} is new and begins behind the newest record (metric_store.consumer.offset_type)",
                 options_.group_id);
  return {};
}

void Consumer::Release(std::span<const StreamPosition> durable) {
  const std::map<Key, KafkaReader::Reading> readings = reader_->readings();
  const KafkaPartitionsPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(durable.size())));
  for (const StreamPosition& position : durable) {
    const auto reading = readings.find({position.stream, position.partition});
    if (reading == readings.end() || position.next_offset > reading->second.next) continue;
    rd_kafka_topic_partition_list_add(list.get(), position.stream.c_str(), position.partition)->offset =
        position.next_offset;
  }
  if (list->cnt == 0) return;
  // For tools alone: the next release says it again if this one is lost.
  const rd_kafka_resp_err_t error = rd_kafka_commit(client_->handle(), list.get(), 1);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) deps_.log.Debug("kafka: commit: {}", rd_kafka_err2str(error));
}

Status Consumer::NoteError(const rd_kafka_message_t& event) {
  switch (event.err) {
    case RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED:
      deps_.log.Warn("kafka: {}; the partitions went to others meanwhile", rd_kafka_message_errstr(&event));
      return {};
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN: return {};  // AskWhatIsWrong() follows it
    default: break;
  }
  trouble_ = client_->Explain(event.err, event.rkt != nullptr ? format("topic {}", rd_kafka_topic_name(event.rkt))
                                                              : format("group {}", options_.group_id));
  return Fail(*trouble_);
}

// While nothing comes and something was said to be wrong, asks whether it still is.
Status Consumer::AskWhatIsWrong() {
  const std::optional<Error> down = client_->down();
  if (!down && !trouble_) return {};
  const auto now = deps_.clock.Steady();
  if (now >= ask_at_) {
    ask_at_ = now + kAskEvery;
    Status asked;
    for (const std::string& topic : options_.topics) {
      const Result<KafkaClient::Topic> found = client_->AskTopic(topic, kBriefTimeout);
      if (!found) {
        asked = Fail(found.error());
      } else if (!found->exists) {
        asked = Fail(client_->Explain(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, "topic " + topic));
      }
    }
    if (asked) {
      client_->ForgetDown();
      trouble_.reset();
      return {};
    }
    trouble_ = asked.error();
  }
  return Fail(trouble_ ? *trouble_ : *down);
}

}  // namespace

Result<std::unique_ptr<KafkaConsumer>> KafkaConsumer::Create(const KafkaConsumerOptions& options,
                                                             const KafkaDeps& deps) {
  if (options.topics.empty()) return Fail(Errc::kInvalid, "no topic to read (metric_store.consumer.topics)");
  auto consumer = std::make_unique<Consumer>(options, deps);
  if (Status connected = consumer->Connect(); !connected) return Fail(connected.error());
  return consumer;
}

}  // namespace mi::stream
