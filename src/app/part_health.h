// How one part of a role is: told to /ready, and to the log when it goes and when it comes back.
//
// Threads: confined to one at a time.
#pragma once

#include <string>

#include "base/result.h"
#include "telemetry/health.h"
#include "telemetry/log.h"

namespace mi::app {

// What a role is without the part.
enum class Need {
  kAlways,   // not ready
  kAtStart,  // not ready before it was there once; after that it does its work, worse
  kNever,    // it does its work, worse
};

class PartHealth {
 public:
  PartHealth(std::string part, Need need, telemetry::Health& health, telemetry::Logger& log);

  void Report(const Status& status);

 private:
  const std::string part_;
  const Need need_;
  telemetry::Health& health_;
  telemetry::Logger& log_;
  bool was_there_ = false;
  bool said_away_ = false;
};

}  // namespace mi::app
