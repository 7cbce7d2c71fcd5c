#include "app/producing.h"

#include <utility>

#include "app/role_options.h"

namespace mi::app {
namespace {

using std::chrono::milliseconds;

// What is kept of app.shutdown_timeout for telling Redis.
constexpr milliseconds kTimeToTell = std::chrono::seconds(1);

}  // namespace

Result<std::unique_ptr<Producing>> Producing::Create(const config::Config& config, const Service::Deps& deps,
                                                     telemetry::Health& health) {
  Result<std::unique_ptr<stream::KafkaPublisher>> kafka =
      stream::KafkaPublisher::Create(KafkaPublisherOptionsOf(config), {deps.clock, deps.log, deps.metrics});
  if (!kafka) return Fail(kafka.error());
  std::unique_ptr<Producing> producing(new Producing(config, deps, health, *std::move(kafka)));
  if (const Status opened = producing->OpenReceiving(config, deps); !opened) return Fail(opened.error());
  return producing;
}

Producing::Producing(const config::Config& config, const Service::Deps& deps, telemetry::Health& health,
                     std::unique_ptr<stream::KafkaPublisher> kafka)
    : redis_(dedupe::RedisTier::Create(RedisOptionsOf(config), {deps.log, deps.metrics})),
      kafka_(std::move(kafka)),
      kafka_health_("kafka", Need::kAtStart, health, deps.log),
      redis_health_("redis", Need::kNever, health, deps.log),
      cleanup_interval_(config.metric_store.cache.cleanup_interval) {}

// The table begins empty: what it does not know, Redis does, and without Redis a series is published once more.
Status Producing::OpenReceiving(const config::Config& config, const Service::Deps& deps) {
  const dedupe::SeenOptions seen_options = FleetSeenOptionsOf(config);
  auto receiving = Receiving::Create(config, seen_options,
                                     {dedupe::SeenSet::Create(seen_options, deps.clock), *kafka_, *kafka_, redis_.get(),
                                      deps.clock, deps.log, deps.metrics});
  if (!receiving) return Fail(receiving.error());
  receiving_ = *std::move(receiving);
  return {};
}

void Producing::AddTasks(Housekeeping& housekeeping) {
  housekeeping.Every([this] { return *cleanup_interval_.Get(); }, [this] { receiving_->Sweep(); });
  housekeeping.Every([] { return kHealthInterval; },
                     [this] {
                       kafka_health_.Report(kafka_->Health());
                       redis_health_.Report(redis_->Health());
                     });
}

Status Producing::Reconfigure(const config::Config& config) {
  if (Status taken = receiving_->Reconfigure(config, FleetSeenOptionsOf(config)); !taken) return taken;
  redis_->Reconfigure(RedisOptionsOf(config).writes);
  cleanup_interval_.Set(config.metric_store.cache.cleanup_interval);
  return {};
}

void Producing::Stop() {
  kafka_->Stop();
  redis_->Stop(kTimeToTell);
  receiving_->StopForwarding(kTimeToForward);
}

}  // namespace mi::app
