// What belongs to the process as a whole: exit codes, signals, the limit of open files, the fatal exit.
#pragma once

#include <cstdint>
#include <functional>

#include "base/fatal.h"
#include "base/result.h"
#include "telemetry/log.h"

namespace mi::app {

// docs/operations.md has the table. 0 is a clean stop.
inline constexpr int kExitFailed = 1;            // the start or a command failed, or a fatal condition while running
inline constexpr int kExitBadConfiguration = 2;  // a restart does not help

// kInvalid: the configuration names something that the command cannot work with, such as another program's database.
inline int ExitCodeOf(const Error& error) {
  return error.code() == Errc::kInvalid ? kExitBadConfiguration : kExitFailed;
}

// Logs the error as one line, flushes the log, and ends the process with kExitFailed. No destructors run: other threads
// may be anywhere, and what is durable survives any end of the process. Threads: callable from any; the first caller
// wins, the others never return either. `log` must live as long as the process.
FatalHandler ExitOnFatal(telemetry::Logger& log);

// Turns signals into events of one thread: SIGTERM and SIGINT stop, SIGHUP reloads the configuration.
//
// Create it before any thread: threads inherit the blocked signals.
class Signals {
 public:
  Signals();  // blocks the signals; SIGPIPE is ignored for good

  // Whether WaitForStop would return at once. Threads: safe. Requires: a Signals exists.
  static bool StopRequested();

  // Calls `reload` for each SIGHUP; returns at the first SIGTERM or SIGINT.
  void WaitForStop(const std::function<void()>& reload);

  // From now on a second SIGTERM or SIGINT ends the process at once, with kExitFailed.
  static void ExitAtNextSignal();
};

// Raises the soft limit of open files to the hard one and logs it; warns if it is too low for `max_connections`.
void RaiseFileLimit(uint64_t max_connections, telemetry::Logger& log);

// `max_connections`, or fewer if the limit of open files has no room for so many beside the files of the process.
uint64_t ConnectionsThatFit(uint64_t max_connections);

}  // namespace mi::app
