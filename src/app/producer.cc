#include "app/producer.h"

#include <utility>

#include "app/role_options.h"

namespace mi::app {
using std::chrono::milliseconds;

Result<std::unique_ptr<Producer>> Producer::Create(const config::Config& config, const Service::Deps& deps,
                                                   HttpListener& listener) {
  auto kafka = TRY(stream::KafkaPublisher::Create(KafkaPublisherOptionsOf(config),
                                                  {deps.clock, deps.log, deps.metrics, deps.fatal}));
  std::unique_ptr<Producer> producer(new Producer(config, deps, listener, std::move(kafka)));
  TRY(producer->Start(config, deps, listener.memory()));
  return producer;
}

Producer::Producer(const config::Config& config, const Service::Deps& deps, HttpListener& listener,
                   std::unique_ptr<stream::KafkaPublisher> kafka)
    : redis_(std::make_unique<dedupe::RedisTier>(config.redis, config.redis_writes,
                                                 dedupe::RedisTier::Deps{deps.log, deps.metrics})),
      kafka_(std::move(kafka)),
      kafka_health_("kafka", Need::kAtStart, listener.health(), deps.log),
      redis_health_("redis", Need::kNever, listener.health(), deps.log) {}

// The seen table is empty at first. Redis knows what it does not know; without Redis a series is published once more.
Status Producer::Start(const config::Config& config, const Service::Deps& deps, MemoryBudget& memory) {
  receiver_ =
      TRY(Receiver::Create(config, {config.identity_secret, std::make_unique<dedupe::SeenSet>(config.seen, deps.clock),
                                    *kafka_, *kafka_, redis_.get(), deps.clock, deps.log, deps.metrics, memory}));
  health_.emplace(kHealthInterval, [this] {
    kafka_health_.Report(kafka_->Health());
    redis_health_.Report(redis_->Health());
  });
  return {};
}

Status Producer::Reconfigure(const config::Config& config) {
  TRY(receiver_->Reconfigure(config));
  redis_->Reconfigure(config.redis_writes);
  return {};
}

// Nothing needs both at the same moment: fingerprints of either secret are found nowhere under the other one.
void Producer::SetIdentitySecret(const std::string& identity_secret) {
  kafka_->SetIdentitySecret(identity_secret);
  receiver_->SetIdentitySecret(identity_secret);
}

void Producer::Stop() {
  constexpr milliseconds kTimeForRedis = std::chrono::seconds(1);  // of app.shutdown_timeout
  health_.reset();
  kafka_->Stop();
  redis_->Drain(kTimeForRedis);
  redis_->Stop();
  receiver_->Stop(kTimeToForward);
}

}  // namespace mi::app
