// Reads the series of one or several topics as a member of a consumer group: one KafkaConsumer a worker.
//
// Positions are the store's. When partitions are assigned, each is looked up there and read from that offset; a lookup
// that fails is tried again by the next Poll, and nothing of the assignment is read meanwhile. Partitions that the
// store does not know are read from their first record, unless `offset_type` is newest and the group is new: neither
// the store nor Kafka has an offset of any partition. Then it begins at the end of all partitions, and says so in Kafka
// at once, so that a second worker, or a restart before anything was stored, begins at the same records. An offset that
// the topic no longer has, or does not have yet (it was made again), means its first record; both are logged.
//
// What Release() is given is committed to Kafka too, for tools that show lag; nothing here reads it back, but to tell
// whether a group is new.
//
// Rebalances happen inside Poll, on the worker's thread. Nothing of a partition is returned once it was revoked: what a
// poll had read of it is dropped, its next reader begins at the store's position. The destructor leaves the group.
//
// Threads: as SeriesConsumer. Errors: kUnavailable: no broker answers, or one refuses us; the text names the knob.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "stream/kafka.h"
#include "stream/ports.h"

namespace mi::stream {

struct KafkaConsumerOptions {
  KafkaOptions kafka;
  std::vector<std::string> topics = {"metric-index"};  // metric_store.consumer.topics
  std::string group_id = "metric-index-worker-v1";     // metric_store.consumer.group_id
  std::string offset_type = "oldest";                  // metric_store.consumer.offset_type: oldest, newest
};

class KafkaConsumer : public SeriesConsumer {
 public:
  // Connects in the background; joins the group in Start. kInvalid: an option that librdkafka does not take.
  static Result<std::unique_ptr<KafkaConsumer>> Create(const KafkaConsumerOptions& options, const KafkaDeps& deps);

  // The partitions that are being read. Threads: safe.
  virtual size_t assigned() const = 0;
};

}  // namespace mi::stream
