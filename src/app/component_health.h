// Reports the state of one component of a role (Kafka, Redis, MySQL) to /ready, and to the log when it changes.
//
// Threads: confined to one at a time.
#pragma once

#include <chrono>
#include <string>

#include "base/result.h"
#include "telemetry/health.h"
#include "telemetry/log.h"

namespace mi::app {

// What a role can do without the component.
enum class Need {
  kAlways,   // it is not ready
  kAtStart,  // it is not ready before the component answered once; later it works, with losses that /ready names
  kNever,    // it works, with losses that /ready names
};

inline constexpr std::chrono::milliseconds kHealthInterval{1'000};  // how often components are asked

class ComponentHealth {
 public:
  ComponentHealth(std::string name, Need need, telemetry::Health& health, telemetry::Logger& log);

  void Report(const Status& status);

 private:
  const std::string name_;
  const Need need_;
  telemetry::Health& health_;
  telemetry::Logger& log_;
  bool answered_once_ = false;
  bool logged_away_ = false;
};

}  // namespace mi::app
