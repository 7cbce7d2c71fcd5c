#include "app/standalone.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

#include "app/data_directory.h"
#include "app/figures.h"
#include "app/housekeeping.h"
#include "app/role_options.h"
#include "app/seen_table.h"
#include "app/stoppable_reader.h"
#include "app/version.h"
#include "base/bounded_queue.h"
#include "base/format.h"
#include "base/live.h"
#include "catalog/catalog.h"
#include "dedupe/in_flight.h"
#include "index/worker.h"
#include "net/server.h"
#include "receive/cache_handler.h"
#include "receive/write_handler.h"
#include "store/sqlite_catalog.h"
#include "stream/activity_queue.h"
#include "stream/journal.h"
#include "telemetry/health.h"
#include "web/api.h"
#include "web/status_handlers.h"

namespace mi::app {
namespace {

using std::chrono::milliseconds;

// 16 bytes each: a whole window of ten million series fits.
constexpr size_t kMaxActivity = 10'000'000;
constexpr milliseconds kHealthInterval = std::chrono::seconds(1);
constexpr milliseconds kSnapshotInterval = std::chrono::minutes(5);
// How long requests that wait for the stream may hold up a stop.
constexpr milliseconds kWaitForStream = std::chrono::seconds(5);
constexpr milliseconds kLoadRetry = std::chrono::seconds(5);
// What is kept of app.shutdown_timeout for the index and the snapshot.
constexpr milliseconds kTimeToSave = std::chrono::seconds(2);

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

}  // namespace

// In the order in which they are made; they go in the opposite one.
struct Standalone::Parts {
  Parts(const config::Config& options, const Clock& time, telemetry::Logger& logger, telemetry::Metrics& registry,
        DataDirectory folder)
      : config(options), clock(time), log(logger), metrics(registry), directory(std::move(folder)) {}

  Status OpenFiles();
  Status OpenSeen();
  void AddRoutes();
  void LoadCatalog();
  web::CatalogState CatalogStateNow() const;
  void StartHousekeeping();
  void SaveSeen();
  Result<dedupe::SnapshotBinding> Binding();

  config::Config config;
  const Clock& clock;
  telemetry::Logger& log;
  telemetry::Metrics& metrics;
  DataDirectory directory;
  telemetry::Health health;

  std::unique_ptr<store::SeriesStore> store;
  std::unique_ptr<store::CatalogReader> reader;          // the loader's
  std::unique_ptr<store::CatalogReader> binding_reader;  // the snapshot's
  std::unique_ptr<stream::Journal> journal;
  stream::ActivityQueue activity{kMaxActivity, metrics};

  std::unique_ptr<dedupe::SeenSet> seen;
  std::unique_ptr<dedupe::SeenSet> seen_metadata;
  std::unique_ptr<dedupe::InFlight> in_flight = dedupe::InFlight::Create();
  receive::ReceiveMetrics receive_metrics{metrics};
  Live<receive::ReceiveOptions> receive_options{ReceiveOptionsOf(config)};
  std::optional<receive::WriteHandler> write;
  std::optional<receive::Departures> departures;  // goes before the handler whose requests it answers at its end
  std::optional<receive::CacheHandler> cache;

  std::unique_ptr<catalog::Catalog> catalog = catalog::Catalog::Create(CatalogOptionsOf(config, log));
  CatalogFeed feed{*catalog};
  std::unique_ptr<index::Worker> index;
  std::atomic<bool> catalog_ready = false;
  std::optional<StoppableReader> loader_reader;
  BoundedQueue<bool> stop_loading{1};
  std::thread loader;

