#include "app/command_line.h"

#include <CLI/CLI.hpp>
#include <sstream>

#include "app/version.h"
#include "base/format.h"
#include "config/rows.h"

namespace mi::app {
namespace {

constexpr const char* kDescription =
    "The catalogue of every time series a fleet sends.\n"
    "Without arguments it serves on port 7001, with embedded defaults and its data under ./data.";

constexpr const char* kFooter =
    "Every option of the configuration can also come from the environment (METRIC_INDEX_LOG_LEVEL=debug; ..._FILE "
    "reads\n"
    "a secret from a file). Precedence: command line, environment, file, default.\n"
    "Exit codes:\n"
    "  0  a clean stop\n"
    "  1  the start or the command failed, a fatal condition while running, or a second signal: restart it;\n"
    "     check: there is damage\n"
    "  2  a bad configuration or command line: a restart does not help\n"
    "Ended by a signal: SIGABRT, out of memory; SIGALRM, a stop took longer than app.shutdown_timeout: restart it.";

// What CLI11 fills in; it keeps references to the strings while it parses.
struct Parsed {
  std::vector<const config::Row*> flags;  // options with a flag of their own
  std::vector<std::string> values;        // of the flags
  std::string config_file;
  std::string check_file;
  std::string catalog_file;
  std::string replay_from = "beginning";
};

Command ToCommand(const CLI::App& cli, const Parsed& parsed) {
  Command command;
  if (const CLI::App* config = cli.get_subcommand("config"); config->parsed()) {
    if (config->get_subcommand("check")->parsed()) command.kind = Command::Kind::kConfigCheck;
    if (config->get_subcommand("show")->parsed()) command.kind = Command::Kind::kConfigShow;
    if (config->get_subcommand("default")->parsed()) command.kind = Command::Kind::kConfigDefault;
  }
  if (cli.get_subcommand("replay")->parsed()) command.kind = Command::Kind::kReplay;
  if (const CLI::App* schema = cli.get_subcommand("schema"); schema->parsed()) {
    command.schema = schema->get_subcommands().front()->get_name();
    command.kind = command.schema == "adopt" ? Command::Kind::kSchemaAdopt : Command::Kind::kSchemaPrint;
  }
  constexpr std::pair<const char*, Command::Kind> kCatalogCommands[] = {{"backup", Command::Kind::kBackup},
                                                                        {"restore", Command::Kind::kRestore},
                                                                        {"check", Command::Kind::kCheck},
                                                                        {"repair", Command::Kind::kRepair}};
  for (const auto& [name, kind] : kCatalogCommands) {
    if (cli.get_subcommand(name)->parsed()) command.kind = kind;
  }
  command.check_file = parsed.check_file;
  command.catalog_file = parsed.catalog_file;
  command.replay_from = parsed.replay_from;
  if (cli.count("--config") > 0) command.config_file = parsed.config_file;
  for (size_t i = 0; i < parsed.flags.size(); ++i) {
    const config::Row& row = *parsed.flags[i];
    if (cli.count(std::string(row.flag)) > 0) command.overrides.emplace_back(row.path, parsed.values[i]);
  }
  return command;
}

// The commands on the catalogue file of standalone.
void AddCatalogCommands(CLI::App& cli, Parsed& parsed) {
  const auto add = [&](const char* name, const char* what) { return cli.add_subcommand(name, what)->fallthrough(); };
  add("backup", "Write a verified copy of the catalogue (standalone), also while the service runs")
      ->add_option("FILE", parsed.catalog_file, "The copy; a file with that name is replaced")
      ->required();
  add("restore", "Put a backup in the place of the catalogue (standalone), while the service is stopped")
      ->add_option("FILE", parsed.catalog_file, "The backup")
      ->required();
  add("check", "Look for damage in the catalogue (standalone) or in a backup; the exit code is 1 if there is any")
      ->add_option("FILE", parsed.catalog_file, "A backup; otherwise the catalogue of the data directory");
  add("repair", "Keep what is intact of a damaged catalogue (standalone), while the service is stopped");
}

}  // namespace

std::string VersionLine() {
  return format("metric-index {} (revision {}, {})\n", version::kVersion, version::kRevision, version::kCompiler);
}

std::variant<Command, Leave> ParseCommandLine(int argc, const char* const* argv) {
  CLI::App cli(kDescription, "metric-index");
  cli.footer(kFooter);
  cli.set_version_flag("--version", VersionLine());
  Parsed parsed;
  for (const config::Row& row : config::Rows()) {
    if (!row.flag.empty()) parsed.flags.push_back(&row);
  }
  parsed.values.resize(parsed.flags.size());
  cli.add_option("--config", parsed.config_file, "The configuration file (YAML)")->type_name("FILE");
  for (size_t i = 0; i < parsed.flags.size(); ++i) {
    const config::Row& row = *parsed.flags[i];
    cli.add_option(std::string(row.flag), parsed.values[i], format("{} ({})", row.prose, row.path));
  }
  cli.add_subcommand("serve", "Run the service (what happens without a command)")->fallthrough();
  CLI::App* config = cli.add_subcommand("config", "Look at the configuration")->require_subcommand(1)->fallthrough();
  config->add_subcommand("check", "Check a file, and say what is wrong with it")
      ->add_option("FILE", parsed.check_file, "The file")
      ->required();
  config->add_subcommand("show", "Print the values in effect and where they come from; secrets as ***")->fallthrough();
  config->add_subcommand("default", "Print every option with its default, commented");
  AddCatalogCommands(cli, parsed);
  cli.add_subcommand("replay", "Fill the database from the topic; run it while no consumer does")
      ->fallthrough()
      ->add_option("--from", parsed.replay_from,
                   "Where to begin: \"beginning\", or a time (RFC 3339, or seconds since the epoch)")
      ->type_name("TIME")
      ->capture_default_str();
  CLI::App* schema = cli.add_subcommand("schema", "The tables, for people who make them by hand")
                         ->require_subcommand(1)
                         ->fallthrough();
  schema->add_subcommand("mysql", "Print the SQL that makes them in MySQL or MariaDB")->fallthrough();
  schema->add_subcommand("sqlite", "Print the SQL that makes them in SQLite")->fallthrough();
  schema
      ->add_subcommand(
          "adopt", "Rename the tables of the service before this one to legacy_*: ours are made when a consumer starts")
      ->fallthrough();
  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream text;
    const int code = cli.exit(error, text, text);
    return Leave{.exit_code = code == 0 ? 0 : 2, .text = text.str()};
  }
  return ToCommand(cli, parsed);
}

}  // namespace mi::app
