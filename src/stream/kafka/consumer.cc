#include "stream/kafka/consumer.h"

#include <algorithm>

#include "base/format.h"

namespace mi::stream {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLeaveTimeout{2'000};  // all workers of a process leave within app.shutdown_timeout
// The metadata of the offsets that are committed for a new group that starts at the newest records.
constexpr std::string_view kStartedAtNewest = "metric-index: began at newest";

std::vector<KafkaPartition> PartitionsOf(const rd_kafka_topic_partition_list_t& list) {
  std::vector<KafkaPartition> partitions;
  for (const rd_kafka_topic_partition_t& one : std::span(list.elems, static_cast<size_t>(list.cnt))) {
    partitions.emplace_back(one.topic, one.partition);
  }
  return partitions;
}

}  // namespace

Result<std::unique_ptr<KafkaConsumer>> KafkaConsumer::Create(const KafkaConsumerOptions& options,
                                                             const StreamDeps& deps) {
  if (options.topics.empty()) return Fail(Errc::kInvalid, "no topic to read (metric_store.consumer.topics)");
  std::unique_ptr<KafkaConsumer> consumer(new KafkaConsumer(options, deps));
  KafkaClientSpec spec = KafkaReaderSpec(options.group_id);
  spec.on_rebalance = [self = consumer.get()](rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t& partitions) {
    self->OnRebalance(what, partitions);
  };
  consumer->client_ = TRY(KafkaClient::Create(spec, options.kafka, deps));
  return consumer;
}

KafkaConsumer::~KafkaConsumer() {
  Forget();
  if (subscribed_) KafkaClient::Leave(std::move(client_), kLeaveTimeout);
}

Status KafkaConsumer::Start(PositionLookup positions) {
  positions_ = std::move(positions);
  // Partitions are assigned by a later Poll, but whether the store answers can be checked now.
  TRY(positions_(topics_.front(), 0));
  if (subscribed_) return Rewind();
  TRY(client_->Subscribe(topics_));
  subscribed_ = true;
  return {};
}

// A partition is in one of three states:
//
//   not ours ──(assigned)──> unlocated_ ──(ReadUnlocated)──> progress(): it is read
//      ^                         |                              |
//      └───────(revoked)─────────┴──────────────────────────────┘
//
// OnRebalance makes the outer transitions. It replaces the whole state, because the strategies that the configuration
// allows revoke all partitions before they assign any. If the lookup fails, all partitions stay in unlocated_, and the
// next Poll repeats it: a partition is never read before its position is known.
Result<Polled> KafkaConsumer::Poll(size_t max_series, milliseconds max_wait) {
  const auto deadline = std::chrono::steady_clock::now() + max_wait;
  // Also while the lookup fails: polling answers rebalances, and keeps this member in the group.
  Result<Polled> polled = KafkaPartitionReader::Poll(max_series, unlocated_.empty() ? max_wait : milliseconds(0));
  if (unlocated_.empty()) return polled;
  TRY(ReadUnlocated());
  return KafkaPartitionReader::Poll(max_series,
                                    std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now()));
}

// Runs inside a poll, which then ends without records. New partitions are confirmed before it is known where to read
// them, because the whole group waits for that: the lookup may be slow, and may fail.
void KafkaConsumer::OnRebalance(rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t& partitions) {
  const bool assigned = what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
  const KafkaPartitionsPtr none(rd_kafka_topic_partition_list_new(0));
  rd_kafka_assign(client_->handle(), assigned ? none.get() : nullptr);
  Forget();
  unlocated_.clear();
  if (!assigned) return;
  unlocated_ = PartitionsOf(partitions);
  trouble_.reset();
}

Status KafkaConsumer::ReadUnlocated() {
  if (unlocated_.empty()) return {};
  TRY(ReadFromStored(unlocated_));
  unlocated_.clear();
  return {};
}

Status KafkaConsumer::Rewind() {
  if (!unlocated_.empty()) return ReadUnlocated();
  std::vector<KafkaPartition> partitions;
  for (const auto& [partition, at] : progress()) partitions.push_back(partition);
  return partitions.empty() ? Status() : ReadFromStored(partitions);
}

Status KafkaConsumer::ReadFromStored(const std::vector<KafkaPartition>& partitions) {
  std::vector<KafkaStart> starts;
  std::optional<Offsets> newest;  // looked up once, for the first partition without a position
  for (const KafkaPartition& partition : partitions) {
    std::optional<int64_t> stored = TRY(positions_(partition.first, partition.second));
    if (!stored && newest_) {
      if (!newest) newest = TRY(NewestStarts());
      if (const auto at = newest->find(partition); at != newest->end()) stored = at->second;
    }
    starts.push_back(TRY(StartOf(partition, stored)));
  }
  return Assign(starts);
}

