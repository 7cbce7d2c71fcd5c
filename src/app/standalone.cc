#include <atomic>
#include <chrono>
#include <filesystem>
#include <optional>
#include <thread>
#include <utility>

#include "app/catalog_files.h"
#include "app/data_directory.h"
#include "app/gauges.h"
#include "app/http_listener.h"
#include "app/identity.h"
#include "app/process.h"
#include "app/query_service.h"
#include "app/receiver.h"
#include "app/role_options.h"
#include "app/seen_table.h"
#include "app/service.h"
#include "base/periodic.h"
#include "base/stop_signal.h"
#include "index/worker.h"
#include "store/sqlite/catalog.h"
#include "stream/activity_queue.h"
#include "stream/journal/file.h"
#include "stream/journal/journal.h"

namespace mi::app {
namespace {

using std::chrono::milliseconds;

constexpr size_t kMaxActivity = 10'000'000;  // 16 bytes each: a whole window of ten million series fits
constexpr milliseconds kHealthInterval = std::chrono::seconds(1);
constexpr milliseconds kFilesInterval{100};
constexpr milliseconds kSnapshotInterval = std::chrono::minutes(5);
constexpr milliseconds kTimeToSave =
    std::chrono::seconds(2);  // of app.shutdown_timeout, for the index and the snapshot
constexpr milliseconds kLoadRetry = std::chrono::seconds(5);

// Adds to an error of the catalogue what to do if it is damaged.
template <typename T>
Result<T> WithAdvice(Result<T> result) {
  if (result || result.error().code() != Errc::kCorrupt) return result;
  return Fail(store::DamagedCatalog(result.error()));
}

// Passes what the index has applied to the catalogue in the same process.
class CatalogFeed final : public index::IndexListener {
 public:
  explicit CatalogFeed(catalog::Catalog& catalog) : catalog_(catalog) {}
  void OnApplied(std::span<const model::SeriesBatch> batches, const store::ApplyResult& applied) override {
    catalog_.Append(batches, applied);
  }
  void OnSeenUpdated(std::span<const store::SeenUpdate> updates) override { catalog_.UpdateSeen(updates); }

 private:
  catalog::Catalog& catalog_;
};

// The parts are members in the order of their creation, so they are destroyed in the opposite order.
class Standalone final : public Service {
 public:
  Standalone(const config::Config& config, const Deps& deps, DataDirectory directory)
      : config_(config), deps_(deps), directory_(std::move(directory)) {}
  ~Standalone() override { Stop(); }

  // Starts the parts in the order of ARCHITECTURE.md, "Start and stop". After success requests are accepted; the
  // catalogue may still be loading, which /ready says.
  Status Start();

  Status Reconfigure(const config::Config& config) override;
  void Stop() override;
  uint16_t port() const override { return listener_->port(); }
  bool speaks_tls() const override { return listener_->speaks_tls(); }
  bool Responds(milliseconds patience) const override { return listener_->Responds(patience); }
  std::string Readiness() const override { return listener_->health().Describe(); }

 private:
  Status OpenFiles();
  Status OpenReceiver();
  void LoadCatalog();
  Status CheckFiles();
  void CheckHealth();
  void CheckIndex();
  void SaveSeen();
  Result<dedupe::SnapshotBinding> Binding();

  const config::Config config_;
  const Deps deps_;
  DataDirectory directory_;
  bool started_ = false;
  std::atomic<bool> loaded_ = false;
  std::string identity_secret_;  // of the catalogue

  std::unique_ptr<store::SeriesStore> store_;
  std::unique_ptr<store::CatalogReader> reader_;          // the loader's
  std::unique_ptr<store::CatalogReader> binding_reader_;  // the snapshot's
  std::unique_ptr<stream::Journal> journal_;
  stream::ActivityQueue activity_{kMaxActivity, deps_.metrics};

  std::unique_ptr<Receiver> receiver_;
  QueryService query_service_{config_, deps_.clock, deps_.log, deps_.metrics, [this] { return index_->Health(); }};
  CatalogFeed feed_{query_service_.catalog()};
  std::unique_ptr<index::Worker> index_;
  std::shared_ptr<void> lag_;  // the gauges, while they are refreshed
  StopSignal stop_loading_;
  std::thread loader_;

