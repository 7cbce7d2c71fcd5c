// OpenTSDB's points as JSON (docs/formats/opentsdb.md): each is checked, and its labels brought into canonical form.
//
// Threads: safe. No I/O, no log.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "codec/series_limits.h"

namespace mi::codec {

// What one body may hold: each point takes a hundred times the two bytes that it may be written in.
inline constexpr size_t kMaxPointsPerBody = 100'000;

struct OpenTsdbPoint {
  std::string json;       // as it came, without white space
  std::string canonical;  // labels (model/labels.h): metric as __name__, and the tags; empty when refused
  Refusal refusal = Refusal::kNone;
  std::string fault;  // why it is refused, one line; empty when it is good
};

// One point, an array of points, or {"timeseries": [points]}. A fault of one leaves the others alone. kInvalid: the
// body is not JSON, or nothing of these. kTooLarge: more than kMaxPointsPerBody.
Result<std::vector<OpenTsdbPoint>> ReadOpenTsdb(std::string_view body, const SeriesLimits& limits);

}  // namespace mi::codec
