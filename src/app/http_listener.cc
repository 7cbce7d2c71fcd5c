#include "app/http_listener.h"

#include <algorithm>

#include "app/role_options.h"
#include "base/deadline_timer.h"

namespace mi::app {

using std::chrono::milliseconds;

Result<std::unique_ptr<HttpListener>> HttpListener::Bind(const config::Config& config, telemetry::Logger& log,
                                                         telemetry::Metrics& metrics) {
  std::unique_ptr<HttpListener> listener(new HttpListener(metrics));
  listener->server_ = TRY(net::Server::Create(ServerOptionsOf(config), listener->router_, log));
  listener->profiles_ = TRY(Profiles::Serve(config, listener->router_, log));
  return listener;
}

void HttpListener::Reconfigure(const config::Config& config) { server_->SetLimits(ServerLimitsOf(config)); }

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
