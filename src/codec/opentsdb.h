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

struct OpenTsdbPoint {
  std::string json;  // as it came, without white space
  std::string
      canonical;      // labels (model/labels.h): the metric is __name__, the tags are the others; empty with a fault
  std::string fault;  // why the point is refused, one line; empty when it is good
};

// One point, an array of points, or {"timeseries": [points]}. A fault of one leaves the others alone. kInvalid: the
// body is not JSON, or nothing of these.
Result<std::vector<OpenTsdbPoint>> ReadOpenTsdb(std::string_view body, const SeriesLimits& limits);

}  // namespace mi::codec
