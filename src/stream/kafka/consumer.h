// Reads the series of one or several topics as a member of a consumer group. Each worker has its own KafkaConsumer.
//
// The store holds the positions. When partitions are assigned, each is looked up there and read from that offset. If
// the lookup fails, the next Poll tries again, and nothing of the assignment is read until it succeeds. A partition
// that the store does not know is read from its first record, except if `offset_type` is newest and the group is new:
// neither the store nor Kafka has an offset of any of the partitions. Such a group starts at the end of all partitions
// and commits that to Kafka at once, so that a second worker, or a restart before anything was stored, starts at the
// same records. If the topic no longer has the stored offset, or not yet (it was created again), reading starts at its
// first record; both are logged.
//
// What Release() is given is also committed to Kafka, for tools that show the lag. It is read back only to decide
// whether a group is new.
//
// Rebalances happen inside Poll, on the worker's thread. Poll returns nothing of a partition that was revoked: its
// records are dropped, and the next reader starts at the store's position. The destructor leaves the group.
//
// Threads: as SeriesConsumer. Errors: kUnavailable; the message names the option.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "stream/kafka/partition_reader.h"

namespace mi::stream {

class KafkaConsumer final : public KafkaPartitionReader {
 public:
  // Connects in the background; joins the group in Start. kInvalid: an option that librdkafka does not accept.
  static Result<std::unique_ptr<KafkaConsumer>> Create(const KafkaConsumerOptions& options, const StreamDeps& deps);
  ~KafkaConsumer() override;

  Status Start(PositionLookup positions) override;
  Result<Polled> Poll(size_t max_series, std::chrono::milliseconds max_wait) override;
  Status Rewind() override;
  void Release(std::span<const StreamPosition> durable) override;
  // How many partitions are being read. Threads: safe.
  size_t assigned() const { return progress().size(); }

 private:
  using Offsets = std::map<KafkaPartition, int64_t>;

  KafkaConsumer(const KafkaConsumerOptions& options, const StreamDeps& deps)
      : KafkaPartitionReader(options.kafka, options.topics, deps),
        group_(options.group_id),
        newest_(options.offset_type == "newest") {}
  void OnRebalance(rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t& partitions);
  Status ReadUnlocated();
  Status ReadFromStored(const std::vector<KafkaPartition>& partitions);
  Result<KafkaStart> StartOf(const KafkaPartition& partition, std::optional<int64_t> stored);
  Result<Offsets> NewestStarts();
  Result<std::vector<KafkaPartition>> AllPartitions();
  Result<KafkaPartitionsPtr> Committed(const std::vector<KafkaPartition>& partitions);
  Result<Offsets> StartGroupAtTheEnd(const std::vector<KafkaPartition>& partitions);

  const std::string group_;
  const bool newest_;  // where a new group starts
  PositionLookup positions_;
  bool subscribed_ = false;
  std::vector<KafkaPartition> unlocated_;  // assigned, but their positions are not known yet
};

}  // namespace mi::stream
