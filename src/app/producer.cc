#include "app/producer.h"

#include <utility>

#include "app/role_options.h"

namespace mi::app {
using std::chrono::milliseconds;

Result<std::unique_ptr<Producer>> Producer::Create(const config::Config& config, const Service::Deps& deps,
                                                   telemetry::Health& health) {
  auto kafka = TRY(stream::KafkaPublisher::Create(KafkaPublisherOptionsOf(config),
                                                  {deps.clock, deps.log, deps.metrics, deps.fatal}));
  std::unique_ptr<Producer> producer(new Producer(config, deps, health, std::move(kafka)));
  TRY(producer->Start(config, deps));
  return producer;
}

Producer::Producer(const config::Config& config, const Service::Deps& deps, telemetry::Health& health,
                   std::unique_ptr<stream::KafkaPublisher> kafka)
    : redis_(std::make_unique<dedupe::RedisTier>(RedisOptionsOf(config), RedisWriteOptionsOf(config),
                                                 dedupe::RedisTier::Deps{deps.log, deps.metrics})),
      kafka_(std::move(kafka)),
      kafka_health_("kafka", Need::kAtStart, health, deps.log),
      redis_health_("redis", Need::kNever, health, deps.log),
      cleanup_interval_(config.metric_store.cache.cleanup_interval) {}

// The table begins empty: what it does not know, Redis does, and without Redis a series is published once more.
Status Producer::Start(const config::Config& config, const Service::Deps& deps) {
  const dedupe::SeenOptions seen_options = FleetSeenOptionsOf(config);
  receiver_ = TRY(Receiver::Create(config, seen_options,
                                   {std::make_unique<dedupe::SeenSet>(seen_options, deps.clock), *kafka_, *kafka_,
                                    redis_.get(), deps.clock, deps.log, deps.metrics}));
  sweep_.emplace([this] { return *cleanup_interval_.Get(); }, [this] { receiver_->Sweep(); });
  health_.emplace(kHealthInterval, [this] {
    kafka_health_.Report(kafka_->Health());
    redis_health_.Report(redis_->Health());
  });
  return {};
}

Status Producer::Reconfigure(const config::Config& config) {
  TRY(receiver_->Reconfigure(config, FleetSeenOptionsOf(config)));
  redis_->Reconfigure(RedisWriteOptionsOf(config));
  cleanup_interval_.Set(config.metric_store.cache.cleanup_interval);
  return {};
}

void Producer::Stop() {
  constexpr milliseconds kTimeForRedis = std::chrono::seconds(1);  // of app.shutdown_timeout
  sweep_.reset();
  health_.reset();
  kafka_->Stop();
  redis_->Drain(kTimeForRedis);
  redis_->Stop();
  receiver_->Stop(kTimeToForward);
}

}  // namespace mi::app
