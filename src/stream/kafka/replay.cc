#include "stream/kafka/replay.h"

#include <algorithm>
#include <cassert>
#include <optional>
#include <utility>

#include "base/format.h"

namespace mi::stream {
namespace {

// Of fetched records: for all lanes of a replay together, and the least for one.
constexpr unsigned kQueueKb = 262'144;
constexpr unsigned kMinQueueKb = 32'768;

// librdkafka requires a group's name even to read partitions of one's own choice. The group never has a member.
constexpr const char* kGroup = "metric-index-replay";

}  // namespace

Result<std::unique_ptr<KafkaReplay>> KafkaReplay::Create(const KafkaReplayOptions& options, const StreamDeps& deps) {
  assert(options.lane < options.lanes);
  std::unique_ptr<KafkaReplay> replay(new KafkaReplay(options, deps));
  KafkaClientSpec spec = KafkaReaderSpec(kGroup);
  spec.defaults.insert(spec.defaults.end(),
                       {{"queued.max.messages.kbytes", std::to_string(std::max(kMinQueueKb, kQueueKb / options.lanes))},
                        {"queued.min.messages", "1000000"}});
  spec.fixed.emplace_back("enable.partition.eof", "true");  // the last offsets of a log may hold no record
  replay->client_ = TRY(KafkaClient::Create(spec, options.kafka, deps));
  return replay;
}

// Fixes what is read: for each partition of the lane the range [offset, end), as the brokers have it now. What is
// published later is not the replay's. The replay is finished when the progress of each partition has reached its end.
// That progress counts offsets, not records: PARTITION_EOF moves it over offsets at the end that compaction or
// transactions have left without a record.
Status KafkaReplay::Start(PositionLookup positions) {
  started_ = false;
  starts_.clear();
  for (const std::string& topic : topics_) {
    std::ranges::move(TRY(StartsOf(topic)), std::back_inserter(starts_));
  }
  // The positions that a replay stores must not pass records that the store has not applied yet.
  if (options_.from_ms && positions) {
    for (KafkaStart& start : starts_) {
      const std::optional<int64_t> stored = TRY(positions(start.partition.first, start.partition.second));
      if (stored) start.offset = std::min(start.offset, *stored);
    }
  }
  TRY(Assign(starts_));
  started_ = true;
  return {};
}

Result<std::vector<KafkaStart>> KafkaReplay::StartsOf(const std::string& topic) {
  const KafkaClient::Topic found = TRY(client_->AskTopic(topic, kBrokerTimeout));
  if (!found.exists) {
    return Fail(Errc::kInvalid, format("topic {} does not exist (metric_store.consumer.topics)", topic));
  }
  std::vector<KafkaStart> starts;
  for (auto number = static_cast<int32_t>(options_.lane); number < found.partitions;
       number += static_cast<int32_t>(options_.lanes)) {
    const KafkaClient::Offsets has = TRY(client_->AskOffsets(topic, number, kBrokerTimeout));
    starts.push_back({{topic, number}, has.first, has.end});
  }
  if (options_.from_ms && !starts.empty()) TRY(SeekToTime(topic, starts));
  return starts;
}

// To the first record with that time or a later one; to the end if there is none.
Status KafkaReplay::SeekToTime(const std::string& topic, std::vector<KafkaStart>& starts) {
  const KafkaPartitionsPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(starts.size())));
  for (const KafkaStart& start : starts) {
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), start.partition.second)->offset = *options_.from_ms;
  }
  const std::string what = "offsets of topic " + topic;
  const rd_kafka_resp_err_t error =
      rd_kafka_offsets_for_times(client_->handle(), list.get(), static_cast<int>(kBrokerTimeout.count()));
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return Fail(client_->Explain(error, what));
  for (KafkaStart& start : starts) {
    const auto* found = rd_kafka_topic_partition_list_find(list.get(), topic.c_str(), start.partition.second);
    if (found->err != RD_KAFKA_RESP_ERR_NO_ERROR) return Fail(client_->Explain(found->err, what));
    start.offset = found->offset < 0 ? start.end : found->offset;
  }
  return {};
}

uint64_t KafkaReplay::CountBefore(int64_t Progress::* offset) const {
  const auto all = progress();
  int64_t passed = 0;
  for (const KafkaStart& start : starts_) {
    const auto found = all.find(start.partition);
    if (found != all.end()) passed += std::clamp(found->second.*offset, start.offset, start.end) - start.offset;
  }
  return static_cast<uint64_t>(passed);
}

bool KafkaReplay::finished() const {
  const Totals now = totals();
  return started_ && now.read == now.total;
}

KafkaReplay::Totals KafkaReplay::totals() const {
  Totals totals;
  if (!started_) return totals;
  for (const KafkaStart& start : starts_) totals.total += static_cast<uint64_t>(start.end - start.offset);
  totals.read = CountBefore(&Progress::next);
  return totals;
}

// Counts up to the end at Start only.
SeriesConsumer::Lag KafkaReplay::CurrentLag() const {
  Lag lag = KafkaPartitionReader::CurrentLag();
  if (!started_) return {};
  lag.records = totals().total - CountBefore(&Progress::applied);
  if (lag.records == 0) lag.oldest_seen_at_ms = 0;
  return lag;
}

}  // namespace mi::stream
