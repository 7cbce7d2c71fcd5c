#include "app/profiles.h"

#include "base/format.h"

namespace mi::app {

Result<std::unique_ptr<Profiles>> Profiles::Serve(const config::Config& config, net::Router& main,
                                                  telemetry::Logger& log) {
  if (!config.pprof.enabled) return nullptr;
  std::unique_ptr<Profiles> profiles(new Profiles);
  if (config.pprof.listen.empty()) {
    profiles->handlers_.RegisterRoutes(main);
    return profiles;
  }
  profiles->handlers_.RegisterRoutes(profiles->own_);
  Result<std::unique_ptr<net::Server>> server =
      net::Server::Create({.listen = config.pprof.listen, .max_connections = 100}, profiles->own_, log);
  if (!server) return Fail(server.error().Within("pprof.listen"));
  profiles->server_ = *std::move(server);
  profiles->server_->Start();
  log.Info("profiles are at {}/debug/pprof/ (port {})", config.pprof.listen, profiles->server_->port());
  return profiles;
}

}  // namespace mi::app
