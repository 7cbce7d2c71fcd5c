// What every command says to the terminal that started it, and the code that it leaves with.
#pragma once

#include <string_view>

#include "app/command_line.h"
#include "config/loader.h"

namespace mi::app {

inline constexpr int kFailed = 1;            // at start, or at what a command was to do
inline constexpr int kBadConfiguration = 2;  // or command line

// One line to stderr; gives the code.
int Complain(int exit_code, std::string_view text);
// To stdout; gives 0, or kFailed when that is closed or full.
int Print(std::string_view text);

// Where the command's configuration comes from: file, environment, command line.
config::Sources SourcesOf(const Command& command);

}  // namespace mi::app
