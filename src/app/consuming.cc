#include "app/consuming.h"

#include <thread>
#include <utility>

#include "app/role_options.h"

namespace mi::app {
namespace {

// 16 bytes each. Kafka holds the rest: its reader waits while the queue is full.
constexpr size_t kMaxActivity = 1'000'000;

}  // namespace

Consuming::Consuming(const Service::Deps& deps)
    : activity_(kMaxActivity, deps.metrics), lag_(index::LagProbe::Create(deps.clock, deps.metrics)) {}

Result<std::unique_ptr<Consuming>> Consuming::Create(const config::Config& config, const Service::Deps& deps,
                                                     store::MysqlCatalog& catalog) {
  const stream::KafkaDeps kafka{deps.clock, deps.log, deps.metrics};
  std::unique_ptr<Consuming> consuming(new Consuming(deps));
  for (uint64_t i = 0; i < config.metric_store.consumer.work_num; ++i) {
    auto consumer = stream::KafkaConsumer::Create(KafkaConsumerOptionsOf(config), kafka);
    if (!consumer) return Fail(consumer.error());
    Lane& lane = consuming->lanes_.emplace_back(Lane{*std::move(consumer), catalog.OpenStore(), nullptr});
    lane.worker = std::make_unique<index::Worker>(
        index::WorkerOptions{.store_figures = index::StoreFigures::kByStore},
        index::WorkerDeps{*lane.consumer, *lane.store, consuming->nobody_, &consuming->activity_, deps.clock, deps.log,
                          deps.metrics, *consuming->lag_});
  }
  auto activity = stream::KafkaActivityConsumer::Create(KafkaActivityOptionsOf(config), kafka, consuming->activity_);
  if (!activity) return Fail(activity.error());
  consuming->activity_consumer_ = *std::move(activity);
  return consuming;
}

void Consuming::Start() {
  for (Lane& lane : lanes_) lane.worker->Start();
  activity_consumer_->Start();
  started_ = true;
}

void Consuming::RequestStop() {
  for (Lane& lane : lanes_) lane.worker->RequestStop();
}

void Consuming::Stop() {
  RequestStop();
  if (activity_consumer_ != nullptr) activity_consumer_->Stop();
  std::vector<std::thread> stops;
  stops.reserve(lanes_.size());
  for (Lane& lane : lanes_) {
    stops.emplace_back([&lane] {
      lane.worker.reset();
      lane.consumer.reset();
    });
  }
  for (std::thread& stop : stops) stop.join();
  lanes_.clear();
}

Status Consuming::Health() const {
  if (!started_) return Fail(Errc::kUnavailable, "the database to be prepared");
  for (const Lane& lane : lanes_) {
    if (const Status works = lane.worker->Health(); !works) return works;
  }
  return {};
}

}  // namespace mi::app
