// Conditions that only a restart repairs.
#pragma once

#include <functional>

#include "base/result.h"

namespace mi {

// Called by a room that finds such a condition: a fatal error of a library, a database or file that was replaced under
// the process. In the service it logs one line and ends the process with exit code 1. In tests it records the error and
// returns, so the caller must stop its own work after the call. Threads: callable from any.
using FatalHandler = std::function<void(const Error&)>;

// Writes one line to stderr and aborts. For C libraries that report that an allocation failed.
[[noreturn]] void OutOfMemory();

// Makes `operator new` call OutOfMemory() instead of throwing std::bad_alloc. So nothing in this project catches it.
void InstallOutOfMemoryHandler();

}  // namespace mi
