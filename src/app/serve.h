// `metric-index serve`: the role from its start to its end: log, metrics, banner, signals, reload.
#pragma once

#include "app/command_line.h"

namespace mi::app {

// The exit code: 0 after a clean stop.
int Serve(const Command& command);

}  // namespace mi::app
