// The role producer: requests into Kafka, with Redis as the knowledge that all producers share.
//
// Ownership: owns its parts; borrows the rest. Threads: all members but the routes from one thread.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "app/component_health.h"
#include "app/http_listener.h"
#include "app/receiver.h"
#include "app/service.h"
#include "base/periodic.h"
#include "base/result.h"
#include "config/config.h"
#include "dedupe/redis/tier.h"
#include "net/http.h"
#include "stream/kafka/publisher.h"

namespace mi::app {

class Producer {
 public:
  // kInvalid: an option that librdkafka refuses, or a malformed URL.
  static Result<std::unique_ptr<Producer>> Create(const config::Config& config, const Service::Deps& deps,
                                                  HttpListener& listener);

  void RegisterRoutes(net::Router& router) { receiver_->RegisterRoutes(router); }
  Status Reconfigure(const config::Config& config);

  void Refuse() { receiver_->Refuse(); }
  void ExpireAll() { receiver_->ExpireAll(); }
  // Makes fingerprints with this secret of the catalogue from now on. Series that are known are published once more if
  // it is another one, which does no harm. Threads: any.
  void SetIdentitySecret(const std::string& identity_secret);

  // Call it after the listener was drained. What is on its way to Kafka is finished, then Redis is told.
  void Stop();

 private:
  Producer(const config::Config& config, const Service::Deps& deps, HttpListener& listener,
           std::unique_ptr<stream::KafkaPublisher> kafka);
  Status Start(const config::Config& config, const Service::Deps& deps, MemoryBudget& memory);

  std::unique_ptr<dedupe::RedisTier> redis_;
  std::unique_ptr<stream::KafkaPublisher> kafka_;
  std::unique_ptr<Receiver> receiver_;  // both call it until Stop() has ended them
  ComponentHealth kafka_health_;
  ComponentHealth redis_health_;
  std::optional<Periodic> health_;
};

}  // namespace mi::app
