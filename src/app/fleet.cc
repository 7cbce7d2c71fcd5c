#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "app/component_health.h"
#include "app/consumer.h"
#include "app/http_listener.h"
#include "app/identity.h"
#include "app/producer.h"
#include "app/query_service.h"
#include "app/role_options.h"
#include "app/service.h"
#include "base/deadline_timer.h"
#include "base/periodic.h"
#include "catalog/follower.h"
#include "store/mysql/catalog.h"

namespace mi::app {
namespace {

using std::chrono::milliseconds;

// The part of app.shutdown_timeout that is kept for the steps after the listener's drain: Kafka (at most a quarter of
// the whole), Redis, TSDBs and the index.
constexpr milliseconds kTimeToHandOver = std::chrono::seconds(4);
// How long a stop lets transactions end by themselves.
constexpr milliseconds kPatienceWithDatabase = std::chrono::seconds(2);
constexpr milliseconds kPrepareInterval = std::chrono::seconds(2);
constexpr milliseconds kDatabaseHealthInterval = std::chrono::seconds(5);

// The parts are members in the order of their creation, so they are destroyed in the opposite order.
class Fleet final : public Service {
 public:
  Fleet(const config::Config& config, const Deps& deps) : config_(config), deps_(deps) {}
  ~Fleet() override { Stop(); }

  Status Start();

  Status Reconfigure(const config::Config& config) override;
  void Stop() override;
  uint16_t port() const override { return listener_->port(); }
  bool speaks_tls() const override { return listener_->speaks_tls(); }
  bool Responds(milliseconds patience) const override { return listener_->Responds(patience); }
  std::string Readiness() const override { return listener_->health().Describe(); }

 private:
  bool Is(config::Role role) const {
    return config_.app.role_type == role || config_.app.role_type == config::Role::kAll;
  }
  // A process that answers queries continues from its catalogue while the database is away.
  Need NeedOfDatabase() const { return Is(config::Role::kQuery) ? Need::kAtStart : Need::kAlways; }
  Status OpenProducer();
  Status OpenConsumer();
  void OpenQueryService();
  void OpenDatabase();
  void CheckIndex();
  void CheckDatabase();
  void InterruptDatabase();

  const config::Config config_;
  const Deps deps_;
  bool started_ = false;
  std::atomic<bool> stopping_ = false;