  std::optional<web::Api> api;
  std::optional<web::StatusHandlers> status;
  net::Router router;
  std::unique_ptr<net::Server> server;
  Live<milliseconds> cleanup_interval{config.metric_store.cache.cleanup_interval};
  Housekeeping housekeeping;
};

Status Standalone::Parts::OpenFiles() {
  const uint64_t secret_check = model::SecretCheck(config.identity.secret);
  Result<store::SqliteCatalog> file = store::SqliteCatalog::Open(
      {.path = directory.PathOf("catalog.db"), .synchronous = config.sqlite.synchronous, .secret_check = secret_check});
  if (!file) return Fail(file.error());
  Result<std::unique_ptr<store::SeriesStore>> opened_store = file->OpenStore();
  if (!opened_store) return Fail(opened_store.error());
  store = *std::move(opened_store);
  for (auto* slot : {&reader, &binding_reader}) {
    Result<std::unique_ptr<store::CatalogReader>> opened = file->OpenReader();
    if (!opened) return Fail(opened.error());
    *slot = *std::move(opened);
  }
  Result<std::unique_ptr<stream::Journal>> opened_journal =
      stream::Journal::Open({.path = directory.PathOf("journal.db"),
                             .max_bytes = config.journal.max_bytes,
                             .synchronous = config.sqlite.synchronous,
                             .secret_check = secret_check},
                            {clock, log, metrics});
  if (!opened_journal) return Fail(opened_journal.error());
  journal = *std::move(opened_journal);
  index = std::make_unique<index::Worker>(
      index::WorkerOptions{}, index::WorkerDeps{journal->consumer(), *store, feed, &activity, clock, log, metrics});
  return index->Seek();
}

Result<dedupe::SnapshotBinding> Standalone::Parts::Binding() {
  const Result<store::CatalogState> state = binding_reader->State();
  if (!state) return Fail(state.error());
  const stream::Position end = journal->End();
  return dedupe::SnapshotBinding{.catalog_uuid = state->uuid,
                                 .highest_id = state->highest_id,
                                 .journal_uuid = end.stream,
                                 .journal_next_offset = end.next_offset,
                                 .secret_check = model::SecretCheck(config.identity.secret),
                                 .activity_interval_s = SeenOptionsOf(config).activity_interval_s};
}

Status Standalone::Parts::OpenSeen() {
  const std::string path = directory.PathOf("seen.snapshot");
  Result<dedupe::SnapshotBinding> now = Binding();
  if (!now) return Fail(now.error());
  if (journal->start().trimmed_unapplied > 0) {
    // The snapshot may hold series that were indexed after the backup: their senders must be heard again.
    log.Warn(
        "the catalogue is older than the journal by {} batches that are gone; their series come back as they are sent "
        "again",
        journal->start().trimmed_unapplied);
    now->journal_uuid = "none";
  }
  auto opened = OpenSeenTable(path, *now, SeenOptionsOf(config), *reader, clock, log);
  if (!opened) return Fail(opened.error());
  seen = *std::move(opened);
  seen_metadata = dedupe::SeenSet::Create(SeenOptionsOf(config), clock);
  ShowSeenTable(*seen, metrics);
  return {};
}

void Standalone::Parts::AddRoutes() {
  departures.emplace(receive::DeparturesDeps{*seen, *seen_metadata, *in_flight, journal->publisher(), receive_metrics});
  write.emplace(receive::WriteHandlerOptions{.identity_secret = config.identity.secret},
                receive::WriteHandlerDeps{
                    {*seen, *seen_metadata, activity, clock, receive_metrics}, *departures, receive_options});
  cache.emplace(config.identity.secret, *seen);
  api.emplace(web::ApiOptions{.version = std::string(version::kVersion)},
              web::ApiDependencies{.snapshot = [this] { return catalog->Current(); },
                                   .state = [this] { return CatalogStateNow(); },
                                   .metrics = metrics,
                                   .clock = clock});
  status.emplace(health, metrics);
  write->RegisterRoutes(router);
  router.Add("/api/v1/metrics/cache", *cache);
  api->RegisterRoutes(router);
  status->RegisterRoutes(router);
}

web::CatalogState Standalone::Parts::CatalogStateNow() const {
  web::CatalogState state;
  if (!catalog_ready) state.waits_for = "the catalogue is being loaded";
  if (const Status indexing = index->Health(); !indexing) {
    state.warning =
        format("the store is away, answers are from the last state of the catalogue: {}", indexing.error().message());
  }
  return state;
}

// The index follows the catalogue's load: both write the catalogue. Until then the journal holds what arrives.
void Standalone::Parts::LoadCatalog() {
  const auto begun = clock.Steady();
  StoppableReader& series = *loader_reader;
  for (Status loaded = catalog->Load(series); !loaded; loaded = catalog->Load(series)) {
    log.Error("the catalogue cannot be loaded, trying again: {}", loaded.error().message());
    health.SetWaiting("catalog", loaded.error().message());
    if (stop_loading.PopUntil(std::chrono::steady_clock::now() + kLoadRetry)) return;
  }
  if (series.stopped()) return;
  const double seconds = std::chrono::duration<double>(clock.Steady() - begun).count();
  const auto stats = catalog->stats();
  log.Info("{} series in the catalogue, {} of memory, loaded in {:.1f} s", stats.series, FormatBytes(stats.bytes),
           seconds);
  catalog_ready = true;
  metrics.GetGauge("catalog_ready", "Whether the catalogue is loaded and can be asked.").Set(1);
  health.SetReady("catalog");
  index->Start();
}

void Standalone::Parts::StartHousekeeping() {
  housekeeping.Every([this] { return *cleanup_interval.Get(); },
                     [this] {
                       seen->Sweep();
                       seen_metadata->Sweep();
                     });
  // A full or failing journal takes no new series: load balancers should know.
  housekeeping.Every([] { return kHealthInterval; },
                     [this] {
                       const Status takes = journal->publisher().Health();
                       takes ? health.SetReady("journal") : health.SetWaiting("journal", takes.error().message());
                     });
  housekeeping.Every([] { return kSnapshotInterval; }, [this] { SaveSeen(); });
  housekeeping.Start();
}

void Standalone::Parts::SaveSeen() {
  SaveSeenTable(*seen, directory.PathOf("seen.snapshot"), [this] { return Binding(); }, log);
}

Standalone::Standalone(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Standalone::~Standalone() { Stop(); }

Result<std::unique_ptr<Standalone>> Standalone::Start(const config::Config& config, const Clock& clock,
                                                      telemetry::Logger& log, telemetry::Metrics& metrics) {
  Result<DataDirectory> directory = DataDirectory::Open(config.app.data_dir);
  if (!directory) return Fail(directory.error());
  auto parts = std::make_unique<Parts>(config, clock, log, metrics, *std::move(directory));
  parts->health.SetWaiting("catalog", "the catalogue to be loaded");

  // Bound first: a port in use is told before the work begins.
  Result<std::unique_ptr<net::Server>> server = net::Server::Create(ServerOptionsOf(config), parts->router, log);
  if (!server) return Fail(server.error());
  if (const Status files = parts->OpenFiles(); !files) return Fail(files.error());
  if (const Status seen = parts->OpenSeen(); !seen) return Fail(seen.error());
  ShowCatalog(*parts->catalog, metrics);
  parts->AddRoutes();
  parts->loader_reader.emplace(*parts->reader);
  parts->loader = std::thread([raw = parts.get()] { raw->LoadCatalog(); });
  parts->StartHousekeeping();
  parts->server = *std::move(server);
  parts->server->Start();
  log.Info("listening on {} (port {}), data in {}", config.app.ListenAddress(), parts->server->port(),
           config.app.data_dir);
  return std::unique_ptr<Standalone>(new Standalone(std::move(parts)));
}

void Standalone::Reconfigure(const config::Config& config) {
  parts_->receive_options.Set(ReceiveOptionsOf(config));
  parts_->server->SetLimits(ServerLimitsOf(config));
  parts_->seen->Reconfigure(SeenOptionsOf(config));
  parts_->seen_metadata->Reconfigure(SeenOptionsOf(config));
  parts_->cleanup_interval.Set(config.metric_store.cache.cleanup_interval);
}

void Standalone::Stop() {
  if (parts_ == nullptr) return;
  Parts& parts = *parts_;
  const auto begun = parts.clock.Steady();
  parts.health.SetWaiting("service", "its end: it is stopping");
  parts.write->Refuse();
  // Requests that wait for the stream are given their answer in time for the sender to read it, however short the time
  // is.
  const milliseconds timeout = parts.config.app.shutdown_timeout;
  const milliseconds drain = std::max(timeout - kTimeToSave, timeout / 2);
  const milliseconds patience = std::min(kWaitForStream, drain * 2 / 3);
  BoundedQueue<bool> drained(1);
  std::thread expire([&] {
    if (!drained.PopUntil(std::chrono::steady_clock::now() + patience)) parts.departures->ExpireAll();
  });
  parts.server->Drain(drain);
  drained.TryPush(true);
  expire.join();
  parts.housekeeping.Stop();
  parts.journal->Stop();
  parts.loader_reader->Stop();
  parts.stop_loading.TryPush(true);
  if (parts.loader.joinable()) parts.loader.join();
  parts.index->Stop();
  parts.SaveSeen();
  const std::chrono::duration<double> took = parts.clock.Steady() - begun;
  parts.log.Info("everything is saved, after {:.1f} s", took.count());
  parts_.reset();
}

uint16_t Standalone::port() const { return parts_->server->port(); }

}  // namespace mi::app
