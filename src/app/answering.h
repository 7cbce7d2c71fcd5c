// The answering side of a role: the catalogue in memory and the query API over it.
//
// Ownership: owns the catalogue; borrows the rest.
// Threads: as catalog::Catalog; SetReady from any.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>

#include "app/figures.h"
#include "base/clock.h"
#include "catalog/catalog.h"
#include "config/config.h"
#include "net/http.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"
#include "web/api.h"

namespace mi::app {

class Answering {
 public:
  // `follows` says why answers are from the catalogue's last state, if they are: success while it follows the store.
  Answering(const config::Config& config, const Clock& clock, telemetry::Logger& log, telemetry::Metrics& metrics,
            std::function<Status()> follows);

  void RegisterRoutes(net::Router& router) { api_->RegisterRoutes(router); }
  catalog::Catalog& catalog() { return *catalog_; }

  // The catalogue is loaded: until then the API answers 503. Logs what there is, once.
  void SetReady();

  // Answers the queries that wait, and no more: after the listener has been drained, before what `follows` asks goes.
  void Close() { api_.reset(); }

 private:
  web::CatalogState StateNow() const;

  const Clock& clock_;
  telemetry::Logger& log_;
  telemetry::Gauge& ready_gauge_;
  const std::chrono::steady_clock::time_point begun_;
  const std::function<Status()> follows_;
  std::unique_ptr<catalog::Catalog> catalog_;
  const Figures figures_;
  std::atomic<bool> ready_ = false;
  std::optional<web::Api> api_;
};

}  // namespace mi::app
