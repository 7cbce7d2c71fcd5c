// Reads the activity topics into an ActivityQueue, on a thread of its own. Its group is `<group_id>-activity`. Kafka
// alone holds the offsets: activity is a hint, and reading it again is harmless.
//
// While the queue is full it pauses its partitions and keeps the records that it has. It goes on polling, so that the
// other members of the group need not wait for it at a rebalance.
//
// Counts and skips records of another secret or version, and those that are cut short. Logs the first of another
// secret.
//
// Threads: Start and Stop from one thread. Errors: none. While Kafka is away it logs that, and continues afterwards.
#pragma once

#include <deque>
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

  // Uses this secret instead of the options'. Call it before Start.
  void SetIdentitySecret(const std::string& identity_secret) { secret_check_ = model::SecretCheck(identity_secret); }
  void Start();
  // Leaves the group. Idempotent; the destructor does it too.
  void Stop();

 private:
  KafkaActivityConsumer(const KafkaConsumerOptions& options, const StreamDeps& deps, ActivityQueue& queue);
  telemetry::Counter& Refused(const std::string& reason);
  void RefuseSecret();
  void Run();
  void Take(const rd_kafka_message_t& record);
  void OfferWaiting();
  void Pause(bool paused);
  void Log(const Error& error);

  const KafkaConsumerOptions options_;
  const StreamDeps deps_;
  uint64_t secret_check_;
  ActivityQueue& queue_;
  std::unique_ptr<KafkaClient> client_;
  StopSignal stop_;
  std::string logged_;                        // the last error, while it lasts
  std::deque<model::ActivityBatch> waiting_;  // for room in the queue; the partitions are paused
  bool logged_secret_ = false;
  std::thread thread_;
};

}  // namespace mi::stream
