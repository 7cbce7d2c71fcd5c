// Signals as events of one thread: SIGTERM and SIGINT stop, a second one ends at once, SIGHUP reloads the
// configuration.
//
// Create it first: every thread started afterwards inherits the blocked signals.
#pragma once

#include <functional>

namespace mi::app {

class Signals {
 public:
  Signals();  // blocks the signals; SIGPIPE is ignored for good

  // Whether WaitForStop would return at once. Threads: safe, once there are Signals.
  static bool StopIsAskedFor();

  // Calls `reload` for each SIGHUP; returns at the first SIGTERM or SIGINT.
  void WaitForStop(const std::function<void()>& reload);

  // From here on a second SIGTERM or SIGINT ends the process at once, with status 1.
  static void EndAtNextSignal();
};

}  // namespace mi::app
