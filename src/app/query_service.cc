#include "app/query_service.h"

#include <chrono>
#include <string>
#include <utility>

#include "app/gauges.h"
#include "app/version.h"
#include "base/format.h"

namespace mi::app {
namespace {

// What to do about them.
std::string_view AdviceOn(config::Role role) {
  return role == config::Role::kStandalone ? "until they are sent again; `metric-index check` shows them"
                                           : "until the database is repaired with its own tools";
}

}  // namespace

QueryService::QueryService(const config::Config& config, const Clock& clock, telemetry::Logger& log,
                           telemetry::Metrics& metrics, std::function<Status()> store_health)
    : clock_(clock),
      log_(log),
      metrics_(metrics),
      cors_origin_(config.web.cors_origin),
      advice_on_damage_(AdviceOn(config.app.role_type)),
      ready_gauge_(metrics.GetGauge("catalog_ready", "Whether the catalogue is loaded and can be asked.")),
      created_(clock.Steady()),
      store_health_(std::move(store_health)),
      catalog_({.activity_interval_s = config.seen.activity_interval_s, .logger = &log}),
      gauges_(ShowCatalog(catalog_, metrics)) {}

void QueryService::Serve(net::Router& router, MemoryBudget& memory) {
  // An invalid expression was refused by CheckOptions().
  web::ApiOptions options{.version = std::string(version::kVersion),
                          .cors = web::Cors::Create(cors_origin_).value_or(web::Cors())};
  api_.emplace(std::move(options), web::ApiDependencies{.snapshot = [this] { return catalog_.Current(); },
                                                        .state = [this] { return StateNow(); },
                                                        .memory = memory,
                                                        .metrics = metrics_,
                                                        .clock = clock_});
  api_->RegisterRoutes(router);
}

void QueryService::SetReady() {
  const double seconds = std::chrono::duration<double>(clock_.Steady() - created_).count();
  const auto stats = catalog_.stats();
  log_.Info("{} series in the catalogue, {} of memory, loaded in {:.1f} s", stats.series, FormatBytes(stats.bytes),
            seconds);
  if (stats.damaged > 0) log_.Error("{}", DescribeDamage(stats.damaged));
  ready_ = true;
  ready_gauge_.Set(1);
}

void QueryService::ReportTo(telemetry::Health& health) const {
  const uint64_t damaged = catalog_.stats().damaged;
  damaged == 0 ? health.SetReady("catalog") : health.SetImpaired("catalog", DescribeDamage(damaged));
}

std::string QueryService::DescribeDamage(uint64_t rows) const {
  return format("{} rows of the store are damaged: their series are missing {}", rows, advice_on_damage_);
}

web::CatalogState QueryService::StateNow() const {
  web::CatalogState state;
  if (!ready_) state.waits_for = "the catalogue is being loaded";
  if (const Status health = store_health_(); !health) {
    state.warning =
        format("the store is away, answers are from the last state of the catalogue: {}", health.error().message());
  }
  return state;
}

}  // namespace mi::app
