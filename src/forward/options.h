// A TSDB that gets what came to us (docs/configuration.md: remote).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::forward {

enum class WhenFull : uint8_t {
  kDropOldest,  // the TSDB loses what waited longest; nobody waits
  kBlock,       // the sender waits for its answer, up to receive.answer_timeout, and repeats
};

// Compared as a value: a reload leaves alone what is the same.
struct TargetOptions {
  std::string url;           // http:// or https://
  std::string content_type;  // for requests that have none
  uint64_t queue_bytes = 64 << 20;
  WhenFull when_full = WhenFull::kDropOldest;
  std::chrono::milliseconds connect_timeout = std::chrono::seconds(5);
  std::chrono::milliseconds timeout = std::chrono::seconds(30);

  bool operator==(const TargetOptions&) const = default;
};

struct ForwardDeps {
  telemetry::Logger& log;
  telemetry::Metrics& metrics;
};

}  // namespace mi::forward
