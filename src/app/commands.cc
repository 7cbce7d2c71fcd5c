#include "app/commands.h"

#include <cstdio>
#include <string>
#include <vector>

#include "app/identity.h"
#include "app/options_check.h"
#include "app/process.h"
#include "app/role_options.h"
#include "base/format.h"
#include "config/print.h"
#include "store/mysql/catalog.h"
#include "store/mysql/schema.h"
#include "store/sqlite/schema.h"

namespace mi::app {
namespace {

int CheckConfig(const std::string& file) {
  const Result<config::Loaded> loaded = config::Check(file);
  if (!loaded) return Complain(kExitBadConfiguration, loaded.error().message());
  if (const Status checked = CheckOptions(*loaded); !checked) {
    return Complain(kExitBadConfiguration, checked.error().message());
  }
  for (const std::string& warning : loaded->warnings) std::fputs(format("{}\n", warning).c_str(), stderr);
  return Print(format("{}: ok\n", file));
}

int PrintSchema(const config::Config& config, std::string_view engine) {
  const store::IdentitySecrets secrets = IdentitySecretsOf(config);
  return Print(engine == "sqlite" ? store::SqliteSchemaText(secrets)
                                  : store::MysqlSchemaText(config.mysql.db_name, config.mysql.user, secrets));
}

int AdoptSchema(const config::Config& config) {
  const Result<std::vector<std::string>> done = store::AdoptLegacyMysqlTables(MysqlOptionsOf(config));
  if (!done) return Complain(kExitFailed, done.error().message());
  if (done->empty()) return Print("there are no tables to adopt\n");
  std::string text;
  for (const std::string& line : *done) text += line + "\n";
  return Print(text + "Start a consumer, or run `metric-index replay`: it creates the tables and fills them.\n");
}

}  // namespace

int RunCommand(const Command& command) {
  using Kind = Command::Kind;
  switch (command.kind) {
    case Kind::kServe: return Serve(command);
    case Kind::kReplay: return ReplayTopic(command);
    case Kind::kConfigCheck: return CheckConfig(command.check_file);
    case Kind::kConfigDefault: return Print(config::PrintDefault());
    case Kind::kConfigShow:
    case Kind::kSchemaPrint:
    case Kind::kSchemaAdopt:
    case Kind::kBackup:
    case Kind::kRestore:
    case Kind::kCheck:
    case Kind::kRepair: break;
  }
  const Result<config::Loaded> loaded = config::Load(SourcesOf(command));
  if (!loaded) return Complain(kExitBadConfiguration, loaded.error().message());
  switch (command.kind) {
    case Kind::kConfigShow: return Print(config::PrintShow(*loaded));
    case Kind::kBackup: return BackupCatalog(loaded->config, command.catalog_file);
    case Kind::kRestore: return RestoreCatalog(loaded->config, command.catalog_file);
    case Kind::kCheck: return CheckCatalog(loaded->config, command.catalog_file);
    case Kind::kRepair: return RepairCatalog(loaded->config);
    default: break;
  }
  return command.kind == Kind::kSchemaAdopt ? AdoptSchema(loaded->config) : PrintSchema(loaded->config, command.schema);
}

int Complain(int exit_code, std::string_view text) {
  std::fputs(format("metric-index: {}\n", text).c_str(), stderr);
  return exit_code;
}

int Print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  return std::fflush(stdout) == 0 ? 0 : kExitFailed;
}

config::Sources SourcesOf(const Command& command) {
  return {.file = command.config_file, .environment = config::ProcessEnvironment(), .command_line = command.overrides};
}

}  // namespace mi::app
