// Reads partitions that somebody else chooses, and turns their records into polls: what the group consumer and the
// replay have in common.
//
// Threads: confined to one thread, but for lag(), readings() and Wake(), which are safe.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "codec/kafka_record.h"
#include "stream/kafka_client.h"
#include "stream/kafka_metrics.h"
#include "stream/ports.h"

namespace mi::stream {

// One partition, and where reading it begins.
struct KafkaStart {
  std::string topic;
  int32_t partition = 0;
  int64_t offset = 0;
  int64_t end = 0;  // behind its last record, when it was looked up
};

class KafkaReader {
 public:
  using Key = std::pair<std::string, int32_t>;
  struct Reading {
    int64_t start = 0;
    int64_t next = 0;     // behind what was polled
    int64_t applied = 0;  // behind what was polled before the last poll
    int64_t end = 0;      // as far as is known
  };

  // `client` is a consumer's, and outlives it.
  KafkaReader(KafkaClient& client, const std::string& identity_secret, const KafkaDeps& deps);
  ~KafkaReader();

  // From now on reads these, from there, and nothing else. What was fetched before is dropped.
  Status Assign(const std::vector<KafkaStart>& starts) EXCLUDES(mutex_);
  // There is nothing to read of this partition before `offset`.
  void Pass(const Key& partition, int64_t offset) EXCLUDES(mutex_);
  // Reads nothing, and forgets what the poll that is under way has: for a rebalance, from within it. What was assigned
  // is taken, to be read from a later Assign on (a member that does not take it keeps the whole group waiting), or is
  // given back. Needs no memory.
  void Take() EXCLUDES(mutex_);
  void GiveBack() EXCLUDES(mutex_);

  // As SeriesConsumer's. `between` is called after each look at the queue, where callbacks may have come; an error of
  // it ends the poll. `on_error` says what to return while nothing comes.
  Result<Polled> Poll(size_t max_series, std::chrono::milliseconds max_wait, const std::function<Status()>& between,
                      const std::function<Status(const rd_kafka_message_t&)>& on_error) EXCLUDES(mutex_);

  std::map<Key, Reading> readings() const EXCLUDES(mutex_);
  SeriesConsumer::Lag lag() const EXCLUDES(mutex_);
  void Wake() { woken_ = true; }

 private:
  class Gatherer;
  struct LagGauges;

  void Forget() EXCLUDES(mutex_);
  void ShowForgotten() EXCLUDES(mutex_);
  void MarkApplied() EXCLUDES(mutex_);
  void Finish(const Polled& polled) EXCLUDES(mutex_);
  void RefreshEnds() const REQUIRES(mutex_);

  KafkaClient& client_;
  const KafkaDeps deps_;
  KafkaReadMetrics metrics_;
  codec::KafkaRecordDecoder decoder_;
  std::atomic<bool> woken_ = false;
  bool dropped_ = false;  // since the poll began
  std::shared_ptr<LagGauges> gauges_;

  mutable Mutex mutex_;
  mutable std::map<Key, Reading> readings_ GUARDED_BY(mutex_);
  std::map<Key, Reading> forgotten_ GUARDED_BY(mutex_);  // their gauges are not told yet
  int64_t oldest_in_hand_ms_ GUARDED_BY(mutex_) = 0;     // of the last poll; 0 when it is applied or held none
  int64_t looked_at_ms_ GUARDED_BY(mutex_) = 0;          // when the last poll ended
};

// The offsets that a partition has now: its first record's, and the one behind its last.
struct KafkaBounds {
  int64_t first = 0;
  int64_t end = 0;
};
Result<KafkaBounds> AskBounds(const KafkaClient& client, const std::string& topic, int32_t partition,
                              std::chrono::milliseconds timeout);

// What every consumer of ours is set to.
KafkaClientSpec KafkaReaderSpec(const std::string& group_id);

}  // namespace mi::stream
