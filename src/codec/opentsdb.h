// OpenTSDB points in JSON (docs/formats/opentsdb.md): checks each point and converts its labels to canonical form.
//
// Threads: safe. No I/O, no log.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "codec/series_limits.h"

namespace mi::codec {

// The most points of one body: a point of two bytes takes a hundred times as much memory.
inline constexpr size_t kMaxPointsPerBody = 100'000;

struct OpenTsdbPoint {
  std::string json;       // unchanged, but without white space
  std::string canonical;  // the labels (model/labels.h): the metric as __name__, and the tags; empty if refused
  Refusal refusal = Refusal::kNone;
  std::string fault;  // why it is refused, one line; empty if the point is valid
};

// Reads one point, an array of points, or {"timeseries": [points]}. An invalid point does not affect the others.
// kInvalid: the body is not JSON, or none of these. kTooLarge: more than kMaxPointsPerBody.
Result<std::vector<OpenTsdbPoint>> ReadOpenTsdb(std::string_view body, const SeriesLimits& limits);

}  // namespace mi::codec
