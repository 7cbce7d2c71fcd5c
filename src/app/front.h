// What every role has: the listener with /, /health, /ready, /metrics and profiles, and what /ready says.
//
// Ownership: borrows config, log and metrics. Handlers that others add outlive it, or are not asked after Drain().
// Threads: Start, Reconfigure and Drain from one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "app/profiles.h"
#include "base/result.h"
#include "config/config.h"
#include "net/server.h"
#include "telemetry/health.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"
#include "web/status_handlers.h"

namespace mi::app {

class Front {
 public:
  // Binds at once: a port in use is told before any work begins. Answers nothing before Start().
  static Result<std::unique_ptr<Front>> Bind(const config::Config& config, telemetry::Logger& log,
                                             telemetry::Metrics& metrics);

  net::Router& router() { return router_; }
  telemetry::Health& health() { return health_; }
  uint16_t port() const { return server_->port(); }

  void Start() { server_->Start(); }
  void Reconfigure(const config::Config& config);

  // No new connections; what is in flight is answered. `hurry` is called when requests have waited long enough: it
  // answers them, in time for their senders to read it. Bounded so that `time_to_save` of app.shutdown_timeout is left,
  // or half of it.
  void Drain(std::chrono::milliseconds shutdown_timeout, std::chrono::milliseconds time_to_save,
             const std::function<void()>& hurry);

 private:
  explicit Front(telemetry::Metrics& metrics) : status_(health_, metrics) { status_.RegisterRoutes(router_); }

  telemetry::Health health_;
  web::StatusHandlers status_;
  net::Router router_;
  std::unique_ptr<Profiles> profiles_;   // null: pprof.enabled is false
  std::unique_ptr<net::Server> server_;  // goes first
};

}  // namespace mi::app
