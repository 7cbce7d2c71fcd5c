// Reads the partitions that a derived class chooses and turns their records into polls. The group consumer and the
// replay are built on it.
//
// Threads: as SeriesConsumer; progress() is safe as well.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "codec/kafka_record.h"
#include "stream/kafka/client.h"
#include "stream/kafka/dead_letters.h"
#include "stream/ports.h"

namespace mi::stream {

using KafkaPartition = std::pair<std::string, int32_t>;  // topic and number

// A partition and the offset at which reading it starts.
struct KafkaStart {
  KafkaPartition partition;
  int64_t offset = 0;
  int64_t end = 0;  // after its last record, when the brokers were asked
};

class KafkaPartitionReader : public SeriesConsumer {
 public:
  ~KafkaPartitionReader() override { (void)Disconnect(); }

  Result<Polled> Poll(size_t max_series, std::chrono::milliseconds max_wait) override EXCLUDES(mutex_);
  Status DeadLetter(const PoisonRecord& record) final { return letters_.Write(record); }
  Lag CurrentLag() const override EXCLUDES(mutex_);
  void Wake() final {
    woken_ = true;
    letters_.Wake();
  }

 protected:
  struct Progress {
    int64_t next = 0;     // after the last polled record
    int64_t applied = 0;  // after what was polled before the last poll
    int64_t end = 0;      // of the partition, as far as is known
  };

  KafkaPartitionReader(const KafkaOptions& options, const KafkaDeps& deps);
  // Creates client().
  Status Connect(const KafkaClientSpec& spec);
  // Ends all use of client(), which is null afterwards.
  std::unique_ptr<KafkaClient> Disconnect() EXCLUDES(mutex_);

  // Called after each look at the queue, in which callbacks may have run. Its error ends the poll.
  virtual Status AfterLook() { return {}; }
  // Called for an event that is no record. Its error is returned if the poll has no records.
  virtual Status OnEvent(const rd_kafka_message_t& event) = 0;

  // From now on reads these partitions and no others. Drops what was fetched before.
  Status Assign(const std::vector<KafkaStart>& starts) EXCLUDES(mutex_);
  // The partition has no records before `offset`.
  void SkipTo(const KafkaPartition& partition, int64_t offset) EXCLUDES(mutex_);
  // These two answer a rebalance from within its callback. Reading stops, and the current poll drops its records.
  // AcceptAssignment confirms new partitions before it is known where to read them: the whole group waits for that.
  void AcceptAssignment() EXCLUDES(mutex_);
  void Revoke() EXCLUDES(mutex_);

  std::map<KafkaPartition, Progress> progress() const EXCLUDES(mutex_);
  KafkaClient& client() const { return *client_; }

  const KafkaDeps deps_;

 private:
  struct LagGauges;

  telemetry::Gauge& LagGauge(const KafkaPartition& partition) const;
  void Forget() EXCLUDES(mutex_);
  void MarkApplied() EXCLUDES(mutex_);
  void NotePolled(const Polled& polled) EXCLUDES(mutex_);
  void RefreshEnds() const REQUIRES(mutex_);

  const KafkaOptions options_;
  KafkaDeadLetters letters_;
  std::unique_ptr<KafkaClient> client_;
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
