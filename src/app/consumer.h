// The role consumer: a group of workers, each with a Kafka consumer and a store of its own.
//
// Ownership: owns its parts; borrows the database, which outlives it. Threads: Start may be called from another
// thread than the other members.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "app/service.h"
#include "base/result.h"
#include "config/config.h"
#include "index/worker.h"
#include "store/mysql/catalog.h"
#include "stream/activity_queue.h"
#include "stream/kafka/activity_consumer.h"
#include "stream/kafka/consumer.h"

namespace mi::app {

class Consumer {
 public:
  // kInvalid: an option that librdkafka does not take.
  static Result<std::unique_ptr<Consumer>> Create(const config::Config& config, const Service::Deps& deps,
                                                  store::MysqlCatalog& catalog);
  ~Consumer() { Stop(); }

  // Call it once the database is prepared, with the secret of its catalogue.
  void Start(const std::string& identity_secret);
  // Does not wait.
  void RequestStop();
  // Each worker finishes its transaction and leaves the group; all of them at the same time. Idempotent.
  void Stop();

  // Success while every worker works.
  Status Health() const;
  // Success while every worker that has something to do makes progress.
  Status Progress() const;

 private:
  struct Lane {
    std::unique_ptr<stream::KafkaConsumer> consumer;
    std::unique_ptr<store::SeriesStore> store;
    std::unique_ptr<index::Worker> worker;
  };
  // 16 bytes each. While the queue is full its reader waits, and Kafka holds the rest.
  static constexpr size_t kMaxActivity = 1'000'000;

  explicit Consumer(const Service::Deps& deps) : activity_(kMaxActivity, deps.metrics) {}

  stream::ActivityQueue activity_;
  std::vector<Lane> lanes_;
  std::shared_ptr<void> lag_;  // the gauges, while they are refreshed
  std::unique_ptr<stream::KafkaActivityConsumer> activity_consumer_;
  std::atomic<bool> started_ = false;
};

}  // namespace mi::app
