#include "app/http_listener.h"

#include <algorithm>
#include <utility>

#include "app/gauges.h"
#include "app/process.h"
#include "base/deadline_timer.h"

namespace mi::app {

using std::chrono::milliseconds;

Result<std::unique_ptr<HttpListener>> HttpListener::Bind(const config::Config& config, const Clock& clock,
                                                         telemetry::Logger& log, telemetry::Metrics& metrics) {
  std::unique_ptr<HttpListener> listener(new HttpListener(metrics));
  if (const std::string& file = config.web.config_file; !file.empty()) {
    listener->web_ = TRY_WITHIN(WebAccess::Create(file, clock, log, metrics), "web.config_file");
  }
  net::ServerOptions options = config.server;
  options.max_connections = ConnectionsThatFit(options.max_connections);
  listener->server_ = TRY(listener->MakeServer(std::move(options), listener->router_, log));
  listener->gauges_ = ShowServer(*listener->server_, metrics);
  TRY(listener->ServeProfiles(config.pprof, log));
  return listener;
}

// The file is watched until here: its watcher uses the servers.
HttpListener::~HttpListener() {
  if (web_ != nullptr) web_->Stop();
}

Result<std::unique_ptr<net::Server>> HttpListener::MakeServer(net::ServerOptions options, const net::Router& router,
                                                              telemetry::Logger& log) {
  net::Gate* const gate = web_ == nullptr ? nullptr : &web_->gate();
  std::unique_ptr<net::Server> server = TRY(net::Server::Create(std::move(options), router, log, gate));
  if (web_ != nullptr) web_->Add(*server);
  return server;
}

Status HttpListener::ServeProfiles(const config::PprofOptions& options, telemetry::Logger& log) {
  if (!options.enabled) return {};
  profiles_.emplace();
  profiles_->RegisterRoutes(options.listen.empty() ? router_ : profiles_router_);
  if (options.listen.empty()) return {};
  profiles_server_ = TRY(MakeServer({.listen = options.listen,
                                     .threads = 1,
                                     .max_connections = 100,
                                     .max_buffered_bytes = 64 << 20,
                                     .option = "pprof.listen"},
                                    profiles_router_, log));
  profiles_server_->Start();
  log.Info("profiles are at {}/debug/pprof/ (port {})", options.listen, profiles_server_->port());
  return {};
}

void HttpListener::Start() {
  server_->Start();
  if (web_ != nullptr) web_->Watch();
}

void HttpListener::Reconfigure(const config::Config& config) {
  server_->SetLimits({ConnectionsThatFit(config.server.max_connections), config.server.idle_timeout});
}

// Two deadlines, so that every sender gets an answer in time:
//
//   begin                      2/3 of the drain, at most 5 s          end of the drain
//     │ no new connections;      │ requests that still wait             │ connections that are
//     │ requests are answered    │ for the stream get 503               │ still open are cut
//
// The rest of shutdown_timeout belongs to the caller. The timer's destructor waits for a callback that runs, so
// `expire_waiting` is never called after Drain() has returned.
void HttpListener::Drain(milliseconds shutdown_timeout, milliseconds time_to_save,
                         const std::function<void()>& expire_waiting) {
  constexpr milliseconds kMaxWaitForStream = std::chrono::seconds(5);
  health_.SetWaiting("service", "its end: it is stopping");
  if (profiles_) profiles_->Stop();
  const milliseconds time_to_drain = std::max(shutdown_timeout - time_to_save, shutdown_timeout / 2);
  DeadlineTimer timer;
  timer.After(std::min(kMaxWaitForStream, time_to_drain * 2 / 3), expire_waiting);
  server_->Drain(time_to_drain);
}

}  // namespace mi::app
