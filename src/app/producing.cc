#include "app/producing.h"

#include <utility>

#include "app/role_options.h"

namespace mi::app {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kHealthInterval = std::chrono::seconds(1);
// What is kept of app.shutdown_timeout for telling Redis.
constexpr milliseconds kTimeToTell = std::chrono::seconds(1);

}  // namespace

Result<std::unique_ptr<Producing>> Producing::Create(const config::Config& config, const Service::Deps& deps,
                                                     telemetry::Health& health) {
  Result<std::unique_ptr<stream::KafkaPublisher>> kafka =
      stream::KafkaPublisher::Create(KafkaPublisherOptionsOf(config), {deps.clock, deps.log, deps.metrics});
  if (!kafka) return Fail(kafka.error());
  return std::unique_ptr<Producing>(new Producing(config, deps, health, *std::move(kafka)));
}

// The table begins empty: what it does not know, Redis does, and without Redis a series is published once more.
Producing::Producing(const config::Config& config, const Service::Deps& deps, telemetry::Health& health,
                     std::unique_ptr<stream::KafkaPublisher> kafka)
    : redis_(dedupe::RedisTier::Create(RedisOptionsOf(config), {deps.log, deps.metrics})),
      kafka_(std::move(kafka)),
      receiving_(config, FleetSeenOptionsOf(config),
                 {dedupe::SeenSet::Create(FleetSeenOptionsOf(config), deps.clock), *kafka_, *kafka_, redis_.get(),
                  deps.clock, deps.metrics}),
      kafka_health_("kafka", Need::kAlways, health, deps.log),
      redis_health_("redis", Need::kNever, health, deps.log),
      cleanup_interval_(config.metric_store.cache.cleanup_interval) {}

void Producing::AddTasks(Housekeeping& housekeeping) {
  housekeeping.Every([this] { return *cleanup_interval_.Get(); }, [this] { receiving_.Sweep(); });
  housekeeping.Every([] { return kHealthInterval; },
                     [this] {
                       kafka_health_.Report(kafka_->Health());
                       redis_health_.Report(redis_->Health());
                     });
}

void Producing::Reconfigure(const config::Config& config) {
  receiving_.Reconfigure(config, FleetSeenOptionsOf(config));
  redis_->Reconfigure(RedisOptionsOf(config).writes);
  cleanup_interval_.Set(config.metric_store.cache.cleanup_interval);
}

void Producing::Stop() {
  kafka_->Stop();
  redis_->Stop(kTimeToTell);
}

}  // namespace mi::app
