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
using Side = Histogram::Side;

constexpr int32_t kMinSchema = -4;
constexpr int32_t kMaxSchema = 52;  // 9 to 52 are reserved for finer buckets: Prometheus accepts and reduces them to 8
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

// Fields 1 and 2 exclude each other, and so do 6 and 7: the last one counts.
bool ReadHistogramField(const Field& field, Histogram& out) {
  Side& side = field.number <= 10 ? out.negative : out.positive;
  switch (field.number) {
    case 1:
      out.is_float = false;
      out.count = field.scalar;
      return field.type == Type::kVarint;
    case 2: out.is_float = true; return ReadDouble(field, out.float_count);
    case 3: return ReadDouble(field, out.sum);
    case 4:
      out.schema = static_cast<int32_t>(wire::ZigZag(static_cast<uint32_t>(field.scalar)));
      return field.type == Type::kVarint;
    case 5: return ReadDouble(field, out.zero_threshold);
    case 6:
      out.zero_count = field.scalar;
      out.float_zero_count = 0;
      return field.type == Type::kVarint;
    case 7: out.zero_count = 0; return ReadDouble(field, out.float_zero_count);
    case 8:
    case 11: return ReadSpan(field, side.spans);
    case 9:
    case 12: return ReadDeltas(field, side.deltas);
    case 10:
    case 13: return ReadDoubles(field, side.counts);
    case 14: return field.type == Type::kVarint;  // reset hint: any
    case 15: out.timestamp_ms = static_cast<int64_t>(field.scalar); return field.type == Type::kVarint;
    case 16: return ReadDoubles(field, out.custom_values);
    default: return true;
  }
}

template <typename... Args>
std::unexpected<Error> Invalid(format_string<Args...> text, Args&&... args) {
  return Fail(Errc::kInvalid, format(text, std::forward<Args>(args)...));
}

size_t LongestList(const Side& side) { return std::max({side.spans.size(), side.deltas.size(), side.counts.size()}); }

// The spans say where the buckets lie: together they are as long as the list of buckets. Returns the number of bucket
// positions that they cover, gaps included.
Result<uint64_t> CheckSpans(std::string_view name, const std::vector<BucketSpan>& spans, size_t buckets,
                            bool first_may_be_negative) {
  uint64_t length = 0;
  uint64_t covered = 0;
  for (size_t i = 0; i < spans.size(); ++i) {
    if (spans[i].offset < 0 && (i > 0 || !first_may_be_negative)) {
      return Invalid("{} span {} has the negative offset {}", name, i + 1, spans[i].offset);
    }
    length += spans[i].length;
    covered += static_cast<uint64_t>(std::max(spans[i].offset, 0)) + spans[i].length;
  }
  if (length != buckets) return Invalid("{} spans hold {} buckets, {} are given", name, length, buckets);
  return covered;
}

Status CheckCustomBounds(const Histogram& histogram, uint64_t covered) {
  const std::vector<double>& bounds = histogram.custom_values;
  for (size_t i = 0; i < bounds.size(); ++i) {
    if (!std::isfinite(bounds[i]) && !(i == 0 && bounds[i] < 0))
      return Invalid("custom bound {} is {}", i + 1, bounds[i]);
    if (i > 0 && bounds[i] <= bounds[i - 1]) return Invalid("custom bound {} is not above the one before it", i + 1);
  }
  if (covered > bounds.size() + 1) return Invalid("{} custom bounds for spans over {} buckets", bounds.size(), covered);
  if (LongestList(histogram.negative) > 0) return Invalid("custom buckets have no negative side");
  if (histogram.zero_count != 0 || histogram.float_zero_count != 0 || histogram.zero_threshold != 0) {
    return Invalid("custom buckets have no zero bucket");
  }
  return {};
}

