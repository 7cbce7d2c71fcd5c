// A role that runs. Standalone and Fleet are the two shapes of it.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "base/result.h"
#include "config/config.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::app {

// Threads: from one thread.
class Service {
 public:
  // What a role is made with; all of it outlives the service.
  struct Deps {
    const Clock& clock;
    telemetry::Logger& log;
    telemetry::Metrics& metrics;
  };
  virtual ~Service() = default;  // stops

  // Takes over what can change without a restart. After an error, parts may have it: give them what was before.
  virtual Status Reconfigure(const config::Config& config) = 0;
  // Answers what got in, finishes what was begun, saves; within app.shutdown_timeout.
  virtual void Stop() = 0;
  virtual uint16_t port() const = 0;
};

}  // namespace mi::app
