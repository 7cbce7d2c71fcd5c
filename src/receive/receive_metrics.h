// Counts requests, and what became of each series.
#pragma once

#include <array>
#include <map>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "codec/series_limits.h"
#include "telemetry/metrics.h"

namespace mi::receive {

using RefusalCounts = std::array<uint32_t, codec::kRefusals>;  // by Refusal

// Threads: safe.
class ReceiveMetrics {
 public:
  explicit ReceiveMetrics(telemetry::Metrics& metrics);

  void CountRequest(std::string_view protocol, std::string_view encoding, int status, double seconds);
  void CountRefused(const RefusalCounts& refused);
  // Series that the stream will never accept.
  void CountRefusedByStream(uint64_t series);

  telemetry::Counter& known;
  telemetry::Counter& fresh;
  telemetry::Counter& refused;
  telemetry::Counter& republished;
  telemetry::Gauge& in_flight;

 private:
  telemetry::Metrics& metrics_;
  telemetry::Counter& refused_by_stream_;
  telemetry::Histogram& seconds_;
  std::array<telemetry::Counter*, codec::kRefusals> reasons_{};  // by Refusal; null for kNone
  Mutex mutex_;
  std::map<std::string, telemetry::Counter*> requests_ GUARDED_BY(mutex_);
};

}  // namespace mi::receive
