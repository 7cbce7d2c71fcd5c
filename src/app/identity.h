// Where the secret of the fingerprints comes from if identity.secret is empty (docs/formats/identity.md).
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "app/component_health.h"
#include "base/backoff.h"
#include "base/periodic.h"
#include "config/config.h"
#include "store/identity_secrets.h"
#include "store/mysql/options.h"
#include "telemetry/health.h"
#include "telemetry/log.h"

namespace mi::app {

// 32 hexadecimal digits from the system's randomness.
std::string NewIdentitySecret();

// With a new secret for a new catalogue.
store::IdentitySecrets IdentitySecretsOf(const config::Config& config);

// Fingerprints without a secret can be computed, and so aimed at, by everybody who may send.
void WarnIfEmpty(const std::string& identity_secret, telemetry::Logger& log);

// Asks the database for the secret of its catalogue, for a producer without identity.secret. A producer needs the
// database for nothing else, and does not wait for it: it is ready after the first look, whatever that finds. Until the
// secret is known it works without one. Then other producers, Redis and activity know nothing of its fingerprints, and
// a crafted series can hide another one from this producer, until it restarts or learns the secret. No acknowledged
// series is lost, since consumers compute fingerprints by themselves. Later it looks whether another catalogue took the
// place of the first.
//
// Threads: one of its own, which calls on_secret. The destructor waits for a look that is under way: some seconds.
class IdentityFollower {
 public:
  using OnSecret = std::function<void(const std::string& secret)>;
  // The health and the log must outlive it.
  IdentityFollower(const store::MysqlOptions& database, telemetry::Health& health, telemetry::Logger& log,
                   OnSecret on_secret);

 private:
  void Look();

  const store::MysqlOptions database_;
  telemetry::Logger& log_;
  const OnSecret on_secret_;
  ComponentHealth health_;
  Backoff backoff_;
  std::chrono::milliseconds pause_{0};  // before the next look
  std::optional<std::string> secret_;   // that was found last
  std::optional<Periodic> check_;       // its thread uses all of the above
};

}  // namespace mi::app
