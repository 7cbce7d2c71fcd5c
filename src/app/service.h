// A role that runs. Standalone and Fleet are the two shapes of it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/fatal.h"
#include "base/result.h"
#include "config/config.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::app {

// Threads: all members are called from one thread, except Responds() and Readiness(), which are safe.
class Service {
 public:
  // All of it outlives the service.
  struct Deps {
    const Clock& clock;
    telemetry::Logger& log;
    telemetry::Metrics& metrics;
    FatalHandler fatal;
  };
  virtual ~Service() = default;  // stops

  // Takes the options that can change without a restart. After an error some parts may have taken them: the caller then
  // passes the previous configuration.
  virtual Status Reconfigure(const config::Config& config) = 0;
  // Drains, then stops: requests in flight are answered, what was begun is finished and saved. Within
  // app.shutdown_timeout. Idempotent.
  virtual void Stop() = 0;
  virtual uint16_t port() const = 0;
  virtual bool speaks_tls() const = 0;
  // Whether every thread that serves requests handles an event within `patience`.
  virtual bool Responds(std::chrono::milliseconds patience) const = 0;
  // What /ready says.
  virtual std::string Readiness() const = 0;
};

// The whole flow in one process: embedded journal, SQLite, catalogue, queries. Needs nothing but a folder.
// Errors: one line that says what to do.
Result<std::unique_ptr<Service>> StartStandalone(const config::Config& config, const Service::Deps& deps);

// The roles producer, consumer, query, and all three in one process (all), over Kafka, Redis and MySQL. They keep
// nothing on this machine. They start also while Kafka, Redis or the database are away: /ready says what is missing.
// Errors: one line that says what to do.
Result<std::unique_ptr<Service>> StartFleet(const config::Config& config, const Service::Deps& deps);

}  // namespace mi::app
