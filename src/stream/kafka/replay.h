// Reads all partitions of the topics once, from their beginning or from a time on, up to the end that they had at
// Start: this fills an empty database (`metric-index replay`). It is not a member of a group. With a time it starts no
// later than the store's positions, so that nothing is skipped. The positions that it returns are the topic's own, so a
// consumer group continues where the replay ended.
//
// An index::Worker polls it until it is stopped. Its owner watches finished() && CurrentLag().records == 0. No consumer
// of that database may run meanwhile.
//
// Threads: as SeriesConsumer; finished() and totals() are safe. Errors: kInvalid: a topic does not exist.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "stream/kafka/partition_reader.h"

namespace mi::stream {

class KafkaReplay final : public KafkaPartitionReader {
 public:
  struct Totals {
    uint64_t read = 0;   // offsets that were passed, over all partitions
    uint64_t total = 0;  // offsets between start and end, including those that compaction has removed
  };

  // Requires: options.lane < options.lanes.
  static Result<std::unique_ptr<KafkaReplay>> Create(const KafkaReplayOptions& options, const StreamDeps& deps);

  Status Start(PositionLookup positions) override;
  Status Rewind() override { return Assign(starts_); }
  void Release(std::span<const StreamPosition> /*durable*/) override {}
  Lag CurrentLag() const override;

  // Whether Poll has returned everything before the end.
  bool finished() const;
  Totals totals() const;

 private:
  KafkaReplay(const KafkaReplayOptions& options, const StreamDeps& deps)
      : KafkaPartitionReader(options.kafka, options.topics, deps), options_(options) {}
  Result<std::vector<KafkaStart>> StartsOf(const std::string& topic);
  Status SeekToTime(const std::string& topic, std::vector<KafkaStart>& starts);
  // How many of the offsets between start and end are before `offset` of their partition, over all partitions.
  uint64_t CountBefore(int64_t Progress::* offset) const;

  const KafkaReplayOptions options_;
  std::vector<KafkaStart> starts_;  // with the ends at Start(); not changed while started_
  std::atomic<bool> started_ = false;
};

}  // namespace mi::stream
