// Reads the activity topics into an ActivityQueue, on a thread of its own. Its group is `<group_id>-activity`. Kafka
// alone holds the offsets: activity is a hint, and reading it again is harmless.
//
// While the queue is full it does not read. If that lasts for max.poll.interval.ms (5 minutes), another member gets its
// partitions, and it joins the group again when the queue has room.
//
// Counts and skips records of another identity.secret or version, and those that are cut short.
//
// Threads: Start and Stop from one thread. Errors: none. While Kafka is away it logs that, and continues afterwards.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "base/stop_signal.h"
#include "stream/activity_queue.h"
#include "stream/kafka/client.h"

namespace mi::stream {

class KafkaActivityConsumer {
 public:
  // `queue` must outlive it.
  static Result<std::unique_ptr<KafkaActivityConsumer>> Create(const KafkaConsumerOptions& options,
                                                               const StreamDeps& deps, ActivityQueue& queue);
  ~KafkaActivityConsumer() { Stop(); }

  void Start();
  // Leaves the group. Idempotent; the destructor does it too.
  void Stop();

 private:
  KafkaActivityConsumer(const KafkaConsumerOptions& options, const StreamDeps& deps, ActivityQueue& queue);
  telemetry::Counter& Refused(const std::string& reason);
  void Run();
  void Take(const rd_kafka_message_t& record);
  void Log(const Error& error);

  const KafkaConsumerOptions options_;
  const StreamDeps deps_;
  const uint64_t secret_check_;
  ActivityQueue& queue_;
  std::unique_ptr<KafkaClient> client_;
  StopSignal stop_;
  std::string logged_;  // the last error, while it lasts
  std::thread thread_;
};

}  // namespace mi::stream
