// The producing side of the fleet: requests into Kafka, with Redis as what all producers know together.
//
// Ownership: owns its parts; borrows the rest. Threads: everything but the routes from one thread, AddTasks before the
// housekeeping starts.
#pragma once

#include <chrono>
#include <memory>

#include "app/housekeeping.h"
#include "app/part_health.h"
#include "app/receiving.h"
#include "app/service.h"
#include "base/live.h"
#include "base/result.h"
#include "config/config.h"
#include "dedupe/redis_tier.h"
#include "net/http.h"
#include "stream/kafka_publisher.h"
#include "telemetry/health.h"

namespace mi::app {

class Producing {
 public:
  // kInvalid: an option that librdkafka does not take, or a url that is none.
  static Result<std::unique_ptr<Producing>> Create(const config::Config& config, const Service::Deps& deps,
                                                   telemetry::Health& health);

  void RegisterRoutes(net::Router& router) { receiving_->RegisterRoutes(router); }
  void AddTasks(Housekeeping& housekeeping);
  Status Reconfigure(const config::Config& config);

  void Refuse() { receiving_->Refuse(); }
  void ExpireAll() { receiving_->ExpireAll(); }
  // After the listener has been drained: what is under way to Kafka is finished, then Redis is told.
  void Stop();

 private:
  Producing(const config::Config& config, const Service::Deps& deps, telemetry::Health& health,
            std::unique_ptr<stream::KafkaPublisher> kafka);
  Status OpenReceiving(const config::Config& config, const Service::Deps& deps);

  std::unique_ptr<dedupe::RedisTier> redis_;
  std::unique_ptr<stream::KafkaPublisher> kafka_;
  std::unique_ptr<Receiving> receiving_;  // outlives the last callbacks of both: they are stopped first
  PartHealth kafka_health_;
  PartHealth redis_health_;
  Live<std::chrono::milliseconds> cleanup_interval_;
};

}  // namespace mi::app
