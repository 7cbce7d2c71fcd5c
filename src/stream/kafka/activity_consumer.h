// Reads the activity topics into an ActivityQueue, on a thread of its own; waits while the queue is full. Its group is
// `<group_id>-activity`. Kafka alone holds the offsets: activity is a hint, and reading it again is harmless.
//
// Counts and skips records of another identity.secret or version, and those that are cut short.
//
// Threads: Start and Stop from one thread. Errors: none. While Kafka is away it logs that, and continues afterwards.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "base/result.h"
#include "stream/activity_queue.h"
#include "stream/kafka/client.h"
#include "stream/kafka/options.h"

namespace mi::stream {

class KafkaActivityConsumer {
 public:
  // `queue` must outlive it.
  static Result<std::unique_ptr<KafkaActivityConsumer>> Create(const KafkaConsumerOptions& options,
                                                               const KafkaDeps& deps, ActivityQueue& queue);
  ~KafkaActivityConsumer() { Stop(); }

  void Start();
  // Leaves the group. Idempotent; the destructor does it too.
  void Stop();

 private:
  KafkaActivityConsumer(const KafkaConsumerOptions& options, const KafkaDeps& deps, ActivityQueue& queue);
  telemetry::Counter& Refused(const std::string& reason);
  void Run();
  void Take(const rd_kafka_message_t& record);
  void OfferHeld();
  void Pause();
  void Resume();

  const KafkaConsumerOptions options_;
  const KafkaDeps deps_;
  const uint64_t secret_check_;
  ActivityQueue& queue_;
  std::unique_ptr<KafkaClient> client_;
  std::atomic<bool> stopping_ = false;

  // Of the thread.
  std::deque<model::ActivityBatch> held_;  // read, but the queue was full
  std::set<std::pair<std::string, int32_t>> paused_;
  std::string logged_;
  std::thread thread_;
};

}  // namespace mi::stream
