// What became of the series of one request, as far as the request itself tells.
#pragma once

#include <cstdint>
#include <string>

namespace mi::receive {

struct Tally {
  uint64_t series = 0;  // all that the request holds
  uint64_t known = 0;   // durable before, or nothing to catalogue (only stale markers, only metadata)
  uint64_t fresh = 0;   // not durable yet: published, or awaited
  uint64_t refused = 0;
  uint64_t refused_items = 0;  // exemplars and metadata of series that stand
  std::string first_refusal;   // one line; empty when nothing was refused

  // Items of the series that stand; the written-counts of remote write 2.0.
  uint64_t samples = 0;
  uint64_t histograms = 0;
  uint64_t exemplars = 0;
};

}  // namespace mi::receive
