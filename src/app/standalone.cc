#include "app/standalone.h"

#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "app/answering.h"
#include "app/data_directory.h"
#include "app/front.h"
#include "app/housekeeping.h"
#include "app/receiving.h"
#include "app/role_options.h"
#include "app/seen_table.h"
#include "app/signals.h"
#include "base/bounded_queue.h"
#include "base/live.h"
#include "catalog/stoppable_reader.h"
#include "index/worker.h"
#include "store/sqlite_catalog.h"
#include "stream/activity_queue.h"
#include "stream/journal.h"

namespace mi::app {
namespace {

using std::chrono::milliseconds;

// 16 bytes each: a whole window of ten million series fits.
constexpr size_t kMaxActivity = 10'000'000;
constexpr milliseconds kSnapshotInterval = std::chrono::minutes(5);
// What is kept of app.shutdown_timeout for the index and the snapshot.
constexpr milliseconds kTimeToSave = std::chrono::seconds(2);
constexpr milliseconds kLoadRetry = std::chrono::seconds(5);

// Hands what the index has applied to the catalogue: both live in one process.
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

// In the order in which they are made; they go in the opposite one.
class Standalone final : public Service {
 public:
  Standalone(const config::Config& config, const Deps& deps, DataDirectory directory)
      : config_(config), deps_(deps), directory_(std::move(directory)) {}
  ~Standalone() override { Stop(); }

  // Comes up in the order of ARCHITECTURE.md, "Start and stop". When it succeeds, requests are taken; the catalogue may
  // still load, which /ready says.
  Status ComeUp();

  Status Reconfigure(const config::Config& config) override;
  void Stop() override;
  uint16_t port() const override { return front_->port(); }

 private:
  Status OpenFiles();
  Status OpenReceiving();
  void LoadCatalog();
  void StartHousekeeping();
  void SaveSeen();
  Result<dedupe::SnapshotBinding> Binding();

  const config::Config config_;
  const Deps deps_;
  DataDirectory directory_;
  bool stopped_ = true;

  std::unique_ptr<store::SeriesStore> store_;
  std::unique_ptr<store::CatalogReader> reader_;          // the loader's
  std::unique_ptr<store::CatalogReader> binding_reader_;  // the snapshot's
  std::unique_ptr<stream::Journal> journal_;
  stream::ActivityQueue activity_{kMaxActivity, deps_.metrics};

  std::unique_ptr<Receiving> receiving_;
  Answering answering_{config_, deps_.clock, deps_.log, deps_.metrics, [this] { return index_->Health(); }};
  CatalogFeed feed_{answering_.catalog()};
  const std::shared_ptr<index::LagProbe> lag_ = index::LagProbe::Create(deps_.clock, deps_.metrics);
  std::unique_ptr<index::Worker> index_;
  std::optional<catalog::StoppableReader> loader_reader_;
  BoundedQueue<bool> stop_loading_{1};
  std::thread loader_;

