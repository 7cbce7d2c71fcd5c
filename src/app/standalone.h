// The whole flow in one process: embedded journal, SQLite, catalogue, queries. Needs nothing but a folder.
//
// Ownership: owns every part; log, metrics and clock outlive it.
// Threads: Start, Reconfigure and Stop from one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "config/config.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::app {

class Standalone {
 public:
  // Comes up in the order of ARCHITECTURE.md, "Start and stop". When it returns, requests are taken; the catalogue may
  // still load, which /ready says. Errors: one line that says what to do.
  static Result<std::unique_ptr<Standalone>> Start(const config::Config& config, const Clock& clock,
                                                   telemetry::Logger& log, telemetry::Metrics& metrics);
  ~Standalone();  // stops

  // Takes over what can change without a restart.
  void Reconfigure(const config::Config& config);

  // Answers what got in, indexes, saves; within app.shutdown_timeout.
  void Stop();

  uint16_t port() const;

 private:
  struct Parts;
  explicit Standalone(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace mi::app
