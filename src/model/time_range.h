// The time range of a query; both ends are inclusive.
#pragma once

#include <cstdint>
#include <limits>

namespace mi::model {

struct TimeRange {
  int64_t start_ms = std::numeric_limits<int64_t>::min();
  int64_t end_ms = std::numeric_limits<int64_t>::max();
  friend bool operator==(const TimeRange&, const TimeRange&) = default;
};

}  // namespace mi::model