  std::unique_ptr<HttpListener> listener_;
  std::optional<Periodic> files_;
  std::optional<Periodic> health_;
  std::optional<Periodic> snapshot_;
};

Status Standalone::OpenFiles() {
  const std::string catalog = directory_.PathOf("catalog.db");
  store::IdentitySecrets secrets = IdentitySecretsOf(config_);
  stream::JournalOptions journal = config_.journal;
  journal.path = directory_.PathOf("journal.db");
  if (secrets.configured.empty()) {
    // If the catalogue was deleted, the journal remains, and its rows hold fingerprints that were made with the secret.
    // A new catalogue takes that secret. A catalogue that exists has its own, so a journal without a secret does no
    // harm. (A journal keeps none if it was made with identity.secret.)
    auto kept = stream::ReadJournalSecret(journal.path);
    if (!kept && !std::filesystem::exists(catalog)) return Fail(kept.error());
    if (kept && *kept) secrets.if_new = **std::move(kept);
  }
  auto file = TRY(WithAdvice(
      store::SqliteCatalog::Open({.path = catalog, .synchronous = config_.journal.synchronous, .secrets = secrets})));
  identity_secret_ = file.identity_secret();
  WarnIfEmpty(identity_secret_, deps_.log);
  store_ = TRY(WithAdvice(file.OpenStore(deps_.fatal)));
  reader_ = TRY(WithAdvice(file.OpenReader()));
  binding_reader_ = TRY(WithAdvice(file.OpenReader()));
  journal.secret_check = model::SecretCheck(identity_secret_);
  if (secrets.configured.empty()) journal.kept_secret = identity_secret_;
  journal_ = TRY(stream::Journal::Open(journal, {deps_.clock, deps_.log, deps_.metrics, deps_.fatal},
                                       [this] { return CheckFiles(); }));
  TRY(directory_.Guard({"catalog.db", "journal.db"}));
  index_ = std::make_unique<index::Worker>(
      index::WorkerOptions{}, index::WorkerDeps{journal_->consumer(), *store_, &feed_, &activity_, deps_.clock,
                                                deps_.log, deps_.metrics, deps_.fatal});
  lag_ = ShowIndexLag({&journal_->consumer()}, deps_.clock, deps_.metrics);
  return index_->Seek();
}

// What a snapshot of the seen table belongs to.
Result<dedupe::SnapshotBinding> Standalone::Binding() {
  const store::CatalogState state = TRY(WithAdvice(binding_reader_->State()));
  const model::StreamPosition end = journal_->End();
  return dedupe::SnapshotBinding{.catalog_uuid = state.uuid,
                                 .highest_id = state.highest_id,
                                 .journal_uuid = end.stream,
                                 .journal_next_offset = end.next_offset,
                                 .secret_check = model::SecretCheck(identity_secret_),
                                 .activity_interval_s = config_.seen.activity_interval_s};
}

Status Standalone::OpenReceiver() {
  dedupe::SnapshotBinding now = TRY(Binding());
  if (journal_->start().trimmed_unapplied > 0) {
    // The snapshot may hold series that the catalogue has lost: they must count as new when they are sent again.
    deps_.log.Warn(
        "the catalogue is older than the journal by {} batches that are gone; their series come back as they are sent "
        "again",
        journal_->start().trimmed_unapplied);
    now.journal_uuid = "none";
  }
  auto seen = TRY(WithAdvice(OpenSeenTable(directory_.PathOf("seen.snapshot"), now, StandaloneSeenOptionsOf(config_),
                                           {*reader_, deps_.clock, deps_.log, Signals::StopRequested})));
  receiver_ = TRY(Receiver::Create(config_, {identity_secret_, std::move(seen), journal_->publisher(), activity_,
                                             nullptr, deps_.clock, deps_.log, deps_.metrics, listener_->memory()}));
  return {};
}

// The index starts after the catalogue is loaded, because both write the catalogue. Until then the journal holds what
// arrives. Damage that hides rows ends the process, since only a person can repair it.
void Standalone::LoadCatalog() {
  catalog::Catalog& catalog = query_service_.catalog();
  catalog.VerifyFingerprints(identity_secret_);
  for (Status loaded = catalog.Load(*reader_); !loaded; loaded = catalog.Load(*reader_)) {
    if (catalog.loading_stopped()) return;
    if (loaded.error().code() == Errc::kCorrupt) return deps_.fatal(store::DamagedCatalog(loaded.error()));
    deps_.log.Error("the catalogue cannot be loaded, trying again: {}", loaded.error().message());
    listener_->health().SetWaiting("catalog", loaded.error().message());
    if (!stop_loading_.WaitFor(kLoadRetry)) return;
  }
  // What is damaged is not durable, so it must count as new when it is sent again. Then the store finds the row by
  // this.
  const std::vector<store::DamagedRow> damaged = catalog.TakeDamaged();
  std::vector<model::Fingerprint> not_durable;
  for (const store::DamagedRow& row : damaged) not_durable.push_back(row.fingerprint);
  receiver_->seen().Forget(not_durable);
  store_->NoteDamaged(damaged);
  query_service_.SetReady();
  query_service_.ReportTo(listener_->health());
  loaded_ = true;
  index_->Start();
}

// Ends the process if its files were deleted or replaced. The journal asks after each commit, before it answers: so a
// new series is never acknowledged on the strength of a file that is gone. A known series needs no commit, so the files
// are also checked periodically. Such a series may be acknowledged until the next check; it is unknown after the
// restart, because then the seen table is filled from what is left.
Status Standalone::CheckFiles() {
  Status intact = directory_.Intact();
  if (intact) return intact;
  if (receiver_ != nullptr) receiver_->Refuse();
  directory_.SetAsideOrphanedLogs();
  deps_.fatal(intact.error());
  return intact;
}

void Standalone::CheckHealth() {
  if (loaded_) query_service_.ReportTo(listener_->health());
  // A full or failing journal accepts no new series: load balancers should know.
  listener_->health().Report("journal", journal_->publisher().Health());
  CheckIndex();
}

// The journal accepts series while the index cannot apply them, so that is no reason to refuse them at once. But after
// a while new series are missing from too many answers.
void Standalone::CheckIndex() {
  telemetry::Health& health = listener_->health();
  const Status moves = index_->Progress();
  if (const Status works = index_->Health(); moves && !works)
    return health.SetImpaired("index", works.error().message());
  health.Report("index", moves);
}

void Standalone::SaveSeen() {
  SaveSeenTable(receiver_->seen(), directory_.PathOf("seen.snapshot"), [this] { return Binding(); }, deps_.log);
}

// The port is bound before the databases are opened, so a port in use is reported at once. The listener accepts last,
// when its routes are complete. started_ is set before the loader and the periodic tasks start,
// so Stop() ends them; an error before that leaves the parts to their destructors.
Status Standalone::Start() {
  listener_ = TRY(HttpListener::Bind(config_, deps_.clock, deps_.log, deps_.metrics));
  listener_->health().SetWaiting("catalog", "the catalogue to be loaded");
  TRY(OpenFiles());
  TRY(OpenReceiver());
  receiver_->RegisterRoutes(listener_->router());
  query_service_.Serve(listener_->router(), listener_->memory());
  started_ = true;
  CheckHealth();  // the journal has tried to write when it was opened
  loader_ = std::thread([this] { LoadCatalog(); });
  files_.emplace(kFilesInterval, [this] { (void)CheckFiles(); });
  health_.emplace(kHealthInterval, [this] { CheckHealth(); });
  snapshot_.emplace(kSnapshotInterval, [this] { SaveSeen(); });
  listener_->Start();
  deps_.log.Info("listening on {} (port {}), data in {}", config_.server.Address(), port(), config_.app.data_dir);
  return {};
}

Status Standalone::Reconfigure(const config::Config& config) {
  TRY(receiver_->Reconfigure(config));
  listener_->Reconfigure(config);
  return {};
}

// The order follows the data. Requests first: they are refused, answered or expired, so nothing new enters the journal.
// Then the queries and the periodic tasks, which use the parts below. Then the journal, and the loader, which may
// just be starting the index; so it is joined before the index stops. The snapshot comes after both: the journal's end
// and the catalogue's highest id no longer change, so the snapshot is bound to what the next start will find.
// Forwarding to TSDBs comes last: its queues are only in memory, and nothing depends on them. A crash between two steps
// costs only time at the next start: the journal and the catalogue are durable by themselves.
void Standalone::Stop() {
  if (!std::exchange(started_, false)) return;
  const auto begun = deps_.clock.Steady();
  receiver_->Refuse();
  query_service_.Refuse();
  listener_->Drain(config_.app.shutdown_timeout, kTimeToSave, [this] { receiver_->ExpireAll(); });
  query_service_.Stop();
  files_.reset();
  health_.reset();
  snapshot_.reset();
  journal_->Stop();
  query_service_.catalog().StopLoading();
  stop_loading_.Request();
  if (loader_.joinable()) loader_.join();
  index_->Stop();
  SaveSeen();
  receiver_->Stop(kTimeToForward);
  const std::chrono::duration<double> took = deps_.clock.Steady() - begun;
  deps_.log.Info("everything is saved, after {:.1f} s", took.count());
}

}  // namespace

Result<std::unique_ptr<Service>> StartStandalone(const config::Config& config, const Service::Deps& deps) {
  DataDirectory directory = TRY(DataDirectory::Open(config.app.data_dir));
  if (const auto warning = directory.OpenToOthers()) deps.log.Warn("{}", *warning);
  if (TRY(CompleteInstallation(directory))) deps.log.Warn("a restore or repair was interrupted: it is complete now");
  auto service = std::make_unique<Standalone>(config, deps, std::move(directory));
  TRY(service->Start());
  return service;
}

}  // namespace mi::app
