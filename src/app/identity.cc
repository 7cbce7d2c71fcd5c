#include "app/identity.h"

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/format.h"
#include "store/mysql/catalog.h"

namespace mi::app {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kFirstPause = seconds(1);
constexpr milliseconds kLongestPause = seconds(10);
constexpr milliseconds kPauseOnceKnown = seconds(30);
constexpr std::string_view kUnknown =
    "so this producer makes fingerprints without the catalogue's secret: last_seen of its series is not updated, and "
    "whoever can send may hide a series from it. Let it read the database (mysql.*), or configure identity.secret (in "
    "the database: SELECT identity_secret FROM schema_version)";

// A stop waits for a look that is under way.
store::MysqlOptions WithLittlePatience(store::MysqlOptions options) {
  options.connect_timeout = seconds(2);
  options.longest_transaction = seconds(2);
  return options;
}

}  // namespace

std::string NewIdentitySecret() {
  std::array<unsigned char, 16> bytes{};
  if (getentropy(bytes.data(), bytes.size()) != 0) std::abort();  // no kernel that we run on lacks it
  std::string text;
  for (const unsigned char byte : bytes) AppendFormat(text, "{:02x}", byte);
  return text;
}

store::IdentitySecrets IdentitySecretsOf(const config::Config& config) {
  return {.configured = config.identity_secret, .if_new = NewIdentitySecret()};
}

void WarnIfEmpty(const std::string& identity_secret, telemetry::Logger& log) {
  if (!identity_secret.empty()) return;
  log.Warn(
      "identity: the catalogue was made without a secret. Everybody who may send can compute a series that has the "
      "fingerprint of a chosen other one, and so keep that one out of the catalogue. A new catalogue gets a secret by "
      "itself (docs/operations.md, \"A catalogue without a secret\")");
}

IdentityFollower::IdentityFollower(const store::MysqlOptions& database, telemetry::Health& health,
                                   telemetry::Logger& log, OnSecret on_secret)
    : database_(WithLittlePatience(database)),
      log_(log),
      on_secret_(std::move(on_secret)),
      health_("identity", Need::kNever, health, log),
      backoff_(kFirstPause, kLongestPause) {
  health.SetWaiting("identity", "a look into the database, which has the secret of fingerprints");
  check_.emplace([this] { return pause_; }, [this] { Look(); });
}

void IdentityFollower::Look() {
  const Result<std::string> found = store::ReadMysqlIdentitySecret(database_);
  pause_ = secret_ || found ? kPauseOnceKnown : backoff_.Next();
  if (!found) {
    if (!secret_) health_.Report(Fail(found.error().code(), format("{}; {}", found.error().message(), kUnknown)));
    return;
  }
  health_.Report({});
  if (secret_ == *found) return;
  secret_ = *found;
  WarnIfEmpty(*secret_, log_);
  on_secret_(*secret_);
}

}  // namespace mi::app
