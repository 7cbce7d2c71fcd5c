#include "stream/kafka/partition_reader.h"

#include <algorithm>

#include "base/format.h"

namespace mi::stream {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kMaxPolledRecordBytes = 64ULL << 20;  // of keys and values
constexpr milliseconds kCheckInterval{1'000};

// Builds a poll: one batch per tenant and time. Records keep the order in which they came, so the last record of a
// partition gives the partition's position, and a record's origin is the offset after it.
class PolledBuilder {
 public:
  PolledBuilder(codec::KafkaRecordDecoder& decoder, const Clock& clock) : decoder_(decoder), clock_(clock) {}

  void Add(const rd_kafka_message_t& record) {
    ++records_;
    bytes_ += record.len + record.key_len;
    const StreamPosition at = Advance(record);
    if (record.payload == nullptr) {
      ++tombstones_;
      return;
    }
    const std::string_view value(static_cast<const char*>(record.payload), record.len);
    int64_t time_ms = rd_kafka_message_timestamp(&record, nullptr);
    if (time_ms < 0) time_ms = clock_.NowMs();
    Result<codec::KafkaRecord> decoded = decoder_.Decode(value, time_ms);
    if (!decoded) {
      const std::string_view key(static_cast<const char*>(record.key), record.key_len);
      polled_.poison.push_back({at, std::string(value), decoded.error().message(), std::string(key)});
      return;
    }
    const size_t batch = BatchOf(decoded->tenant, decoded->seen_at_ms);
    const Origin origin{part_, at.next_offset};
    if (decoded->metadata) {
      polled_.origins[batch].metadata.push_back(origin);
      return polled_.batches[batch].AddMetadata(std::move(*decoded->metadata));
    }
    polled_.origins[batch].series.push_back(origin);
    polled_.batches[batch].Add(decoded->fingerprint, decoded->labels.canonical());
    ++polled_.series;
  }

  bool empty() const { return records_ == 0; }
  bool full(size_t max_series) const { return records_ >= max_series || bytes_ >= kMaxPolledRecordBytes; }
  size_t tombstones() const { return tombstones_; }
  Polled Take() { return std::move(polled_); }

 private:
  // Moves the partition's position behind the record.
  StreamPosition Advance(const rd_kafka_message_t& record) {
    const std::string_view topic = rd_kafka_topic_name(record.rkt);
    std::vector<StreamPosition>& next = polled_.next;
    const auto is_here = [&](const StreamPosition& at) {
      return at.partition == record.partition && at.stream == topic;
    };
    if (part_ >= next.size() || !is_here(next[part_])) {  // most records follow one of the same partition
      part_ = static_cast<size_t>(std::ranges::find_if(next, is_here) - next.begin());
      if (part_ == next.size()) next.push_back({std::string(topic), record.partition, 0});
    }
    next[part_].next_offset = record.offset + 1;
    return next[part_];
  }

  size_t BatchOf(const model::Tenant& tenant, int64_t seen_at_ms) {
    const auto [at, inserted] = batches_.try_emplace({tenant, seen_at_ms}, polled_.batches.size());
    if (inserted) {
      polled_.batches.emplace_back(tenant, seen_at_ms);
      polled_.origins.emplace_back();
    }
    return at->second;
  }

  codec::KafkaRecordDecoder& decoder_;
  const Clock& clock_;
  size_t part_ = 0;  // index into polled_.next: the last record's partition
  std::map<std::pair<model::Tenant, int64_t>, size_t> batches_;
  Polled polled_;
  size_t records_ = 0;
  size_t bytes_ = 0;
  size_t tombstones_ = 0;
};

}  // namespace

KafkaClientSpec KafkaReaderSpec(const std::string& group_id) {
  return {.type = RD_KAFKA_CONSUMER,
          .hosts_option = "metric_store.consumer.hosts",
          .topic_option = "metric_store.consumer.topics",
          .defaults = {{"session.timeout.ms", "10000"},
                       {"topic.metadata.refresh.interval.ms", "10000"},
                       {"queued.max.messages.kbytes", "32768"},
                       {"partition.assignment.strategy", "range"},
                       {"check.crcs", "true"}},
          // An offset that the topic no longer has means the earliest record, whatever `offset_type` is for new groups.
          .fixed = {{"group.id", group_id},
                    {"enable.auto.commit", "false"},
                    {"enable.auto.offset.store", "false"},
                    {"auto.offset.reset", "earliest"}}};
}

telemetry::Gauge& KafkaPartitionReader::LagGauge(const KafkaPartition& partition) const {
  return deps_.metrics.GetGauge("kafka_lag_records",
                                "Offsets of a partition that wait to be applied; 0 where another process reads it.",
                                {{"topic", partition.first}, {"partition", std::to_string(partition.second)}});
}

Status KafkaPartitionReader::Assign(const std::vector<KafkaStart>& starts) {
  std::map<KafkaPartition, Progress> progress;
  for (const KafkaStart& start : starts) progress[start.partition] = {start.offset, start.offset, start.end};
  const KafkaPartitionsPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(starts.size())));
  for (const auto& [partition, offset, end] : starts) {
    rd_kafka_topic_partition_list_add(list.get(), partition.first.c_str(), partition.second)->offset = offset;
  }
  if (const rd_kafka_resp_err_t error = rd_kafka_assign(client_->handle(), list.get());
      error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return Fail(client_->Explain(error, "read the assigned partitions"));
  }
  MutexLock lock(mutex_);
  progress_ = std::move(progress);
  oldest_in_hand_ms_ = 0;
  looked_at_ms_ = deps_.clock.NowMs();
  return {};
}

