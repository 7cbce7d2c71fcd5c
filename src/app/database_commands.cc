#include "app/database_commands.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/console.h"
#include "app/replay.h"
#include "app/role_options.h"
#include "base/format.h"
#include "config/loader.h"
#include "store/mysql_catalog.h"
#include "store/schema_text.h"
#include "telemetry/log.h"
#include "web/parameters.h"

namespace mi::app {
namespace {

// What goes wrong in a command is said on the terminal, wherever the service would log it.
std::unique_ptr<telemetry::Logger> ConsoleLog() { return *telemetry::Logger::Create({.level = "warn"}); }

}  // namespace

int ReplayTopic(const Command& command) {
  std::optional<int64_t> from_ms;
  if (command.replay_from != "beginning") {
    from_ms = web::ParseTime(command.replay_from);
    if (!from_ms) {
      return Complain(
          kBadConfiguration,
          format("--from {}: \"beginning\", or a time: RFC 3339 (2026-01-31T12:00:00Z) or seconds since the "
                 "epoch",
                 command.replay_from));
    }
  }
  const Result<config::Loaded> loaded = config::Load(SourcesOf(command));
  if (!loaded) return Complain(kBadConfiguration, loaded.error().message());
  if (loaded->config.metric_store.consumer.hosts.empty()) {
    return Complain(kBadConfiguration, "replay reads from Kafka: metric_store.consumer.hosts is empty");
  }
  const auto log = ConsoleLog();
  const Status replayed = Replay(loaded->config, from_ms, *log);
  return replayed ? 0 : Complain(kFailed, replayed.error().message());
}

int PrintSchema(const Command& command) {
  const Result<config::Loaded> loaded = config::Load(SourcesOf(command));
  if (!loaded) return Complain(kBadConfiguration, loaded.error().message());
  const config::Config& config = loaded->config;
  const uint64_t secret_check = model::SecretCheck(config.identity.secret);
  return Print(command.schema == "sqlite"
                   ? store::SqliteSchemaText(secret_check)
                   : store::MysqlSchemaText(config.mysql.db_name, config.mysql.user, secret_check));
}

int AdoptSchema(const Command& command) {
  const Result<config::Loaded> loaded = config::Load(SourcesOf(command));
  if (!loaded) return Complain(kBadConfiguration, loaded.error().message());
  const Result<std::vector<std::string>> done = store::AdoptLegacyMysqlTables(MysqlOptionsOf(loaded->config));
  if (!done) return Complain(kFailed, done.error().message());
  if (done->empty()) return Print("there are no tables to adopt\n");
  std::string text;
  for (const std::string& line : *done) text += line + "\n";
  text += "Start a consumer, or run `metric-index replay`: ours are made and filled.\n";
  return Print(text);
}

}  // namespace mi::app
