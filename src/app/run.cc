#include "app/run.h"

#include <cstdio>

#include "app/console.h"
#include "app/database_commands.h"
#include "app/options_check.h"
#include "app/serve.h"
#include "base/format.h"
#include "config/loader.h"

namespace mi::app {
namespace {

int CheckConfig(const std::string& file) {
  const Result<config::Loaded> loaded = config::Check(file);
  if (!loaded) return Complain(kBadConfiguration, loaded.error().message());
  if (const Status checked = CheckOptions(*loaded); !checked) {
    return Complain(kBadConfiguration, checked.error().message());
  }
  for (const std::string& warning : loaded->warnings) std::fputs(format("{}\n", warning).c_str(), stderr);
  return Print(format("{}: ok\n", file));
}

int ShowConfig(const Command& command) {
  const Result<config::Loaded> loaded = config::Load(SourcesOf(command));
  if (!loaded) return Complain(kBadConfiguration, loaded.error().message());
  return Print(config::PrintShow(*loaded));
}

}  // namespace

int Run(const Command& command) {
  switch (command.kind) {
    case Command::Kind::kServe: return Serve(command);
    case Command::Kind::kConfigCheck: return CheckConfig(command.check_file);
    case Command::Kind::kConfigShow: return ShowConfig(command);
    case Command::Kind::kConfigDefault: return Print(config::PrintDefault());
    case Command::Kind::kReplay: return ReplayTopic(command);
    case Command::Kind::kSchemaPrint: return PrintSchema(command);
    case Command::Kind::kSchemaAdopt: return AdoptSchema(command);
  }
  return kBadConfiguration;
}

}  // namespace mi::app