void KafkaPartitionReader::Forget() {
  forgotten_ = true;
  MutexLock lock(mutex_);
  for (const auto& [partition, at] : progress_) LagGauge(partition).Set(0);
  progress_.clear();
  oldest_in_hand_ms_ = 0;
}

// Waits only for the first record, then takes what was fetched already. A rebalance runs inside
// rd_kafka_consumer_poll: what was collected until then may belong to another reader now, so it is dropped, together
// with the record that the same call returned. The store's positions bring it back.
Result<Polled> KafkaPartitionReader::Poll(size_t max_series, milliseconds max_wait) {
  MarkApplied();
  const auto deadline = std::chrono::steady_clock::now() + max_wait;
  PolledBuilder builder(*decoder_, deps_.clock);
  Status event;
  forgotten_ = false;
  while (event && !builder.full(max_series)) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
    const milliseconds wait = builder.empty() ? std::clamp(left, milliseconds(0), kPollSlice) : milliseconds(0);
    const KafkaMessagePtr record(rd_kafka_consumer_poll(client_->handle(), static_cast<int>(wait.count())));
    if (record != nullptr && record->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      event = OnEvent(*record);
    } else if (record != nullptr) {
      builder.Add(*record);
    }
    if (forgotten_) {
      TRY(event);
      return Polled();
    }
    if (record == nullptr && (!builder.empty() || left <= milliseconds(0) || woken_.exchange(false))) break;
  }
  if (builder.empty()) {
    TRY(event);
    TRY(CheckTrouble());
  } else {
    trouble_.reset();
  }
  deps_.metrics.GetCounter("kafka_tombstones_total", "Records without a value, which are skipped.")
      .Add(static_cast<double>(builder.tombstones()));
  Polled polled = builder.Take();
  NotePolled(polled);
  return polled;
}

// An event of the queue that is no record.
Status KafkaPartitionReader::OnEvent(const rd_kafka_message_t& event) {
  switch (event.err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:  // the last offsets of a partition may hold no record
      SkipTo({rd_kafka_topic_name(event.rkt), event.partition}, event.offset);
      return {};
    case RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED:
      deps_.log.Warn("kafka: {}; the partitions went to other members meanwhile", rd_kafka_message_errstr(&event));
      return {};
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN: return {};  // CheckTrouble() reports it, if it lasts
    case RD_KAFKA_RESP_ERR__FATAL: client_->ReportFatal(); break;
    default: break;
  }
  trouble_ = client_->Explain(event.err, event.rkt != nullptr ? format("topic {}", rd_kafka_topic_name(event.rkt))
                                                              : format("group {}", client_->Setting("group.id")));
  return Fail(*trouble_);
}

