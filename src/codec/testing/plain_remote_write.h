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

// A series whose labels are refused, so that nothing may know it by its key.
struct PlainImpostor {
  size_t series = 0;
  model::Fingerprint key;  // fast: as the walk gives it
  std::string canonical;   // plain: of the labels that are good by themselves, where they make a series
};

struct PlainRequest {
  std::vector<PlainSeries> series;
  std::vector<model::MetricMetadata> metadata;  // in order, with repetitions; what Decode would refuse is left out
  uint64_t refused_items = 0;                   // as RequestScan::refused_items
  std::vector<PlainImpostor> impostors;
};

Result<PlainRequest> DecodePlain(Schema schema, std::string_view decoded, const SeriesLimits& limits);

// What the receiver keeps from one request to the next.
struct FastPath {
  RequestScan scan;
  Canonicaliser canonicalise;
};

// The same question put to the fast path and, for every series, to the Canonicaliser. kInternal: a key lied.
Result<PlainRequest> DecodeFast(Schema schema, std::string_view decoded, const SeriesLimits& limits,
                                const model::Fingerprinter& fingerprinter, FastPath& path);

// Empty when both ways agree on what is accepted, on identities, keys and counts; else what they differ in.
std::string FirstDisagreement(Schema schema, std::string_view decoded, const SeriesLimits& limits, FastPath& path);
std::string FirstDisagreement(Schema schema, std::string_view decoded, const SeriesLimits& limits);  // with a new path

}  // namespace mi::codec
