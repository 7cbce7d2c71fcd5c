#include "stream/kafka_reader.h"

#include <algorithm>

#include "base/format.h"

namespace mi::stream {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kMaxPolledBytes = 64ULL << 20;  // of values

}  // namespace

KafkaClientSpec KafkaReaderSpec(const std::string& group_id) {
  return {.type = RD_KAFKA_CONSUMER,
          .hosts_knob = "metric_store.consumer.hosts",
          .topic_knob = "metric_store.consumer.topics",
          .defaults = {{"session.timeout.ms", "10000"},
                       {"topic.metadata.refresh.interval.ms", "10000"},
                       {"queued.max.messages.kbytes", "32768"},
                       {"partition.assignment.strategy", "range"},
                       {"check.crcs", "true"}},
          // A lost offset is read from the earliest record, whatever `offset_type` says of a new group.
          .fixed = {{"group.id", group_id},
                    {"enable.auto.commit", "false"},
                    {"enable.auto.offset.store", "false"},
                    {"auto.offset.reset", "earliest"}}};
}

Result<KafkaBounds> AskBounds(const KafkaClient& client, const std::string& topic, int32_t partition,
                              milliseconds timeout) {
  KafkaBounds bounds;
  const rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(
      client.handle(), topic.c_str(), partition, &bounds.first, &bounds.end, static_cast<int>(timeout.count()));
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return Fail(client.Explain(error, format("offsets of topic {}, partition {}", topic, partition)));
  }
  return bounds;
}

// Records of one poll, in batches of one tenant and moment.
class KafkaReader::Gatherer {
 public:
  Gatherer(codec::KafkaRecordDecoder& decoder, const Clock& clock) : decoder_(decoder), clock_(clock) {}

  void Add(const rd_kafka_message_t& record) {
    ++records_;
    bytes_ += record.len + record.key_len;
    const StreamPosition at = Note(record);
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

  void Clear() { *this = Gatherer(decoder_, clock_); }
  bool empty() const { return records_ == 0; }
  bool full(size_t max_series) const { return records_ >= max_series || bytes_ >= kMaxPolledBytes; }
  size_t tombstones() const { return tombstones_; }

  Polled Take() { return std::move(polled_); }

 private:
  using BatchKey = std::pair<model::Tenant, int64_t>;

  Gatherer& operator=(Gatherer&& other) noexcept {
    part_ = 0;
    batches_ = std::move(other.batches_);
    polled_ = std::move(other.polled_);
    records_ = other.records_;
    bytes_ = other.bytes_;
    tombstones_ = other.tombstones_;
    return *this;
  }

  // The position behind the record.
  StreamPosition Note(const rd_kafka_message_t& record) {
    const std::string_view topic = rd_kafka_topic_name(record.rkt);
    std::vector<StreamPosition>& next = polled_.next;
    const auto is_here = [&](const StreamPosition& at) {
      return at.partition == record.partition && at.stream == topic;
    };
    if (part_ >= next.size() || !is_here(next[part_])) {  // records of a partition come in a row
      part_ = static_cast<size_t>(std::ranges::find_if(next, is_here) - next.begin());
      if (part_ == next.size()) next.push_back({std::string(topic), record.partition, 0});
    }
    next[part_].next_offset = record.offset + 1;
    return next[part_];
  }

  size_t BatchOf(const model::Tenant& tenant, int64_t seen_at_ms) {
    const auto [at, fresh] = batches_.try_emplace(BatchKey(tenant, seen_at_ms), polled_.batches.size());
    if (fresh) {
      polled_.batches.emplace_back(tenant, seen_at_ms);
      polled_.origins.emplace_back();
    }
    return at->second;
  }

  codec::KafkaRecordDecoder& decoder_;
  const Clock& clock_;
  size_t part_ = 0;  // of polled_.next: the last record's
  std::map<BatchKey, size_t> batches_;
  Polled polled_;
  size_t records_ = 0;
  size_t bytes_ = 0;
  size_t tombstones_ = 0;
};

// What the registry calls, as long as the reader lives.
struct KafkaReader::LagGauges {
  Mutex mutex;
  const KafkaReader* reader GUARDED_BY(mutex) = nullptr;

  void Refresh(KafkaReadMetrics& metrics) EXCLUDES(mutex) {
    MutexLock lock(mutex);
    if (reader == nullptr) return;
    for (const auto& [key, reading] : reader->readings()) {
      metrics.lag(key.first, key.second).Set(static_cast<double>(std::max<int64_t>(0, reading.end - reading.applied)));
    }
  }
};

KafkaReader::KafkaReader(KafkaClient& client, const std::string& identity_secret, const KafkaDeps& deps)
    : client_(client),
      deps_(deps),
      metrics_(deps.metrics),
      decoder_(identity_secret),
      gauges_(std::make_shared<LagGauges>()) {
  {
    MutexLock lock(gauges_->mutex);
    gauges_->reader = this;
  }
  deps.metrics.OnRender(
      [gauges = gauges_, metrics = KafkaReadMetrics(deps.metrics)]() mutable { gauges->Refresh(metrics); });
}

KafkaReader::~KafkaReader() {
  {
    MutexLock lock(gauges_->mutex);
    gauges_->reader = nullptr;
  }
  Forget();
  ShowForgotten();
}

Status KafkaReader::Assign(const std::vector<KafkaStart>& starts) {
  const KafkaPartitionsPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(starts.size())));
  for (const KafkaStart& start : starts) {
    rd_kafka_topic_partition_list_add(list.get(), start.topic.c_str(), start.partition)->offset = start.offset;
  }
  if (const rd_kafka_resp_err_t error = rd_kafka_assign(client_.handle(), list.get());
      error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return Fail(client_.Explain(error, "read the assigned partitions"));
  }
  dropped_ = true;
  MutexLock lock(mutex_);
  readings_.clear();
  oldest_in_hand_ms_ = 0;
  looked_at_ms_ = deps_.clock.NowMs();
  for (const KafkaStart& start : starts) {
    readings_[{start.topic, start.partition}] = {start.offset, start.offset, start.offset, start.end};
  }
  return {};
}

