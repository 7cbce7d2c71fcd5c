// What of one request the stream will never take (a record that is too large for it). The rest of the request stands.
#pragma once

#include <cstdint>
#include <string>

#include "receive/arrivals.h"

namespace mi::receive {

struct StreamRefusals {
  uint64_t series = 0;
  Arrivals::Items items;    // of those series
  uint64_t statements = 0;  // of metadata
  std::string first;        // one line: which, and why; empty when nothing was refused
};

}  // namespace mi::receive
