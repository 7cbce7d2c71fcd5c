// The role producer: requests into Kafka, with Redis as what all producers know together.
//
// Ownership: owns its parts; borrows the rest. Threads: all members but the routes from one thread.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "app/component_health.h"
#include "app/receiver.h"
#include "app/service.h"
#include "base/live.h"
#include "base/periodic.h"
#include "base/result.h"
#include "config/config.h"
#include "dedupe/redis/tier.h"
#include "net/http.h"
#include "stream/kafka/publisher.h"
#include "telemetry/health.h"

namespace mi::app {

class Producer {
 public:
  // kInvalid: an option that librdkafka does not take, or a url that is none.
  static Result<std::unique_ptr<Producer>> Create(const config::Config& config, const Service::Deps& deps,
                                                  telemetry::Health& health);

  void RegisterRoutes(net::Router& router) { receiver_->RegisterRoutes(router); }
  Status Reconfigure(const config::Config& config);

  void Refuse() { receiver_->Refuse(); }
  void ExpireAll() { receiver_->ExpireAll(); }
  // Call it after the listener was drained. What is on its way to Kafka is finished, then Redis is told.
  void Stop();

 private:
  Producer(const config::Config& config, const Service::Deps& deps, telemetry::Health& health,
           std::unique_ptr<stream::KafkaPublisher> kafka);
  Status Start(const config::Config& config, const Service::Deps& deps);

  std::unique_ptr<dedupe::RedisTier> redis_;
  std::unique_ptr<stream::KafkaPublisher> kafka_;
  std::unique_ptr<Receiver> receiver_;  // gets the last callbacks of both, which Stop() ends
  ComponentHealth kafka_health_;
  ComponentHealth redis_health_;
  Live<std::chrono::milliseconds> cleanup_interval_;
  std::optional<Periodic> sweep_;
  std::optional<Periodic> health_;
};

}  // namespace mi::app
