#include "app/front.h"

#include <algorithm>
#include <thread>

#include "app/role_options.h"
#include "base/bounded_queue.h"

namespace mi::app {
namespace {

using std::chrono::milliseconds;

// How long requests that wait for the stream may hold up a stop.
constexpr milliseconds kWaitForStream = std::chrono::seconds(5);

}  // namespace

Result<std::unique_ptr<Front>> Front::Bind(const config::Config& config, telemetry::Logger& log,
                                           telemetry::Metrics& metrics) {
  std::unique_ptr<Front> front(new Front(metrics));
  Result<std::unique_ptr<net::Server>> server = net::Server::Create(ServerOptionsOf(config), front->router_, log);
  if (!server) return Fail(server.error());
  front->server_ = *std::move(server);
  Result<std::unique_ptr<Profiles>> profiles = Profiles::Serve(config, front->router_, log);
  if (!profiles) return Fail(profiles.error());
  front->profiles_ = *std::move(profiles);
  return front;
}

void Front::Reconfigure(const config::Config& config) { server_->SetLimits(ServerLimitsOf(config)); }

void Front::Drain(milliseconds shutdown_timeout, milliseconds time_to_save, const std::function<void()>& hurry) {
  health_.SetWaiting("service", "its end: it is stopping");
  if (profiles_) profiles_->Stop();
  const milliseconds drain = std::max(shutdown_timeout - time_to_save, shutdown_timeout / 2);
  const milliseconds patience = std::min(kWaitForStream, drain * 2 / 3);
  BoundedQueue<bool> drained(1);
  std::thread impatient([&] {
    if (!drained.PopUntil(std::chrono::steady_clock::now() + patience)) hurry();
  });
  server_->Drain(drain);
  drained.TryPush(true);
  impatient.join();
}

}  // namespace mi::app