void KafkaReader::Take() {
  const KafkaPartitionsPtr none(rd_kafka_topic_partition_list_new(0));
  rd_kafka_assign(client_.handle(), none.get());
  Forget();
}

void KafkaReader::GiveBack() {
  rd_kafka_assign(client_.handle(), nullptr);
  Forget();
}

void KafkaReader::Forget() {
  dropped_ = true;
  MutexLock lock(mutex_);
  forgotten_.merge(readings_);
  readings_.clear();
  oldest_in_hand_ms_ = 0;
}

void KafkaReader::ShowForgotten() {
  MutexLock lock(mutex_);
  for (const auto& [key, reading] : forgotten_) metrics_.lag(key.first, key.second).Set(0);
  forgotten_.clear();
}

Result<Polled> KafkaReader::Poll(size_t max_series, milliseconds max_wait, const std::function<Status()>& between,
                                 const std::function<Status(const rd_kafka_message_t&)>& on_error) {
  MarkApplied();
  const auto deadline = std::chrono::steady_clock::now() + max_wait;
  Gatherer gathered(decoder_, deps_.clock);
  Status trouble;
  while (!gathered.full(max_series)) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
    const milliseconds wait = gathered.empty() ? std::clamp(left, milliseconds(0), kPollSlice) : milliseconds(0);
    dropped_ = false;
    const KafkaMessagePtr record(rd_kafka_consumer_poll(client_.handle(), static_cast<int>(wait.count())));
    if (dropped_) {
      gathered.Clear();
      ShowForgotten();
    }
    if (Status s = between(); !s) return Fail(s.error());
    if (record == nullptr) {
      if (!gathered.empty() || woken_.exchange(false) || left <= milliseconds(0)) break;
    } else if (record->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      trouble = on_error(*record);
      if (!trouble) break;
    } else if (!dropped_) {
      gathered.Add(*record);
    }
  }
  if (gathered.empty() && !trouble) return Fail(trouble.error());
  metrics_.tombstones.Add(static_cast<double>(gathered.tombstones()));
  Polled polled = gathered.Take();
  Finish(polled);
  return polled;
}

void KafkaReader::MarkApplied() {
  MutexLock lock(mutex_);
  for (auto& [key, reading] : readings_) reading.applied = reading.next;
  oldest_in_hand_ms_ = 0;
}

void KafkaReader::Finish(const Polled& polled) {
  MutexLock lock(mutex_);
  looked_at_ms_ = deps_.clock.NowMs();
  for (const StreamPosition& next : polled.next) {
    const auto reading = readings_.find({next.stream, next.partition});
    if (reading != readings_.end()) reading->second.next = std::max(reading->second.next, next.next_offset);
  }
  for (const model::SeriesBatch& batch : polled.batches) {
    if (oldest_in_hand_ms_ == 0 || batch.seen_at_ms() < oldest_in_hand_ms_) oldest_in_hand_ms_ = batch.seen_at_ms();
  }
}

void KafkaReader::Pass(const Key& partition, int64_t offset) {
  MutexLock lock(mutex_);
  const auto reading = readings_.find(partition);
  if (reading != readings_.end()) reading->second.next = std::max(reading->second.next, offset);
}

// What the last fetches said of the partitions' ends: asks nobody.
void KafkaReader::RefreshEnds() const {
  for (auto& [key, reading] : readings_) {
    int64_t first = 0;
    int64_t end = 0;
    if (rd_kafka_get_watermark_offsets(client_.handle(), key.first.c_str(), key.second, &first, &end) ==
            RD_KAFKA_RESP_ERR_NO_ERROR &&
        end >= 0) {
      reading.end = std::max({reading.end, end, reading.next});
    }
  }
}

std::map<KafkaReader::Key, KafkaReader::Reading> KafkaReader::readings() const {
  MutexLock lock(mutex_);
  RefreshEnds();
  return readings_;
}

SeriesConsumer::Lag KafkaReader::lag() const {
  MutexLock lock(mutex_);
  RefreshEnds();
  SeriesConsumer::Lag lag;
  for (const auto& [key, reading] : readings_) {
    lag.records += static_cast<uint64_t>(std::max<int64_t>(0, reading.end - reading.applied));
  }
  // What is fetched and not polled yet came after the last look.
  if (lag.records > 0) lag.oldest_seen_at_ms = oldest_in_hand_ms_ != 0 ? oldest_in_hand_ms_ : looked_at_ms_;
  return lag;
}

}  // namespace mi::stream
