// Parses the command line.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace mi::app {

struct Command {
  enum class Kind {
    kServe,
    kConfigCheck,
    kConfigShow,
    kConfigDefault,
    kReplay,
    kSchemaPrint,
    kSchemaAdopt,
    kBackup,
    kRestore,
    kCheck,
    kRepair
  };
  Kind kind = Kind::kServe;
  std::string check_file;
  std::string catalog_file;                                    // of backup, restore and check
  std::string replay_from = "beginning";                       // or a time
  std::string schema;                                          // mysql, sqlite
  std::optional<std::string> config_file;                      // --config
  std::vector<std::pair<std::string, std::string>> overrides;  // key ("app.listen") and value
};

// The result if no command is to be run: print `text` and exit with `exit_code` (0 for --help and --version, 2 for a
// wrong command line).
struct Leave {
  int exit_code;
  std::string text;
};

std::variant<Command, Leave> ParseCommandLine(int argc, const char* const* argv);

// "metric-index 0.1.0 (revision abc1234, GCC 12.2.0)".
std::string VersionLine();

}  // namespace mi::app
