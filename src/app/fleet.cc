#include "app/fleet.h"

#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "app/answering.h"
#include "app/consuming.h"
#include "app/database.h"
#include "app/front.h"
#include "app/housekeeping.h"
#include "app/producing.h"
#include "app/role_options.h"
#include "base/bounded_queue.h"
#include "catalog/follower.h"

namespace mi::app {
namespace {

using std::chrono::milliseconds;

// What is kept of app.shutdown_timeout for Kafka (a quarter of it), Redis, TSDBs and the index.
constexpr milliseconds kTimeToHandOver = std::chrono::seconds(4);
// How long transactions may take to end by themselves.
constexpr milliseconds kPatienceWithDatabase = std::chrono::seconds(2);

// In the order in which they are made; they go in the opposite one.
class Fleet final : public Service {
 public:
  Fleet(const config::Config& config, const Deps& deps) : config_(config), deps_(deps) {}
  ~Fleet() override { Stop(); }

  Status ComeUp();

  Status Reconfigure(const config::Config& config) override;
  void Stop() override;
  uint16_t port() const override { return front_->port(); }

 private:
  bool Is(config::Role role) const {
    return config_.app.role_type == role || config_.app.role_type == config::Role::kAll;
  }
  // One process with requests of its own to answer goes on without the database.
  Need NeedOfDatabase() const { return Is(config::Role::kQuery) ? Need::kAtStart : Need::kAlways; }
  Status OpenProducing();
  Status OpenConsuming();
  void OpenQuery();
  void OnPrepared();
  void InterruptDatabase();

  const config::Config config_;
  const Deps deps_;
  bool stopped_ = true;

  std::unique_ptr<Producing> producing_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<Consuming> consuming_;
  std::optional<PartHealth> index_health_;
  std::unique_ptr<store::CatalogReader> reader_;
  std::unique_ptr<Answering> answering_;
  std::optional<catalog::Follower> follower_;
  Housekeeping housekeeping_;
  std::unique_ptr<Front> front_;
};

Status Fleet::OpenProducing() {
  Result<std::unique_ptr<Producing>> producing = Producing::Create(config_, deps_, front_->health());
  if (!producing) return Fail(producing.error());
  producing_ = *std::move(producing);
  producing_->RegisterRoutes(front_->router());
  producing_->AddTasks(housekeeping_);
  return {};
}

Status Fleet::OpenConsuming() {
  Result<std::unique_ptr<Consuming>> consuming = Consuming::Create(config_, deps_, database_->catalog());
  if (!consuming) return Fail(consuming.error());
  consuming_ = *std::move(consuming);
  index_health_.emplace("index", NeedOfDatabase(), front_->health(), deps_.log);
  housekeeping_.Every([] { return kHealthInterval; }, [this] { index_health_->Report(consuming_->Health()); });
  return {};
}

void Fleet::OpenQuery() {
  reader_ = database_->catalog().OpenReader();
  answering_ = std::make_unique<Answering>(config_, deps_.clock, deps_.log, deps_.metrics,
                                           [this] { return follower_->Health(); });
  follower_.emplace(FollowerOptionsOf(config_),
                    catalog::FollowerDeps{answering_->catalog(), *reader_, deps_.clock, deps_.log, [this] {
                                            answering_->SetReady();
                                            front_->health().SetReady("catalog");
                                          }});
  answering_->RegisterRoutes(front_->router());
  front_->health().SetWaiting("catalog", "the catalogue to be loaded");
}

void Fleet::OnPrepared() {
  if (consuming_ != nullptr) consuming_->Start();
  if (follower_) follower_->Start();
}

Status Fleet::ComeUp() {
  Result<std::unique_ptr<Front>> front = Front::Bind(config_, deps_.log, deps_.metrics);
  if (!front) return Fail(front.error());
  front_ = *std::move(front);
  if (Is(config::Role::kProducer)) {
    if (const Status opened = OpenProducing(); !opened) return opened;
  }
  if (Is(config::Role::kConsumer) || Is(config::Role::kQuery)) {
    database_ = std::make_unique<Database>(config_, NeedOfDatabase(), front_->health(), deps_.log, deps_.metrics);
  }
  if (Is(config::Role::kConsumer)) {
    if (const Status opened = OpenConsuming(); !opened) return opened;
  }
  if (Is(config::Role::kQuery)) OpenQuery();
  stopped_ = false;
  if (database_ != nullptr) database_->Start([this] { OnPrepared(); });
  housekeeping_.Start();
  front_->Start();
  deps_.log.Info("listening on {} (port {}) as {}", config_.app.ListenAddress(), port(),
                 config::ToString(config_.app.role_type));
  return {};
}

Status Fleet::Reconfigure(const config::Config& config) {
  if (producing_ != nullptr) {
    if (Status taken = producing_->Reconfigure(config); !taken) return taken;
  }
  front_->Reconfigure(config);
  return {};
}

// Whoever still waits for the database then, waits for one that is frozen, locked or away.
void Fleet::InterruptDatabase() {
  if (database_ == nullptr) return;
  const size_t calls = database_->catalog().Interrupt();
  if (calls == 0) return;
  deps_.log.Warn(
      "mysql does not answer: {} of its calls are given up; what they did not commit is read again from the stream",
      calls);
}

void Fleet::Stop() {
  if (std::exchange(stopped_, true)) return;
  const auto begun = deps_.clock.Steady();
  // All are asked first: nobody begins what another waits for.
  if (consuming_ != nullptr) consuming_->RequestStop();
  if (database_ != nullptr) database_->RequestStop();
  BoundedQueue<bool> handed_over(1);
  std::thread impatient([&] {
    if (!handed_over.PopUntil(std::chrono::steady_clock::now() + kPatienceWithDatabase)) InterruptDatabase();
  });
  if (producing_ != nullptr) producing_->Refuse();
  front_->Drain(config_.app.shutdown_timeout, kTimeToHandOver, [this] {
    if (producing_ != nullptr) producing_->ExpireAll();
  });
  if (answering_ != nullptr) answering_->Close();
  housekeeping_.Stop();
  if (producing_ != nullptr) producing_->Stop();
  if (database_ != nullptr) database_->Stop();
  if (consuming_ != nullptr) consuming_->Stop();
  if (follower_) follower_->Stop();
  handed_over.TryPush(true);
  impatient.join();
  const std::chrono::duration<double> took = deps_.clock.Steady() - begun;
  deps_.log.Info("everything is handed over, after {:.1f} s", took.count());
}

}  // namespace

Result<std::unique_ptr<Service>> StartFleet(const config::Config& config, const Service::Deps& deps) {
  auto service = std::make_unique<Fleet>(config, deps);
  if (const Status up = service->ComeUp(); !up) return Fail(up.error());
  return service;
}

}  // namespace mi::app
