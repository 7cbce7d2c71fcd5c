// The number of files and sockets that the process may hold.
#pragma once

#include <cstdint>

#include "telemetry/log.h"

namespace mi::app {

// Raises the soft limit to the hard one, and logs what it is; warns when it is too low for `max_connections`.
void RaiseFileLimit(uint64_t max_connections, telemetry::Logger& log);

}  // namespace mi::app
