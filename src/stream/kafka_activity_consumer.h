// Reads the activity topic into an ActivityQueue, on a thread of its own; waits while the queue is full. Group
// `<group_id>-activity`, with offsets in Kafka alone: activity is a hint, and a replay does no harm.
//
// Records of another identity.secret, of another version or of no whole number of fingerprints are counted and skipped.
//
// Threads: Start and Stop from one thread; the rest is its own. Errors: it never fails; while Kafka is away it logs
// that and goes on when it is back.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "stream/activity_queue.h"
#include "stream/kafka.h"

namespace mi::stream {

struct KafkaActivityOptions {
  KafkaOptions kafka;
  std::vector<std::string> topics = {"metric-index"};  // the series topics: "-activity" is appended here
  std::string group_id = "metric-index-worker-v1";     // and so it is here
};

class KafkaActivityConsumer {
 public:
  // `queue` must outlive it.
  static Result<std::unique_ptr<KafkaActivityConsumer>> Create(const KafkaActivityOptions& options,
                                                               const KafkaDeps& deps, ActivityQueue& queue);
  virtual ~KafkaActivityConsumer() = default;

  virtual void Start() = 0;
  // Leaves the group. The destructor does it too.
  virtual void Stop() = 0;
};

}  // namespace mi::stream
