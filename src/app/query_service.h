// The query side of a role: the catalogue in memory and the query API over it.
//
// Ownership: owns the catalogue; borrows the rest. Threads: as catalog::Catalog; SetReady from any.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/memory_budget.h"
#include "catalog/catalog.h"
#include "config/config.h"
#include "net/http.h"
#include "telemetry/health.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"
#include "web/api.h"

namespace mi::app {

class QueryService {
 public:
  // `store_health`: success while the catalogue follows the store, else why its answers may be out of date.
  QueryService(const config::Config& config, const Clock& clock, telemetry::Logger& log, telemetry::Metrics& metrics,
               std::function<Status()> store_health);

  // Answers queries at the router's paths. `memory`: of the listener, which must outlive Stop().
  void Serve(net::Router& router, MemoryBudget& memory);
  catalog::Catalog& catalog() { return catalog_; }

  // Call it once, when the catalogue is loaded. Until then the API answers 503. Logs the size of the catalogue, and the
  // number of damaged rows.
  void SetReady();

  // Says that the catalogue is loaded, and whether rows of the store are damaged.
  void ReportTo(telemetry::Health& health) const;

  // From now on every query is answered 503, also those that wait or run. Call it before the listener is drained.
  void Refuse() {
    if (api_) api_->Stop();
  }
  // Call it after the listener was drained and before what `store_health` uses is destroyed.
  void Stop() { api_.reset(); }

 private:
  web::CatalogState StateNow() const;
  std::string DescribeDamage(uint64_t rows) const;

  const Clock& clock_;
  telemetry::Logger& log_;
  telemetry::Metrics& metrics_;
  const std::string cors_origin_;
  const std::string_view advice_on_damage_;  // static
  telemetry::Gauge& ready_gauge_;
  const std::chrono::steady_clock::time_point created_;
  const std::function<Status()> store_health_;
  catalog::Catalog catalog_;
  const std::shared_ptr<void> gauges_;
  std::atomic<bool> ready_ = false;
  std::optional<web::Api> api_;
};

}  // namespace mi::app