Result<KafkaStart> KafkaConsumer::StartOf(const KafkaPartition& partition, std::optional<int64_t> stored) {
  const auto& [topic, number] = partition;
  const KafkaClient::Offsets has = TRY(client_->AskOffsets(topic, number, kBrokerTimeout));
  KafkaStart start{.partition = partition, .offset = stored.value_or(has.first), .end = has.end};
  if (start.offset > has.end) {
    deps_.log.Warn(
        "kafka: the store is {} offsets ahead of topic {}, partition {}, which ends at {}: the topic was created "
        "again. It is read from its first record",
        start.offset - has.end, topic, number, has.end);
    start.offset = has.first;
  } else if (start.offset < has.first) {
    deps_.log.Warn(
        "kafka: the store has applied topic {}, partition {} up to offset {}, but it begins at {}: the records in "
        "between have expired. Their series return when their senders repeat them; a compacted topic would have kept "
        "them",
        topic, number, start.offset, has.first);
    start.offset = has.first;
  }
  return start;
}

// Where partitions start that the store does not know, if `offset_type` is newest. A partition that is missing from the
// result starts at its first record.
//
// The group is new only if neither Kafka nor the store has an offset for any of its partitions. Then the first worker
// commits the ends of all partitions to Kafka, marked with kStartedAtNewest, before anything is read. Other workers,
// and this one after a crash, find the marked offsets and start at the same records, so that no record between two
// starts is skipped. Two workers that look at the same moment both commit, and the later commit stands. Offsets without
// the mark come from another program and say nothing about our store.
Result<KafkaConsumer::Offsets> KafkaConsumer::NewestStarts() {
  const std::vector<KafkaPartition> all = TRY(AllPartitions());
  const KafkaPartitionsPtr committed = TRY(Committed(all));
  Offsets marked;
  bool in_kafka = false;
  for (const rd_kafka_topic_partition_t& found : std::span(committed->elems, static_cast<size_t>(committed->cnt))) {
    if (found.offset < 0) continue;
    in_kafka = true;
    const std::string_view mark(static_cast<const char*>(found.metadata), found.metadata_size);
    if (mark == kStartedAtNewest) marked[{found.topic, found.partition}] = found.offset;
  }
  if (in_kafka) return marked;
  for (const auto& [topic, number] : all) {
    if (TRY(positions_(topic, number))) return marked;
  }
  return StartGroupAtTheEnd(all);
}

Result<std::vector<KafkaPartition>> KafkaConsumer::AllPartitions() {
  std::vector<KafkaPartition> all;
  for (const std::string& topic : topics_) {
    const KafkaClient::Topic found = TRY(client_->AskTopic(topic, kBrokerTimeout));
    for (int32_t i = 0; i < found.partitions; ++i) all.emplace_back(topic, i);
  }
  return all;
}

Result<KafkaPartitionsPtr> KafkaConsumer::Committed(const std::vector<KafkaPartition>& partitions) {
  KafkaPartitionsPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(partitions.size())));
  for (const auto& [topic, number] : partitions) rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), number);
  const rd_kafka_resp_err_t error =
      rd_kafka_committed(client_->handle(), list.get(), static_cast<int>(kBrokerTimeout.count()));
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return list;
  return Fail(client_->Explain(error, "offsets of group " + group_));
}

Result<KafkaConsumer::Offsets> KafkaConsumer::StartGroupAtTheEnd(const std::vector<KafkaPartition>& partitions) {
  Offsets starts;
  const KafkaPartitionsPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(partitions.size())));
  for (const auto& [topic, number] : partitions) {
    const int64_t end = TRY(client_->AskOffsets(topic, number, kBrokerTimeout)).end;
    starts[{topic, number}] = end;
    rd_kafka_topic_partition_t* entry = rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), number);
    entry->offset = end;
    entry->metadata = rd_kafka_mem_malloc(nullptr, kStartedAtNewest.size());  // the list frees it
    if (entry->metadata == nullptr) OutOfMemory();
    std::ranges::copy(kStartedAtNewest, static_cast<char*>(entry->metadata));
    entry->metadata_size = kStartedAtNewest.size();
  }
  const rd_kafka_resp_err_t error = rd_kafka_commit(client_->handle(), list.get(), 0);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return Fail(client_->Explain(error, "start group " + group_));
  deps_.log.Info("kafka: group {} is new and starts after the newest record (metric_store.consumer.offset_type)",
                 group_);
  return starts;
}

void KafkaConsumer::Release(std::span<const StreamPosition> durable) {
  const auto all = progress();
  const KafkaPartitionsPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(durable.size())));
  for (const StreamPosition& position : durable) {
    const auto found = all.find({position.stream, position.partition});
    if (found == all.end() || position.next_offset > found->second.next) continue;
    rd_kafka_topic_partition_list_add(list.get(), position.stream.c_str(), position.partition)->offset =
        position.next_offset;
  }
  if (list->cnt == 0) return;
  // Only tools read it. If this commit is lost, the next one covers more.
  const rd_kafka_resp_err_t error = rd_kafka_commit(client_->handle(), list.get(), 1);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) deps_.log.Debug("kafka: commit: {}", rd_kafka_err2str(error));
}

}  // namespace mi::stream
