// A native histogram as remote write carries it, as far as it can contradict itself.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mi::codec {

// The bits of the double that ends a series. Any other NaN is a value.
inline constexpr uint64_t kStaleMarker = 0x7ff0000000000002;

// The most entries that any list of a histogram may have. Senders have 160 buckets or so; without a bound each byte of
// a request would be eight of memory, kept from one request to the next.
inline constexpr size_t kMaxHistogramEntries = 65'536;

struct BucketSpan {
  int32_t offset = 0;
  uint32_t length = 0;
};

// Integer histograms count in count, zero_count and deltas; float histograms in the members named float.
struct Histogram {
  bool is_float = false;
  uint64_t count = 0;
  double float_count = 0;
  double sum = 0;
  int32_t schema = 0;
  double zero_threshold = 0;
  uint64_t zero_count = 0;
  double float_zero_count = 0;
  std::vector<BucketSpan> negative_spans;
  std::vector<int64_t> negative_deltas;
  std::vector<double> negative_counts;
  std::vector<BucketSpan> positive_spans;
  std::vector<int64_t> positive_deltas;
  std::vector<double> positive_counts;
  std::vector<double> custom_values;
  int64_t timestamp_ms = 0;

  bool is_stale() const;
  void Clear();  // keeps the memory
};

// Reads the fields of a Histogram message (the same in 1.0 and 2.0) into `out`, clearing it first.
// False: it is no such message. Of a list beyond kMaxHistogramEntries it keeps one entry more, for Validate to refuse.
bool ReadHistogram(std::string_view message, Histogram& out);

// kInvalid, with the contradiction.
Status Validate(const Histogram& histogram);

}  // namespace mi::codec
