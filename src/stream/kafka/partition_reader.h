// Reads the partitions that a derived class chooses and turns their records into polls. The group consumer and the
// replay are built on it: they differ in where they start, and in what they count as lag.
//
// Threads: as SeriesConsumer; progress() is safe as well.
// Errors: a Poll that has no records fails while no broker answers, one refuses us, or a topic cannot be read.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
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
  ~KafkaPartitionReader() override { Forget(); }

  // Makes fingerprints with this secret instead of the options'. Call it before the first Poll.
  void SetIdentitySecret(const std::string& identity_secret) { decoder_.emplace(identity_secret); }

  // A rebalance ends it before `max_wait` has passed.
  Result<Polled> Poll(size_t max_series, std::chrono::milliseconds max_wait) override EXCLUDES(mutex_);
  Status DeadLetter(const PoisonRecord& record) final { return letters_.Write(record); }
  // Also updates kafka_lag_records.
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

  // The derived class sets client_ before anything else is called.
  KafkaPartitionReader(const KafkaOptions& options, const std::vector<std::string>& topics, const StreamDeps& deps)
      : deps_(deps), topics_(topics), letters_(options, deps), decoder_(std::in_place, options.identity_secret) {}

  // From now on reads these partitions and no others. Drops what was fetched before.
  Status Assign(const std::vector<KafkaStart>& starts) EXCLUDES(mutex_);
  // No partition is being read any more. May be called during a poll, which then returns no records.
  void Forget() EXCLUDES(mutex_);
  std::map<KafkaPartition, Progress> progress() const EXCLUDES(mutex_);

  const StreamDeps deps_;
  const std::vector<std::string> topics_;
  std::unique_ptr<KafkaClient> client_;
  std::optional<Error> trouble_;  // with topics or the group

 private:
  telemetry::Gauge& LagGauge(const KafkaPartition& partition) const;
  Status OnEvent(const rd_kafka_message_t& event) EXCLUDES(mutex_);
  Status CheckTrouble();
  void SkipTo(const KafkaPartition& partition, int64_t offset) EXCLUDES(mutex_);
  void MarkApplied() EXCLUDES(mutex_);
  void NotePolled(const Polled& polled) EXCLUDES(mutex_);
  void RefreshEnds() const REQUIRES(mutex_);

  KafkaDeadLetters letters_;
  std::optional<codec::KafkaRecordDecoder> decoder_;  // never empty
  std::atomic<bool> woken_ = false;
  bool forgotten_ = false;  // Forget() was called during this poll
  std::chrono::steady_clock::time_point next_check_;

  mutable Mutex mutex_;
  mutable std::map<KafkaPartition, Progress> progress_ GUARDED_BY(mutex_);
  int64_t oldest_in_hand_ms_ GUARDED_BY(mutex_) = 0;  // of the last poll; 0 when it is applied or was empty
  int64_t looked_at_ms_ GUARDED_BY(mutex_) = 0;       // when the last poll ended
};

// The settings that all our consumers share.
KafkaClientSpec KafkaReaderSpec(const std::string& group_id);

}  // namespace mi::stream
