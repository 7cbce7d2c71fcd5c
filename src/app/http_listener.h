// The HTTP listener of every role, with /, /health, /ready, /metrics and profiles, with TLS and logins if they are
// configured. Memory that its clients made the process allocate goes back to the system.
//
// Ownership: borrows config, log and metrics. Handlers that others register must live until Drain() has returned.
// Threads: Start, Reconfigure and Drain from one thread; Responds from any, after Start.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "app/web_access.h"
#include "base/clock.h"
#include "base/result.h"
#include "config/config.h"
#include "net/server.h"
#include "telemetry/free_memory.h"
#include "telemetry/health.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"
#include "web/pprof_handlers.h"
#include "web/status_handlers.h"

namespace mi::app {

class HttpListener {
 public:
  // Binds the port at once, so that a port in use is reported before any work begins. Answers nothing before Start().
  static Result<std::unique_ptr<HttpListener>> Bind(const config::Config& config, const Clock& clock,
                                                    telemetry::Logger& log, telemetry::Metrics& metrics);
  ~HttpListener();

  net::Router& router() { return router_; }
  telemetry::Health& health() { return health_; }
  uint16_t port() const { return server_->port(); }
  // Whether it spoke TLS when it was bound.
  bool speaks_tls() const { return web_ != nullptr && web_->speaks_tls(); }
  bool Responds(std::chrono::milliseconds patience) const { return server_->Responds(patience); }
  MemoryBudget& memory() { return server_->memory(); }

  void Start();
  void Reconfigure(const config::Config& config);

  // /ready answers 503, no new connections, requests in flight are answered. Takes at most `shutdown_timeout` less
  // `time_to_save`, but at least half of it. `expire_waiting` is called if requests still wait for the stream after two
  // thirds of that time, or after 5 s: it answers them with 503, early enough for their senders to read the answer.
  void Drain(std::chrono::milliseconds shutdown_timeout, std::chrono::milliseconds time_to_save,
             const std::function<void()>& expire_waiting);

 private:
  explicit HttpListener(telemetry::Metrics& metrics) : status_(health_, metrics) { status_.RegisterRoutes(router_); }
  // On this listener, on one of its own (pprof.listen), which answers from now on, or nowhere.
  Status ServeProfiles(const config::PprofOptions& options, telemetry::Logger& log);
  Result<std::unique_ptr<net::Server>> MakeServer(net::ServerOptions options, const net::Router& router,
                                                  telemetry::Logger& log);

  telemetry::FreeMemory free_memory_;
  telemetry::Health health_;
  web::StatusHandlers status_;
  net::Router router_;
  std::unique_ptr<WebAccess> web_;  // null: neither TLS nor logins
  std::optional<web::PprofHandlers> profiles_;
  net::Router profiles_router_;
  std::unique_ptr<net::Server> profiles_server_;
  std::unique_ptr<net::Server> server_;  // destroyed before what its handlers use
  std::shared_ptr<void> gauges_;         // of the server
};

}  // namespace mi::app
