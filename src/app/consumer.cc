#include "app/consumer.h"

#include <thread>
#include <utility>

#include "app/gauges.h"
#include "app/role_options.h"

namespace mi::app {

Result<std::unique_ptr<Consumer>> Consumer::Create(const config::Config& config, const Service::Deps& deps,
                                                   store::MysqlCatalog& catalog) {
  const stream::StreamDeps kafka{deps.clock, deps.log, deps.metrics, deps.fatal};
  std::unique_ptr<Consumer> group(new Consumer(deps));
  std::vector<const stream::SeriesConsumer*> consumers;
  for (uint64_t i = 0; i < config.app.work_num; ++i) {
    auto consumer = TRY(stream::KafkaConsumer::Create(KafkaConsumerOptionsOf(config), kafka));
    Lane& lane = group->lanes_.emplace_back(Lane{std::move(consumer), catalog.OpenStore(), nullptr});
    lane.worker =
        std::make_unique<index::Worker>(index::WorkerOptions{.store_figures = index::StoreFigures::kByStore},
                                        index::WorkerDeps{*lane.consumer, *lane.store, nullptr, &group->activity_,
                                                          deps.clock, deps.log, deps.metrics, deps.fatal});
    consumers.push_back(lane.consumer.get());
  }
  group->lag_ = ShowIndexLag(consumers, deps.clock, deps.metrics);
  group->activity_consumer_ =
      TRY(stream::KafkaActivityConsumer::Create(KafkaConsumerOptionsOf(config), kafka, group->activity_));
  return group;
}

void Consumer::Start(const std::string& identity_secret) {
  for (Lane& lane : lanes_) {
    lane.consumer->SetIdentitySecret(identity_secret);
    lane.worker->Start();
  }
  activity_consumer_->SetIdentitySecret(identity_secret);
  activity_consumer_->Start();
  started_ = true;
}

void Consumer::RequestStop() {
  for (Lane& lane : lanes_) lane.worker->RequestStop();
}

// The lanes stop at the same time, each on a thread of its own: a worker finishes a transaction and a Kafka consumer
// leaves its group, and both may take seconds. The worker goes before the consumer that it reads from. The activity
// consumer ends first, since it only fills a queue; the gauges end before the consumers that they read.
void Consumer::Stop() {
  RequestStop();
  if (activity_consumer_ != nullptr) activity_consumer_->Stop();
  lag_.reset();
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

Status Consumer::Progress() const {
  for (const Lane& lane : lanes_) {
    if (const Status moves = lane.worker->Progress(); !moves) return moves;
  }
  return {};
}

Status Consumer::Health() const {
  if (!started_) return Fail(Errc::kUnavailable, "the database to be prepared");
  for (const Lane& lane : lanes_) {
    if (const Status works = lane.worker->Health(); !works) return works;
  }
  return {};
}

}  // namespace mi::app
