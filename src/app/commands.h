// Runs a command to its end: what `metric-index` was asked for on the command line.
#pragma once

#include <string>
#include <string_view>

#include "app/command_line.h"
#include "config/loader.h"

namespace mi::app {

// Returns the exit code (app/process.h).
int RunCommand(const Command& command);

// `metric-index serve`: a role from its start to its end, with log, metrics, banner, signals and reload.
int Serve(const Command& command);
// `metric-index replay`: fills the database from the topic.
int ReplayTopic(const Command& command);

// kInvalid in a fleet, whose catalogue is in MySQL and has tools of its own.
Status RequireStandalone(const config::Config& config, std::string_view command);
// `metric-index backup`, `restore`, `check` and `repair`: the catalogue of standalone as a file.
int BackupCatalog(const config::Config& config, const std::string& to);
int RestoreCatalog(const config::Config& config, const std::string& from);
int CheckCatalog(const config::Config& config, const std::string& file);
int RepairCatalog(const config::Config& config);

// Prints one line to stderr; returns `exit_code`.
int Complain(int exit_code, std::string_view text);
// Prints to stdout; returns 0, or kExitFailed if stdout is closed or full.
int Print(std::string_view text);

// Where the command's configuration comes from: file, environment, command line.
config::Sources SourcesOf(const Command& command);

}  // namespace mi::app