  Live<milliseconds> cleanup_interval_{config_.metric_store.cache.cleanup_interval};
  Housekeeping housekeeping_;
  std::unique_ptr<Front> front_;
};

Status Standalone::OpenFiles() {
  const uint64_t secret_check = model::SecretCheck(config_.identity.secret);
  Result<store::SqliteCatalog> file = store::SqliteCatalog::Open({.path = directory_.PathOf("catalog.db"),
                                                                  .synchronous = config_.sqlite.synchronous,
                                                                  .secret_check = secret_check});
  if (!file) return Fail(file.error());
  Result<std::unique_ptr<store::SeriesStore>> opened_store = file->OpenStore();
  if (!opened_store) return Fail(opened_store.error());
  store_ = *std::move(opened_store);
  for (auto* slot : {&reader_, &binding_reader_}) {
    Result<std::unique_ptr<store::CatalogReader>> opened = file->OpenReader();
    if (!opened) return Fail(opened.error());
    *slot = *std::move(opened);
  }
  Result<std::unique_ptr<stream::Journal>> opened_journal =
      stream::Journal::Open({.path = directory_.PathOf("journal.db"),
                             .max_bytes = config_.journal.max_bytes,
                             .synchronous = config_.sqlite.synchronous,
                             .secret_check = secret_check},
                            {deps_.clock, deps_.log, deps_.metrics});
  if (!opened_journal) return Fail(opened_journal.error());
  journal_ = *std::move(opened_journal);
  if (Status guarded = directory_.Guard({"catalog.db", "journal.db"}); !guarded) return guarded;
  index_ = std::make_unique<index::Worker>(
      index::WorkerOptions{}, index::WorkerDeps{journal_->consumer(), *store_, feed_, &activity_, deps_.clock,
                                                deps_.log, deps_.metrics, *lag_});
  return index_->Seek();
}

Result<dedupe::SnapshotBinding> Standalone::Binding() {
  const Result<store::CatalogState> state = binding_reader_->State();
  if (!state) return Fail(state.error());
  const model::StreamPosition end = journal_->End();
  return dedupe::SnapshotBinding{.catalog_uuid = state->uuid,
                                 .highest_id = state->highest_id,
                                 .journal_uuid = end.stream,
                                 .journal_next_offset = end.next_offset,
                                 .secret_check = model::SecretCheck(config_.identity.secret),
                                 .activity_interval_s = SeenOptionsOf(config_).activity_interval_s};
}

Status Standalone::OpenReceiving() {
  Result<dedupe::SnapshotBinding> now = Binding();
  if (!now) return Fail(now.error());
  if (journal_->start().trimmed_unapplied > 0) {
    // The snapshot may hold series that were indexed after the backup: their senders must be heard again.
    deps_.log.Warn(
        "the catalogue is older than the journal by {} batches that are gone; their series come back as they are sent "
        "again",
        journal_->start().trimmed_unapplied);
    now->journal_uuid = "none";
  }
  auto seen = OpenSeenTable(directory_.PathOf("seen.snapshot"), *now, SeenOptionsOf(config_),
                            {*reader_, deps_.clock, deps_.log, Signals::StopIsAskedFor});
  if (!seen) return Fail(seen.error());
  auto receiving = Receiving::Create(
      config_, SeenOptionsOf(config_),
      {*std::move(seen), journal_->publisher(), activity_, nullptr, deps_.clock, deps_.log, deps_.metrics});
  if (!receiving) return Fail(receiving.error());
  receiving_ = *std::move(receiving);
  return {};
}

// The index follows the catalogue's load: both write the catalogue. Until then the journal holds what arrives.
void Standalone::LoadCatalog() {
  catalog::StoppableReader& series = *loader_reader_;
  catalog::Catalog& catalog = answering_.catalog();
  for (Status loaded = catalog.Load(series); !loaded; loaded = catalog.Load(series)) {
    deps_.log.Error("the catalogue cannot be loaded, trying again: {}", loaded.error().message());
    front_->health().SetWaiting("catalog", loaded.error().message());
    if (stop_loading_.PopUntil(std::chrono::steady_clock::now() + kLoadRetry)) return;
  }
  if (series.stopped()) return;
  answering_.SetReady();
  front_->health().SetReady("catalog");
  index_->Start();
}

void Standalone::StartHousekeeping() {
  housekeeping_.Every([this] { return *cleanup_interval_.Get(); }, [this] { receiving_->Sweep(); });
  // A full or failing journal takes no new series: load balancers should know.
  housekeeping_.Every([] { return kHealthInterval; },
                      [this] {
                        Status takes = directory_.Intact();
                        if (takes) takes = journal_->publisher().Health();
                        takes ? front_->health().SetReady("journal")
                              : front_->health().SetWaiting("journal", takes.error().message());
                      });
  housekeeping_.Every([] { return kSnapshotInterval; }, [this] { SaveSeen(); });
  housekeeping_.Start();
}

void Standalone::SaveSeen() {
  SaveSeenTable(receiving_->seen(), directory_.PathOf("seen.snapshot"), [this] { return Binding(); }, deps_.log);
}

Status Standalone::ComeUp() {
  Result<std::unique_ptr<Front>> front = Front::Bind(config_, deps_.log, deps_.metrics);
  if (!front) return Fail(front.error());
  front_ = *std::move(front);
  front_->health().SetWaiting("catalog", "the catalogue to be loaded");
  if (const Status files = OpenFiles(); !files) return Fail(files.error());
  if (const Status receiving = OpenReceiving(); !receiving) return Fail(receiving.error());
  receiving_->RegisterRoutes(front_->router());
  answering_.RegisterRoutes(front_->router());
  stopped_ = false;
  loader_reader_.emplace(*reader_);
  loader_ = std::thread([this] { LoadCatalog(); });
  StartHousekeeping();
  front_->Start();
  deps_.log.Info("listening on {} (port {}), data in {}", config_.app.ListenAddress(), port(), config_.app.data_dir);
  return {};
}

Status Standalone::Reconfigure(const config::Config& config) {
  if (Status taken = receiving_->Reconfigure(config, SeenOptionsOf(config)); !taken) return taken;
  front_->Reconfigure(config);
  cleanup_interval_.Set(config.metric_store.cache.cleanup_interval);
  return {};
}

void Standalone::Stop() {
  if (std::exchange(stopped_, true)) return;
  const auto begun = deps_.clock.Steady();
  receiving_->Refuse();
  front_->Drain(config_.app.shutdown_timeout, kTimeToSave, [this] { receiving_->ExpireAll(); });
  answering_.Close();
  housekeeping_.Stop();
  journal_->Stop();
  loader_reader_->Stop();
  stop_loading_.TryPush(true);
  if (loader_.joinable()) loader_.join();
  index_->Stop();
  SaveSeen();
  receiving_->StopForwarding(kTimeToForward);
  const std::chrono::duration<double> took = deps_.clock.Steady() - begun;
  deps_.log.Info("everything is saved, after {:.1f} s", took.count());
}

}  // namespace

Result<std::unique_ptr<Service>> StartStandalone(const config::Config& config, const Service::Deps& deps) {
  Result<DataDirectory> directory = DataDirectory::Open(config.app.data_dir);
  if (!directory) return Fail(directory.error());
  auto service = std::make_unique<Standalone>(config, deps, *std::move(directory));
  if (const Status up = service->ComeUp(); !up) return Fail(up.error());
  return service;
}

}  // namespace mi::app