// Adds up the buckets, which are given as differences. No bucket may be negative, and no sum may overflow.
Status AddDeltas(std::string_view name, const std::vector<int64_t>& deltas, uint64_t& sum) {
  int64_t bucket = 0;
  for (size_t i = 0; i < deltas.size(); ++i) {
    if (__builtin_add_overflow(bucket, deltas[i], &bucket) || bucket < 0) {
      return Invalid("{} bucket {} is negative or beyond 63 bits", name, i + 1);
    }
    if (__builtin_add_overflow(sum, static_cast<uint64_t>(bucket), &sum)) {
      return Invalid("the buckets sum up to more than 64 bits");
    }
  }
  return {};
}

// The count of a float histogram is not compared with its buckets, because sums of doubles drift. Prometheus does not
// compare them either.
Status CheckFloatCounts(const Histogram& histogram) {
  for (const auto& [name, side] : {std::pair("negative", &histogram.negative), {"positive", &histogram.positive}}) {
    for (size_t i = 0; i < side->counts.size(); ++i) {
      if (side->counts[i] < 0) return Invalid("{} bucket {} is negative", name, i + 1);
    }
  }
  if (histogram.float_zero_count < 0) return Invalid("the zero bucket is negative");
  if (histogram.float_count < 0) return Invalid("the count is negative");
  return {};
}

// An observation of NaN is counted but lies in no bucket; it makes the sum NaN.
Status CheckIntegerCounts(const Histogram& histogram) {
  uint64_t sum = histogram.zero_count;
  TRY(AddDeltas("negative", histogram.negative.deltas, sum));
  TRY(AddDeltas("positive", histogram.positive.deltas, sum));
  if (std::isnan(histogram.sum) ? sum > histogram.count : sum != histogram.count) {
    return Invalid("{} observations in the buckets, the count is {}", sum, histogram.count);
  }
  return {};
}

}  // namespace

bool Histogram::is_stale() const { return std::bit_cast<uint64_t>(sum) == kStaleMarker; }

void Histogram::Clear() {
  for (Side* side : {&negative, &positive}) {
    side->spans.clear();
    side->deltas.clear();
    side->counts.clear();
  }
  custom_values.clear();
  *this = {.negative = std::move(negative), .positive = std::move(positive), .custom_values = std::move(custom_values)};
}

// Reading and checking are separate. ReadHistogram fails only if the bytes are not protobuf of this shape: then the
// whole request is broken. Validate finds contradictions: then only this series is refused. Both are linear in the
// message. Memory is bounded too: `Keep` stops at kMaxHistogramEntries + 1 entries per list, which is enough for
// Validate to see that there are too many. The vectors keep their capacity from one histogram to the next.
bool ReadHistogram(std::string_view message, Histogram& out) {
  out.Clear();
  wire::FieldReader reader(message);
  while (reader.Next()) {
    if (!ReadHistogramField(reader.field(), out)) return false;
  }
  return reader.ok();
}

Status Validate(const Histogram& histogram) {
  const Side& negative = histogram.negative;
  const Side& positive = histogram.positive;
  if (std::max({LongestList(negative), LongestList(positive), histogram.custom_values.size()}) > kMaxHistogramEntries) {
    return Invalid("more than {} buckets, spans or custom bounds (fixed)", kMaxHistogramEntries);
  }
  const bool custom = histogram.schema == kCustomBuckets;
  if (!custom && (histogram.schema < kMinSchema || histogram.schema > kMaxSchema)) {
    return Invalid("schema {} is none of {} to {} and {}", histogram.schema, kMinSchema, kMaxSchema, kCustomBuckets);
  }
  const auto buckets = [&](const Side& side) { return histogram.is_float ? side.counts.size() : side.deltas.size(); };
  TRY(CheckSpans("negative", negative.spans, buckets(negative), !custom));
  const uint64_t covered = TRY(CheckSpans("positive", positive.spans, buckets(positive), !custom));
  if (custom) {
    TRY(CheckCustomBounds(histogram, covered));
  } else if (!histogram.custom_values.empty()) {
    return Invalid("custom bounds with schema {}", histogram.schema);
  }
  return histogram.is_float ? CheckFloatCounts(histogram) : CheckIntegerCounts(histogram);
}

}  // namespace mi::codec
