// Reads the partitions that its owner chooses and turns their records into polls. The group consumer and the replay are
// built on it.
//
// Threads: confined to one thread, except lag(), progress() and Wake(), which are safe.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "codec/kafka_record.h"
#include "stream/kafka/client.h"
#include "stream/metrics.h"
#include "stream/ports.h"

namespace mi::stream {

using KafkaPartition = std::pair<std::string, int32_t>;  // topic and number

// A partition and the offset at which reading it starts.
struct KafkaStart {
  KafkaPartition partition;
  int64_t offset = 0;
  int64_t end = 0;  // after its last record, when the brokers were asked
};

class KafkaPartitionReader {
 public:
  struct Hooks {
    // Called after each look at the queue, in which callbacks may have run. Its error ends the poll.
    std::function<Status()> after_look = {};
    // Called for an event that is no record. Its error is returned if the poll has no records.
    std::function<Status(const rd_kafka_message_t&)> on_event;
  };
  struct Progress {
    int64_t next = 0;     // after the last polled record
    int64_t applied = 0;  // after what was polled before the last poll
    int64_t end = 0;      // of the partition, as far as is known
  };

  // `client` is a consumer's and must outlive the reader.
  KafkaPartitionReader(KafkaClient& client, const std::string& identity_secret, const KafkaDeps& deps, Hooks hooks);
  ~KafkaPartitionReader();

  // From now on reads these partitions and no others. Drops what was fetched before.
  Status Assign(const std::vector<KafkaStart>& starts) EXCLUDES(mutex_);
  // The partition has no records before `offset`.
  void SkipTo(const KafkaPartition& partition, int64_t offset) EXCLUDES(mutex_);
  // These two answer a rebalance from within its callback. Reading stops, and the current poll drops its records.
  // AcceptAssignment confirms new partitions before it is known where to read them: the whole group waits for that.
  void AcceptAssignment() EXCLUDES(mutex_);
  void Revoke() EXCLUDES(mutex_);

  // As SeriesConsumer::Poll.
  Result<Polled> Poll(size_t max_series, std::chrono::milliseconds max_wait) EXCLUDES(mutex_);

  std::map<KafkaPartition, Progress> progress() const EXCLUDES(mutex_);
  SeriesConsumer::Lag lag() const EXCLUDES(mutex_);
  void Wake() { woken_ = true; }

 private:
  struct LagGauges;

  void Forget() EXCLUDES(mutex_);
  void MarkApplied() EXCLUDES(mutex_);
  void NotePolled(const Polled& polled) EXCLUDES(mutex_);
  void RefreshEnds() const REQUIRES(mutex_);

  KafkaClient& client_;
  const KafkaDeps deps_;
  const Hooks hooks_;
  KafkaReadMetrics metrics_;
  codec::KafkaRecordDecoder decoder_;
  std::atomic<bool> woken_ = false;
  bool dropped_ = false;  // the assignment changed during the current look at the queue
  std::shared_ptr<LagGauges> gauges_;

  mutable Mutex mutex_;
  mutable std::map<KafkaPartition, Progress> progress_ GUARDED_BY(mutex_);
  int64_t oldest_in_hand_ms_ GUARDED_BY(mutex_) = 0;  // of the last poll; 0 when it is applied or was empty
  int64_t looked_at_ms_ GUARDED_BY(mutex_) = 0;       // when the last poll ended
};

// The settings that all our consumers share.
KafkaClientSpec KafkaReaderSpec(const std::string& group_id);

}  // namespace mi::stream