  std::unique_ptr<Producer> producer_;
  std::optional<store::MysqlCatalog> database_;
  std::unique_ptr<Consumer> consumer_;
  std::unique_ptr<store::CatalogReader> reader_;
  std::unique_ptr<QueryService> query_service_;
  std::optional<catalog::Follower> follower_;
  std::unique_ptr<HttpListener> listener_;
  std::optional<IdentityFollower> identity_follower_;
  std::optional<ComponentHealth> index_health_;
  std::optional<Periodic> index_health_check_;
  std::optional<ComponentHealth> database_health_;
  bool database_prepared_ = false;  // of the thread of database_check_
  std::optional<Periodic> database_check_;
};

Status Fleet::OpenProducer() {
  producer_ = TRY(Producer::Create(config_, deps_, *listener_));
  producer_->RegisterRoutes(listener_->router());
  if (config_.app.role_type == config::Role::kProducer && config_.identity_secret.empty()) {
    identity_follower_.emplace(MysqlOptionsOf(config_), listener_->health(), deps_.log,
                               [this](const std::string& secret) { producer_->SetIdentitySecret(secret); });
  }
  return {};
}

Status Fleet::OpenConsumer() {
  consumer_ = TRY(Consumer::Create(config_, deps_, *database_));
  index_health_.emplace("index", NeedOfDatabase(), listener_->health(), deps_.log);
  index_health_check_.emplace(kHealthInterval, [this] { CheckIndex(); });
  return {};
}

void Fleet::CheckIndex() {
  index_health_->Report(consumer_->Health());
  listener_->health().Report("indexing", consumer_->Progress());
}

void Fleet::OpenQueryService() {
  reader_ = database_->OpenReader();
  query_service_ = std::make_unique<QueryService>(config_, deps_.clock, deps_.log, deps_.metrics,
                                                  [this] { return follower_->Health(); });
  follower_.emplace(
      catalog::FollowerOptions{.longest_transaction = config_.mysql.longest_transaction},
      catalog::FollowerDeps{query_service_->catalog(), *reader_, deps_.clock, deps_.log, deps_.fatal, [this] {
                              query_service_->SetReady();
                              query_service_->ReportTo(listener_->health());
                            }});
  query_service_->Serve(listener_->router(), listener_->memory());
  listener_->health().SetWaiting("catalog", "the catalogue to be loaded");
}

void Fleet::OpenDatabase() {
  database_.emplace(MysqlOptionsOf(config_), store::MysqlDeps{deps_.log, deps_.metrics, deps_.fatal});
  database_health_.emplace("mysql", NeedOfDatabase(), listener_->health(), deps_.log);
}

// Called periodically. Until the database is prepared, tries to prepare it, and then starts the consumer and the
// follower. After that, checks its health.
void Fleet::CheckDatabase() {
  if (stopping_) return;
  const Status status = database_prepared_ ? database_->Health() : database_->Prepare();
  database_health_->Report(status);
  if (!status || stopping_ || std::exchange(database_prepared_, true)) return;
  const std::string secret = database_->identity_secret();
  WarnIfEmpty(secret, deps_.log);
  if (producer_ != nullptr) producer_->SetIdentitySecret(secret);
  if (consumer_ != nullptr) consumer_->Start(secret);
  if (follower_) {
    query_service_->catalog().VerifyFingerprints(secret);
    follower_->Start();
  }
}

Status Fleet::Start() {
  listener_ = TRY(HttpListener::Bind(config_, deps_.clock, deps_.log, deps_.metrics));
  if (Is(config::Role::kProducer)) TRY(OpenProducer());
  if (Is(config::Role::kConsumer) || Is(config::Role::kQuery)) OpenDatabase();
  if (Is(config::Role::kConsumer)) TRY(OpenConsumer());
  if (Is(config::Role::kQuery)) OpenQueryService();
  started_ = true;
  if (database_) {
    database_check_.emplace([this] { return database_prepared_ ? kDatabaseHealthInterval : kPrepareInterval; },
                            [this] { CheckDatabase(); });
    database_check_->RunSoon();
  }
  listener_->Start();
  deps_.log.Info("listening on {} (port {}) as {}", config_.server.Address(), port(),
                 config::ToString(config_.app.role_type));
  return {};
}

Status Fleet::Reconfigure(const config::Config& config) {
  if (producer_ != nullptr) TRY(producer_->Reconfigure(config));
  listener_->Reconfigure(config);
  return {};
}

// Calls that still wait for the database after kPatienceWithDatabase wait for one that is frozen, locked or away.
void Fleet::InterruptDatabase() {
  const size_t calls = database_->Interrupt();
  if (calls == 0) return;
  deps_.log.Warn(
      "mysql does not answer: {} of its calls are given up; what they did not commit is read again from the stream",
      calls);
}

// Stopping waits for several other services, each of which may be away. So every step has a bound: the drain by
// app.shutdown_timeout, MySQL by a timer that starts at once and interrupts its calls, Redis and the TSDBs by their own
// times. The order follows the data: requests, then the producer (Kafka, Redis, TSDBs), then the index. database_check_
// ends before the consumer and the follower are stopped, because its thread starts both; stopping_ keeps it from
// starting them late.
void Fleet::Stop() {
  if (!std::exchange(started_, false)) return;
  const auto begun = deps_.clock.Steady();
  // All are asked before any is waited for: none begins work that another would wait for.
  if (consumer_ != nullptr) consumer_->RequestStop();
  stopping_ = true;
  DeadlineTimer timer;
  if (database_) timer.After(kPatienceWithDatabase, [this] { InterruptDatabase(); });
  if (producer_ != nullptr) producer_->Refuse();
  if (query_service_ != nullptr) query_service_->Refuse();
  listener_->Drain(config_.app.shutdown_timeout, kTimeToHandOver, [this] {
    if (producer_ != nullptr) producer_->ExpireAll();
  });
  if (query_service_ != nullptr) query_service_->Stop();
  index_health_check_.reset();
  if (producer_ != nullptr) producer_->Stop();
  identity_follower_.reset();
  database_check_.reset();
  if (consumer_ != nullptr) consumer_->Stop();
  if (follower_) follower_->Stop();
  const std::chrono::duration<double> took = deps_.clock.Steady() - begun;
  deps_.log.Info("everything is handed over, after {:.1f} s", took.count());
}

}  // namespace

Result<std::unique_ptr<Service>> StartFleet(const config::Config& config, const Service::Deps& deps) {
  auto service = std::make_unique<Fleet>(config, deps);
  TRY(service->Start());
  return service;
}

}  // namespace mi::app