// librdkafka reports a problem once, and not its end. So while nothing arrives, the brokers are asked now and then
// whether the topics can be read, until they can.
Status KafkaPartitionReader::CheckTrouble() {
  const std::optional<Error> down = client_->down();
  if (!down && !trouble_) return {};
  const auto now = deps_.clock.Steady();
  if (now < next_check_) return Fail(trouble_ ? *trouble_ : *down);
  next_check_ = now + kCheckInterval;
  for (const std::string& topic : topics_) {
    const Result<KafkaClient::Topic> found = client_->AskTopic(topic, kBriefTimeout);
    if (found && found->exists) continue;
    trouble_ = found ? client_->Explain(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, "topic " + topic) : found.error();
    return Fail(*trouble_);
  }
  client_->ForgetDown();
  trouble_.reset();
  return {};
}

// What is known of a partition, in offsets:
//
//   ──────|────────────────|───────────────────|──>
//      applied            next                end
//         the last poll      not polled yet
//
// The next poll moves `applied` to `next`, since the worker polls again only after it has applied the last one. The lag
// is end - applied. `end` comes from the last fetch, without a question to a broker, and never goes back while the
// partition is assigned.
void KafkaPartitionReader::MarkApplied() {
  MutexLock lock(mutex_);
  for (auto& [partition, at] : progress_) at.applied = at.next;
  oldest_in_hand_ms_ = 0;
}

void KafkaPartitionReader::NotePolled(const Polled& polled) {
  for (const StreamPosition& next : polled.next) SkipTo({next.stream, next.partition}, next.next_offset);
  MutexLock lock(mutex_);
  looked_at_ms_ = deps_.clock.NowMs();
  for (const model::SeriesBatch& batch : polled.batches) {
    if (oldest_in_hand_ms_ == 0 || batch.seen_at_ms() < oldest_in_hand_ms_) oldest_in_hand_ms_ = batch.seen_at_ms();
  }
}

// The partition has no records before `offset` that were not polled.
void KafkaPartitionReader::SkipTo(const KafkaPartition& partition, int64_t offset) {
  MutexLock lock(mutex_);
  const auto found = progress_.find(partition);
  if (found != progress_.end()) found->second.next = std::max(found->second.next, offset);
}

// The ends that the last fetches reported: librdkafka has them cached.
void KafkaPartitionReader::RefreshEnds() const {
  for (auto& [partition, at] : progress_) {
    int64_t first = 0;
    int64_t end = 0;
    if (rd_kafka_get_watermark_offsets(client_->handle(), partition.first.c_str(), partition.second, &first, &end) ==
            RD_KAFKA_RESP_ERR_NO_ERROR &&
        end >= 0) {
      at.end = std::max({at.end, end, at.next});
    }
  }
}

std::map<KafkaPartition, KafkaPartitionReader::Progress> KafkaPartitionReader::progress() const {
  MutexLock lock(mutex_);
  RefreshEnds();
  return progress_;
}

SeriesConsumer::Lag KafkaPartitionReader::CurrentLag() const {
  MutexLock lock(mutex_);
  RefreshEnds();
  Lag lag;
  for (const auto& [partition, at] : progress_) {
    const int64_t waiting = std::max<int64_t>(0, at.end - at.applied);
    LagGauge(partition).Set(static_cast<double>(waiting));
    lag.records += static_cast<uint64_t>(waiting);
  }
  // What is not polled yet arrived after the last poll.
  if (lag.records > 0) lag.oldest_seen_at_ms = oldest_in_hand_ms_ != 0 ? oldest_in_hand_ms_ : looked_at_ms_;
  return lag;
}

}  // namespace mi::stream
