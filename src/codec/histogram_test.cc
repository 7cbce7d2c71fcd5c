#include "codec/histogram.h"

#include "codec/testing/wire_bytes.h"

#include <cmath>
#include <limits>

namespace mi::codec {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// Buckets 1, 2, 1 on the positive side, 1 on the negative one, 2 zeros.
Histogram Integer() {
  return {.count = 7,
          .sum = 3.5,
          .schema = 3,
          .zero_count = 2,
          .negative = {.spans = {{-1, 1}}, .deltas = {1}},
          .positive = {.spans = {{-2, 1}, {4, 2}}, .deltas = {1, 1, -1}}};
}

Histogram Float() {
  return {.is_float = true, .float_count = 3.5, .schema = -4, .positive = {.spans = {{0, 2}}, .counts = {1.5, 2}}};
}

Histogram Custom() {
  return {.count = 3,
          .schema = -53,
          .positive = {.spans = {{0, 2}, {1, 1}}, .deltas = {1, 0, 0}},
          .custom_values = {0.1, 1, 10}};
}

std::string Fault(Histogram histogram, void (*change)(Histogram&)) {
  change(histogram);
  const Status status = Validate(histogram);
  return status ? "" : status.error().message();
}

TEST(Histogram, IsValidIfItsBucketsAddUp) {
  EXPECT_TRUE(Validate(Integer()));
  EXPECT_TRUE(Validate(Float()));
  EXPECT_TRUE(Validate(Custom()));
  EXPECT_TRUE(Validate({}));
  EXPECT_TRUE(Validate({.sum = std::bit_cast<double>(kStaleMarker)}));
}

TEST(Histogram, IsRefusedIfItContradictsItself) {
  auto f = [](Histogram histogram, void (*change)(Histogram&), std::string_view want) {
    EXPECT_EQ(Fault(std::move(histogram), change), want);
  };
  using H = Histogram;
  f(Integer(), [](H& h) { h.count = 8; }, "7 observations in the buckets, the count is 8");
  f(Integer(), [](H& h) { h.zero_count = 0; }, "5 observations in the buckets, the count is 7");
  f(Integer(), [](H& h) { h.sum = kNan, h.count = 6; }, "7 observations in the buckets, the count is 6");
  f(Integer(), [](H& h) { h.schema = 53; }, "schema 53 is none of -4 to 52 and -53");
  f(Integer(), [](H& h) { h.schema = -5; }, "schema -5 is none of -4 to 52 and -53");
  f(Integer(), [](H& h) { h.positive.spans[1].length = 3; }, "positive spans hold 4 buckets, 3 are given");
  f(Integer(), [](H& h) { h.negative.deltas.push_back(0); }, "negative spans hold 1 buckets, 2 are given");
  f(Integer(), [](H& h) { h.positive.spans[1].offset = -1; }, "positive span 2 has the negative offset -1");
  f(Integer(), [](H& h) { h.positive.deltas[2] = -3; }, "positive bucket 3 is negative or beyond 63 bits");
  f(Integer(), [](H& h) { h.custom_values = {1}; }, "custom bounds with schema 3");
  f(Float(), [](H& h) { h.positive.counts[1] = -1; }, "positive bucket 2 is negative");
  f(Float(), [](H& h) { h.float_zero_count = -1; }, "the zero bucket is negative");
  f(Float(), [](H& h) { h.float_count = -1; }, "the count is negative");
  f(Float(), [](H& h) { h.positive.counts.pop_back(); }, "positive spans hold 2 buckets, 1 are given");
  f(Custom(), [](H& h) { h.custom_values = {1, 1, 2}; }, "custom bound 2 is not above the one before it");
  f(Custom(), [](H& h) { h.custom_values[2] = kInf; }, "custom bound 3 is inf");
  f(Custom(), [](H& h) { h.custom_values[1] = kNan; }, "custom bound 2 is nan");
  f(Custom(), [](H& h) { h.custom_values.resize(2); }, "2 custom bounds for spans over 4 buckets");
  f(Custom(), [](H& h) { h.positive.spans[0].offset = -1; }, "positive span 1 has the negative offset -1");
  f(Custom(), [](H& h) { h.zero_count = 1; }, "custom buckets have no zero bucket");
  f(Custom(), [](H& h) { h.negative.spans = {{0, 0}}; }, "custom buckets have no negative side");
}

TEST(Histogram, MayHaveAReservedFinerSchema) {
  EXPECT_EQ(Fault(Integer(), [](Histogram& h) { h.schema = 9; }), "");
  EXPECT_EQ(Fault(Integer(), [](Histogram& h) { h.schema = 52; }), "");
}

TEST(Histogram, WithNanObservationsMayCountMoreThanItsBuckets) {
  EXPECT_EQ(Fault(Integer(), [](Histogram& h) { h.sum = kNan, h.count = 8; }), "");
}

// Sums of doubles drift; Prometheus does not compare them with the count either.
TEST(Histogram, OfFloatsNeedNotAddUp) {
  EXPECT_EQ(Fault(Float(), [](Histogram& h) { h.float_count = 3.4999; }), "");
}

TEST(Histogram, HasAMaximumNumberOfEntries) {
  const auto read = [](uint32_t number, std::string_view entry, size_t count) {
    std::string entries;
    for (size_t i = 0; i < count; ++i) entries += entry;
    Histogram histogram;
    EXPECT_TRUE(ReadHistogram(BytesField(number, entries), histogram));
    return histogram;
  };
  const std::string_view zero(std::string_view("\0\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(read(12, zero.substr(0, 1), kMaxHistogramEntries).positive.deltas.size(), kMaxHistogramEntries);
  const auto refused = [](const Histogram& histogram) {
    const Status status = Validate(histogram);
    return status ? "" : status.error().message();
  };
  const std::string why = "more than 65536 buckets, spans or custom bounds (fixed)";
  const Histogram deltas = read(12, zero.substr(0, 1), 1'000'000);
  EXPECT_EQ(refused(deltas), why);
  EXPECT_LT(deltas.positive.deltas.capacity(), 3 * kMaxHistogramEntries);
  EXPECT_EQ(refused(read(9, zero.substr(0, 1), 100'000)), why);
  for (const uint32_t doubles : {10U, 13U, 16U}) EXPECT_EQ(refused(read(doubles, zero, 100'000)), why);
  for (const uint32_t spans : {8U, 11U}) {
    std::string message;
    for (size_t i = 0; i <= kMaxHistogramEntries + 5; ++i) message += BytesField(spans, "");
    Histogram histogram;
    ASSERT_TRUE(ReadHistogram(message, histogram));
    EXPECT_EQ(refused(histogram), why);
    EXPECT_EQ(histogram.negative.spans.size() + histogram.positive.spans.size(), kMaxHistogramEntries + 1);
  }
}

TEST(Histogram, IsRefusedIfASumOverflows) {
  Histogram h{.count = 0, .positive = {.spans = {{0, 3}}}};
  h.positive.deltas = {std::numeric_limits<int64_t>::max(), 1, 0};
  EXPECT_FALSE(Validate(h));
  h.positive.deltas = {std::numeric_limits<int64_t>::max(), 0, 0};
  EXPECT_EQ(Validate(h).error().message(), "the buckets sum up to more than 64 bits");
  h = {.positive = {.spans = {{0, std::numeric_limits<uint32_t>::max()}, {0, 1}}}};
  EXPECT_FALSE(Validate(h));
}

}  // namespace
}  // namespace mi::codec
