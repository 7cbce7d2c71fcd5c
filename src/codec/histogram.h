// A native histogram of remote write, as far as it can contradict itself.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mi::codec {

// The bits of the double that ends a series. Any other NaN is a value.
inline constexpr uint64_t kStaleMarker = 0x7ff0000000000002;

// The most entries that a list of a histogram may have. Senders have about 160 buckets. Without a limit, each byte of a
// request could take eight bytes of memory, kept from one request to the next.
inline constexpr size_t kMaxHistogramEntries = 65'536;

struct BucketSpan {
  int32_t offset = 0;
  uint32_t length = 0;
};

// An integer histogram uses count, zero_count and deltas. A float histogram uses float_count, float_zero_count and
// counts.
struct Histogram {
  struct Side {
    std::vector<BucketSpan> spans;
    std::vector<int64_t> deltas;
    std::vector<double> counts;
  };

  bool is_float = false;
  uint64_t count = 0;
  double float_count = 0;
  double sum = 0;
  int32_t schema = 0;
  double zero_threshold = 0;
  uint64_t zero_count = 0;
  double float_zero_count = 0;
  Side negative;
  Side positive;
  std::vector<double> custom_values;
  int64_t timestamp_ms = 0;

  bool is_stale() const;
  void Clear();  // keeps the memory
};

// Clears `out` and reads the fields of a Histogram message (the same in 1.0 and 2.0) into it. False: the bytes are not
// such a message. Of a list longer than kMaxHistogramEntries it keeps one entry more than that, which Validate refuses.
bool ReadHistogram(std::string_view message, Histogram& out);

// kInvalid: the message describes the contradiction.
Status Validate(const Histogram& histogram);

}  // namespace mi::codec
