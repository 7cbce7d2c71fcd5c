// Runs a command to its end.
#pragma once

#include "app/command_line.h"

namespace mi::app {

// The exit code: 0 a clean stop, 1 something failed at start, 2 a bad configuration.
int Run(const Command& command);

}  // namespace mi::app
