// The oracle for remote write: every field is decoded by protozero, every label is copied and sorted. Slow, and simple
// enough to be obviously correct. Tests and fuzzing compare the fast path with it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "codec/canonicaliser.h"
#include "codec/remote_write.h"

namespace mi::codec {

struct PlainSeries {
  bool refused = false;
  std::string canonical;  // empty when refused
  bool has_items = false;
  bool stale_only = false;
  uint32_t samples = 0;
  uint32_t histograms = 0;
  uint32_t exemplars = 0;
  friend bool operator==(const PlainSeries&, const PlainSeries&) = default;
};

struct PlainRequest {
  std::vector<PlainSeries> series;
  std::vector<model::MetricMetadata> metadata;  // in order, with repetitions, without what Decode would refuse
  uint64_t refused_items = 0;                   // as RequestScan::refused_items
  uint64_t label_bytes = 0;                     // 2.0: of all labels, with the references resolved
};

Result<PlainRequest> DecodePlain(Schema schema, std::string_view decoded, const SeriesLimits& limits);

// The objects that the receiver reuses for each request.
struct FastPath {
  RequestScan scan;
  Canonicaliser canonicalise;
};

// The same with the fast path and, for every series, the Canonicaliser. kInternal: two series with one key have other
// labels, or two with the same labels other keys.
Result<PlainRequest> DecodeFast(Schema schema, std::string_view decoded, const SeriesLimits& limits,
                                const model::LocalHasher& hasher, FastPath& path);

// Empty if both paths agree on what is accepted, on identities, keys and counts; otherwise the first difference.
std::string FirstDisagreement(Schema schema, std::string_view decoded, const SeriesLimits& limits, FastPath& path);
std::string FirstDisagreement(Schema schema, std::string_view decoded, const SeriesLimits& limits);  // with a new path

}  // namespace mi::codec
