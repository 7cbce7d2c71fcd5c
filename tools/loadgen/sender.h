// Sends traffic over several connections for a bounded time, and retries like real senders.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "loadgen/traffic.h"
#include "net/client.h"

namespace mi::loadgen {

struct SendOptions {
  net::Url url;
  std::string tenant;  // X-Scope-OrgID; '' = none
  unsigned connections = 1;
  double rate = 0;   // series per second over all connections; 0 = as fast as possible
  double churn = 0;  // new series per second
  std::chrono::milliseconds duration{10'000};
  uint64_t requests = 0;                    // also ends after this many; 0 = only the duration ends it
  const std::atomic<bool>* stop = nullptr;  // also ends when it becomes true
};

// Series [first, first + count), acknowledged with a 2xx.
using Range = std::pair<uint64_t, uint64_t>;

struct SendResult {
  uint64_t requests = 0;  // attempts that were answered
  uint64_t series = 0;    // in acknowledged requests, counted each time
  uint64_t retries = 0;
  uint64_t connection_failures = 0;
  uint64_t refused = 0;     // requests with an answer that is not retried
  uint64_t unfinished = 0;  // requests that were being retried at the end
  double seconds = 0;
  std::map<int, uint64_t> status;
  std::vector<float> latencies_ms;  // of acknowledged requests, sorted
  std::vector<Range> acknowledged;  // each series once, ascending
};

// Ends at the latest `duration` plus one request time-out after its begin.
SendResult Send(const Traffic& traffic, const SendOptions& options);

}  // namespace mi::loadgen
