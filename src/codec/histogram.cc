#include "codec/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/format.h"
#include "codec/wire.h"

namespace mi::codec {
namespace {

using wire::Field;
using wire::Type;

constexpr int32_t kMinSchema = -4;
// 9 to 52 are reserved for finer buckets: a Prometheus takes them and reduces them to 8
constexpr int32_t kMaxSchema = 52;
constexpr int32_t kCustomBuckets = -53;

template <typename T>
void Keep(T entry, std::vector<T>& out) {
  if (out.size() <= kMaxHistogramEntries) out.push_back(entry);
}

bool ReadSpan(const Field& field, std::vector<BucketSpan>& out) {
  if (field.type != Type::kBytes) return false;
  BucketSpan span;
  wire::FieldReader reader(field.bytes);
  while (reader.Next()) {
    const Field& inner = reader.field();
    if (inner.number > 2) continue;
    if (inner.type != Type::kVarint) return false;
    if (inner.number == 1) span.offset = static_cast<int32_t>(wire::ZigZag(static_cast<uint32_t>(inner.scalar)));
    if (inner.number == 2) span.length = static_cast<uint32_t>(inner.scalar);
  }
  Keep(span, out);
  return reader.ok();
}

bool ReadDeltas(const Field& field, std::vector<int64_t>& out) {
  return wire::ReadRepeatedVarint(field, [&](uint64_t value) { Keep(wire::ZigZag(value), out); });
}

bool ReadDoubles(const Field& field, std::vector<double>& out) {
  return wire::ReadRepeatedDouble(field, [&](double value) { Keep(value, out); });
}

bool ReadDouble(const Field& field, double& out) {
  out = wire::AsDouble(field.scalar);
  return field.type == Type::kFixed64;
}

bool ReadHistogramField(const Field& field, Histogram& out) {
  switch (field.number) {
    case 1:  // one of 1 and 2: the last one counts
      out.is_float = false;
      out.count = field.scalar;
      return field.type == Type::kVarint;
    case 2: out.is_float = true; return ReadDouble(field, out.float_count);
    case 3: return ReadDouble(field, out.sum);
    case 4:
      out.schema = static_cast<int32_t>(wire::ZigZag(static_cast<uint32_t>(field.scalar)));
      return field.type == Type::kVarint;
    case 5: return ReadDouble(field, out.zero_threshold);
    case 6:  // one of 6 and 7
      out.zero_count = field.scalar;
      out.float_zero_count = 0;
      return field.type == Type::kVarint;
    case 7: out.zero_count = 0; return ReadDouble(field, out.float_zero_count);
    case 8: return ReadSpan(field, out.negative_spans);
    case 9: return ReadDeltas(field, out.negative_deltas);
    case 10: return ReadDoubles(field, out.negative_counts);
    case 11: return ReadSpan(field, out.positive_spans);
    case 12: return ReadDeltas(field, out.positive_deltas);
    case 13: return ReadDoubles(field, out.positive_counts);
    case 14: return field.type == Type::kVarint;  // reset hint: any
    case 15: out.timestamp_ms = static_cast<int64_t>(field.scalar); return field.type == Type::kVarint;
    case 16: return ReadDoubles(field, out.custom_values);
    default: return true;
  }
}

Status CheckSizes(const Histogram& h) {
  const size_t most =
      std::max({h.negative_spans.size(), h.negative_deltas.size(), h.negative_counts.size(), h.positive_spans.size(),
                h.positive_deltas.size(), h.positive_counts.size(), h.custom_values.size()});
  if (most <= kMaxHistogramEntries) return {};
  return Fail(Errc::kInvalid, format("more than {} buckets, spans or custom bounds (fixed)", kMaxHistogramEntries));
}

// Spans say where the buckets lie; together they must be as long as the list of buckets. Gives that length in buckets,
// gaps included.
Result<uint64_t> CheckSpans(std::string_view side, const std::vector<BucketSpan>& spans, size_t buckets,
                            bool first_may_be_negative) {
  uint64_t length = 0;
  uint64_t reach = 0;
  for (size_t i = 0; i < spans.size(); ++i) {
    if (spans[i].offset < 0 && (i > 0 || !first_may_be_negative)) {
      return Fail(Errc::kInvalid, format("{} span {} has the negative offset {}", side, i + 1, spans[i].offset));
    }
    length += spans[i].length;
    reach += static_cast<uint64_t>(std::max(spans[i].offset, 0)) + spans[i].length;
  }
  if (length != buckets) {
    return Fail(Errc::kInvalid, format("{} spans hold {} buckets, {} are given", side, length, buckets));
  }
  return reach;
}

// Sums what the deltas say. Nothing may be negative, and a sum beyond 64 bits is no count.
Status AddDeltas(std::string_view side, const std::vector<int64_t>& deltas, uint64_t& sum) {
  int64_t bucket = 0;
  for (size_t i = 0; i < deltas.size(); ++i) {
    if (__builtin_add_overflow(bucket, deltas[i], &bucket) || bucket < 0) {
      return Fail(Errc::kInvalid, format("{} bucket {} is negative or beyond 63 bits", side, i + 1));
    }
    if (__builtin_add_overflow(sum, static_cast<uint64_t>(bucket), &sum)) {
      return Fail(Errc::kInvalid, "the buckets sum up to more than 64 bits");
    }
  }
  return {};
}

Status CheckFloats(std::string_view side, const std::vector<double>& counts) {
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] < 0) return Fail(Errc::kInvalid, format("{} bucket {} is negative", side, i + 1));
  }
  return {};
}

