#include "app/profiles.h"

#include <string>
#include <string_view>
#include <utility>

#include "base/format.h"

namespace mi::app {
namespace {

// The listener names the knobs of the main one.
Error WithOwnKnob(const Error& error) {
  std::string message = error.message();
  for (const std::string_view theirs : {"app.listen, app.port", "app.listen"}) {
    const size_t at = message.find(theirs);
    if (at == std::string::npos) continue;
    message.replace(at, theirs.size(), "pprof.listen");
    break;
  }
  return {error.code(), std::move(message)};
}

}  // namespace

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
  if (!server) return Fail(WithOwnKnob(server.error()));
  profiles->server_ = *std::move(server);
  profiles->server_->Start();
  log.Info("profiles are at {}/debug/pprof/ (port {})", config.pprof.listen, profiles->server_->port());
  return profiles;
}

}  // namespace mi::app