Status CheckCustomBounds(const Histogram& histogram, uint64_t reach) {
  const std::vector<double>& bounds = histogram.custom_values;
  for (size_t i = 0; i < bounds.size(); ++i) {
    if (!std::isfinite(bounds[i]) && !(i == 0 && bounds[i] < 0)) {
      return Fail(Errc::kInvalid, format("custom bound {} is {}", i + 1, bounds[i]));
    }
    if (i > 0 && bounds[i] <= bounds[i - 1]) {
      return Fail(Errc::kInvalid, format("custom bound {} is not above the one before it", i + 1));
    }
  }
  if (reach > bounds.size() + 1) {
    return Fail(Errc::kInvalid, format("{} custom bounds for spans over {} buckets", bounds.size(), reach));
  }
  if (!histogram.negative_spans.empty() || !histogram.negative_deltas.empty() || !histogram.negative_counts.empty()) {
    return Fail(Errc::kInvalid, "custom buckets have no negative side");
  }
  if (histogram.zero_count != 0 || histogram.float_zero_count != 0 || histogram.zero_threshold != 0) {
    return Fail(Errc::kInvalid, "custom buckets have no zero bucket");
  }
  return {};
}

// Float histograms: sums of doubles drift, so their count is not held against their buckets (as Prometheus does).
Status CheckFloatCounts(const Histogram& histogram) {
  if (Status negative = CheckFloats("negative", histogram.negative_counts); !negative) return negative;
  if (Status positive = CheckFloats("positive", histogram.positive_counts); !positive) return positive;
  if (histogram.float_zero_count < 0) return Fail(Errc::kInvalid, "the zero bucket is negative");
  if (histogram.float_count < 0) return Fail(Errc::kInvalid, "the count is negative");
  return {};
}

Status CheckIntegerCounts(const Histogram& histogram) {
  uint64_t sum = histogram.zero_count;
  if (Status negative = AddDeltas("negative", histogram.negative_deltas, sum); !negative) return negative;
  if (Status positive = AddDeltas("positive", histogram.positive_deltas, sum); !positive) return positive;
  // Observations of NaN are counted but lie in no bucket; they make the sum NaN.
  const bool contradiction = std::isnan(histogram.sum) ? sum > histogram.count : sum != histogram.count;
  if (contradiction) {
    return Fail(Errc::kInvalid, format("{} observations in the buckets, the count is {}", sum, histogram.count));
  }
  return {};
}

}  // namespace

bool Histogram::is_stale() const { return std::bit_cast<uint64_t>(sum) == kStaleMarker; }

void Histogram::Clear() {
  is_float = false;
  count = zero_count = 0;
  float_count = float_zero_count = sum = zero_threshold = 0;
  schema = 0;
  timestamp_ms = 0;
  negative_spans.clear();
  negative_deltas.clear();
  negative_counts.clear();
  positive_spans.clear();
  positive_deltas.clear();
  positive_counts.clear();
  custom_values.clear();
}

bool ReadHistogram(std::string_view message, Histogram& out) {
  out.Clear();
  wire::FieldReader reader(message);
  while (reader.Next()) {
    if (!ReadHistogramField(reader.field(), out)) return false;
  }
  return reader.ok();
}

Status Validate(const Histogram& histogram) {
  if (Status bounded = CheckSizes(histogram); !bounded) return bounded;
  const bool custom = histogram.schema == kCustomBuckets;
  if (!custom && (histogram.schema < kMinSchema || histogram.schema > kMaxSchema)) {
    return Fail(Errc::kInvalid, format("schema {} is none of {} to {} and {}", histogram.schema, kMinSchema, kMaxSchema,
                                       kCustomBuckets));
  }
  const size_t negative = histogram.is_float ? histogram.negative_counts.size() : histogram.negative_deltas.size();
  const size_t positive = histogram.is_float ? histogram.positive_counts.size() : histogram.positive_deltas.size();
  const auto negative_reach = CheckSpans("negative", histogram.negative_spans, negative, !custom);
  if (!negative_reach) return Fail(negative_reach.error());
  const auto positive_reach = CheckSpans("positive", histogram.positive_spans, positive, !custom);
  if (!positive_reach) return Fail(positive_reach.error());
  if (custom) {
    if (Status bounds = CheckCustomBounds(histogram, *positive_reach); !bounds) return bounds;
  } else if (!histogram.custom_values.empty()) {
    return Fail(Errc::kInvalid, format("custom bounds with schema {}", histogram.schema));
  }
  return histogram.is_float ? CheckFloatCounts(histogram) : CheckIntegerCounts(histogram);
}

}  // namespace mi::codec
