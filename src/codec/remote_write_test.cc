#include "codec/remote_write.h"

#include <random>

#include "base/format.h"
#include "codec/testing/plain_remote_write.h"
#include "codec/testing/request_encoder.h"
#include "codec/testing/wire_bytes.h"
#include "model/identity.h"

namespace mi::codec {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;
using testing::HasSubstr;

const model::LocalHashKey kKey;
const model::LocalHasher kHasher(kKey, model::Fingerprinter("", {}));
const double kStale = std::bit_cast<double>(kStaleMarker);

std::string Encode(Schema schema, const WireSeries& series) {
  RequestEncoder encoder(schema);
  encoder.Add(series);
  return encoder.Finish();
}

WireSeries Series(Pairs labels) { return {.labels = std::move(labels), .samples = {{1, 1700000000000}}}; }

Result<model::MetricMetadata> Decode(const RequestScan& scan, size_t i, const SeriesLimits& limits = {}) {
  MetadataBudget budget{.limit = UINT64_MAX};
  return scan.Decode(scan.metadata()[i], limits, budget);
}

// The result of a request with one series. Both paths must agree.
struct Reading {
  std::string identity;  // or "refused: <reason>", or "request refused"
  bool has_key = false;
  ScannedSeries series;
  std::string why;
};

Reading ReadBothWays(Schema schema, const std::string& request, const SeriesLimits& limits = {}) {
  EXPECT_EQ(FirstDisagreement(schema, request, limits), "");
  RequestScan scan;
  Reading reading;
  if (Status scanned = scan.Scan(schema, request, kHasher); !scanned) {
    reading.identity = "request refused";
    reading.why = scanned.error().message();
    return reading;
  }
  if (scan.series().empty()) {
    reading.identity = "no series";
    return reading;
  }
  reading.series = scan.series()[0];
  Canonicaliser canonicalise;
  const auto outcome = canonicalise(scan, scan.series()[0], limits);
  reading.has_key = scan.keys()[0] != model::Fingerprint();
  if (outcome.refusal != Refusal::kNone) {
    reading.identity = "refused: " + std::string(ToString(outcome.refusal));
    reading.why = canonicalise.Explain(scan, scan.series()[0], limits);
    EXPECT_EQ(reading.why.find('\n'), std::string::npos);
    return reading;
  }
  reading.identity = model::FormatIdentity(model::LabelsView(outcome.canonical));
  return reading;
}

class BothSchemas : public testing::TestWithParam<Schema> {
 protected:
  std::string IdentityOf(Pairs labels, const SeriesLimits& limits = {}) {
    return ReadBothWays(GetParam(), Encode(GetParam(), Series(std::move(labels))), limits).identity;
  }
  std::string WhyNot(Pairs labels, const SeriesLimits& limits = {}) {
    return ReadBothWays(GetParam(), Encode(GetParam(), Series(std::move(labels))), limits).why;
  }
};

TEST_P(BothSchemas, TheOrderOfLabelsDoesNotMatter) {
  EXPECT_EQ(IdentityOf({{"__name__", "up"}, {"a", "1"}, {"b", "2"}}), R"(up{a="1",b="2"})");
  EXPECT_EQ(IdentityOf({{"b", "2"}, {"a", "1"}, {"__name__", "up"}}), R"(up{a="1",b="2"})");
  EXPECT_EQ(IdentityOf({{"__name__", "up"}, {"a", "1"}, {"Zone", "z"}}), R"(up{Zone="z",a="1"})");
}

TEST_P(BothSchemas, LabelsAreSortedByAllBytesOfTheirNames) {
  EXPECT_EQ(IdentityOf({{"container_z", "1"}, {"container", "2"}, {"container_a", "3"}, {"__name__", "m"}}),
            R"(m{container="2",container_a="3",container_z="1"})");
}

TEST_P(BothSchemas, EmptyValuesAreAbsentLabels) {
  EXPECT_EQ(IdentityOf({{"__name__", "up"}, {"a", ""}, {"b", "2"}}), R"(up{b="2"})");
  EXPECT_EQ(IdentityOf({{"b", "2"}, {"a", ""}, {"__name__", "up"}}), R"(up{b="2"})");
}

TEST_P(BothSchemas, AnyUtf8IsAName) {
  EXPECT_EQ(IdentityOf({{"__name__", "温度"}, {"地点", "a\nb"}}), R"({"温度","地点"="a\nb"})");
}

TEST_P(BothSchemas, InvalidSeriesAreRefusedWithAReason) {
  EXPECT_EQ(IdentityOf({{"__name__", "up"}, {"", "x"}}), "refused: empty_label_name");
  EXPECT_EQ(IdentityOf({{"__name__", "up"}, {"", ""}}), "refused: empty_label_name");
  EXPECT_EQ(IdentityOf({{"__name__", "up"}, {"a", "1"}, {"a", "2"}}), "refused: duplicate_label_name");
  EXPECT_EQ(IdentityOf({{"a", "1"}, {"__name__", "up"}, {"a", ""}}), "refused: duplicate_label_name");
  EXPECT_EQ(IdentityOf({{"__name__", "up"}, {"a", "\xff"}}), "refused: invalid_utf8");
  EXPECT_EQ(IdentityOf({{"__name__", "up"}, {"\xc0\x80", "a"}}), "refused: invalid_utf8");
  EXPECT_EQ(IdentityOf({{"a", "1"}}), "refused: no_metric_name");
  EXPECT_EQ(IdentityOf({{"__name__", ""}, {"a", "1"}}), "refused: no_metric_name");
  EXPECT_EQ(IdentityOf({}), "refused: no_metric_name");
}

TEST_P(BothSchemas, TheMetricNameIsOptionalIfTheOptionAllowsIt) {
  const SeriesLimits limits{.require_metric_name = false};
  EXPECT_EQ(IdentityOf({{"a", "1"}}, limits), R"({a="1"})");
  EXPECT_EQ(IdentityOf({}, limits), "refused: no_metric_name");
  EXPECT_EQ(IdentityOf({{"a", ""}}, limits), "refused: no_metric_name");
}

TEST_P(BothSchemas, LimitsAreExact) {
  const SeriesLimits limits{.max_series_bytes = 40, .max_labels = 2, .max_name_bytes = 8, .max_value_bytes = 4};
  EXPECT_EQ(IdentityOf({{"__name__", "m"}, {"12345678", "1234"}}, limits), R"(m{"12345678"="1234"})");
  EXPECT_EQ(IdentityOf({{"__name__", "m"}, {"123456789", "1"}}, limits), "refused: label_name_too_long");
  EXPECT_EQ(IdentityOf({{"__name__", "m"}, {"a", "12345"}}, limits), "refused: label_value_too_long");
  EXPECT_EQ(IdentityOf({{"__name__", "m"}, {"a", "1"}, {"b", "1"}}, limits), "refused: too_many_labels");
  EXPECT_EQ(IdentityOf({{"__name__", "m"}, {"a", "1"}}, {.max_series_bytes = 23}), R"(m{a="1"})");
  EXPECT_EQ(IdentityOf({{"__name__", "m"}, {"a", "1"}}, {.max_series_bytes = 22}), "refused: series_too_large");
}

TEST_P(BothSchemas, LabelsWithoutAValueHaveALimitOfTheirOwn) {
  const SeriesLimits limits{.max_labels = 2};
  EXPECT_EQ(IdentityOf({{"__name__", "m"}, {"a", ""}, {"b", "1"}, {"c", ""}}, limits), R"(m{b="1"})");
  EXPECT_EQ(IdentityOf({{"__name__", "m"}, {"a", ""}, {"b", ""}, {"c", ""}}, limits), "refused: too_many_labels");
  EXPECT_THAT(WhyNot({{"__name__", "m"}, {"a", ""}, {"b", ""}, {"c", ""}}, limits),
              HasSubstr("more than 2 labels without a value (receive.max_labels)"));
  EXPECT_THAT(WhyNot({{"__name__", "m"}, {"a", "1"}, {"b", "1"}}, limits),
              HasSubstr("more than 2 labels (receive.max_labels)"));
}

TEST_P(BothSchemas, RefusalsNameSeriesLimitValueAndOption) {
  const SeriesLimits limits{.max_value_bytes = 4};
  EXPECT_EQ(WhyNot({{"__name__", "m"}, {"a", "12345"}}, limits),
            R"(series 1 of 1, 'm': label 'a' has a value of 5 bytes, limit 4 (receive.max_value_bytes))");
  EXPECT_THAT(WhyNot({{"__name__", "m"}, {"a\nb", "\xff"}}), HasSubstr("'m': label 'a?b' is not UTF-8"));
  EXPECT_THAT(WhyNot({{"a", "1"}}), HasSubstr("(receive.require_metric_name)"));
}

TEST_P(BothSchemas, LongSymbolsAndManyLabelsHaveTheSameIdentity) {
  Pairs labels = {{"__name__", "m"}, {"long", std::string(5000, 'x')}};
  for (int i = 0; i < 90; ++i) labels.emplace_back(format("l{}", (i * 37) % 90), "v");
  const SeriesLimits limits{.max_value_bytes = 10'000};
  EXPECT_EQ(IdentityOf(labels, limits).substr(0, 6), "m{l0=\"");
  EXPECT_EQ(IdentityOf(labels), "refused: label_value_too_long");
}

TEST_P(BothSchemas, StaleMarkersAreNotActivity) {
  auto f = [&](WireSeries series, bool stale_only) {
    series.labels = {{"__name__", "m"}};
    EXPECT_EQ(ReadBothWays(GetParam(), Encode(GetParam(), series)).series.stale_only, stale_only);
  };
  f({.samples = {{kStale, 1}}}, true);
  f({.samples = {{kStale, 1}, {kStale, 2}}}, true);
  f({.samples = {{kStale, 1}, {3, 2}}}, false);
  f({.samples = {{std::nan(""), 1}}}, false);
  f({.samples = {{0, 0}}}, false);
  f({.histograms = {{.sum = kStale}}}, true);
  f({.samples = {{kStale, 1}}, .histograms = {{.sum = 0}}}, false);
  f({.samples = {{kStale, 1}}, .exemplars = {{}}}, false);
  f({.exemplars = {{}}}, false);
  f({}, false);
}

TEST_P(BothSchemas, ItemsOfAllKindsAreCounted) {
  const WireSeries series{.labels = {{"__name__", "m"}},
                          .samples = {{1, 1}, {2, 2}, {0, 0}},
                          .histograms = {{.timestamp_ms = 1}, {.is_float = true}},
                          .exemplars = {{.labels = {{"trace_id", "abc"}}, .value = 1}}};
  const Reading reading = ReadBothWays(GetParam(), Encode(GetParam(), series));
  EXPECT_EQ(reading.identity, "m{}");
  EXPECT_EQ(reading.series.samples, 3U);
  EXPECT_EQ(reading.series.histograms, 2U);
  EXPECT_EQ(reading.series.exemplars, 1U);
}

TEST_P(BothSchemas, SeriesWithoutItemsHaveNoKeyButAreChecked) {
  const Reading good = ReadBothWays(GetParam(), Encode(GetParam(), {.labels = {{"__name__", "m"}}}));
  EXPECT_FALSE(good.series.has_items());
  EXPECT_FALSE(good.has_key);
  EXPECT_EQ(good.identity, "m{}");
  EXPECT_EQ(ReadBothWays(GetParam(), Encode(GetParam(), {.labels = {{"", "m"}}})).identity,
            "refused: empty_label_name");
}

TEST_P(BothSchemas, AHistogramThatContradictsItselfRefusesItsSeries) {
  WireSeries series{.labels = {{"__name__", "m"}}, .histograms = {{.count = 1, .timestamp_ms = 7}}};
  const Reading reading = ReadBothWays(GetParam(), Encode(GetParam(), series));
  EXPECT_EQ(reading.identity, "refused: bad_histogram");
  EXPECT_EQ(reading.series.refusal, Refusal::kBadHistogram);  // the walk says so: known series are refused too
  EXPECT_THAT(reading.why, HasSubstr("native histogram at 7: 0 observations in the buckets, the count is 1"));
}

// Otherwise up{"\xff"=""} would be refused while up{} is unknown, and accepted as soon as it is known.
TEST_P(BothSchemas, ARefusedSeriesDoesNotHaveTheKeyOfAnother) {
  for (const char* name : {"\xff", "aaaaaaaaaa"}) {
    for (const Pairs& labels : {Pairs{{"__name__", "up"}, {name, ""}}, Pairs{{name, ""}, {"__name__", "up"}},
                                Pairs{{"b", "1"}, {name, ""}}}) {
      const SeriesLimits limits{.max_name_bytes = 9, .require_metric_name = false};
      const std::string request = Encode(GetParam(), Series(labels));
      EXPECT_THAT(ReadBothWays(GetParam(), request, limits).identity, testing::StartsWith("refused"));
    }
  }
}

TEST_P(BothSchemas, KeysAreThoseOfTheLabelsAsTheyWereSent) {
  const auto key = [](const Pairs& labels, double value) {
    WireSeries series = Series(labels);
    series.samples[0].value = value;
    const std::string request = Encode(GetParam(), series);
    RequestScan scan;
    EXPECT_TRUE(scan.Scan(GetParam(), request, kHasher));
    return scan.keys()[0];
  };
  const auto sorted = key({{"__name__", "m"}, {"area", "1"}, {"zone", "b"}}, 1);
  EXPECT_NE(sorted, model::Fingerprint());
  EXPECT_EQ(sorted, key({{"__name__", "m"}, {"area", "1"}, {"zone", "b"}}, 2));
  EXPECT_NE(sorted, key({{"__name__", "m"}, {"zone", "b"}, {"area", "1"}}, 1));
  EXPECT_NE(sorted, key({{"__name__", "m"}, {"area", "1"}, {"zone", "c"}}, 1));
}

TEST_P(BothSchemas, KeysOfTenantsDiffer) {
  const std::string request = Encode(GetParam(), Series({{"__name__", "m"}}));
  const model::LocalHasher other(kKey, model::Fingerprinter("", model::Tenant::Parse("team-a").value()));
  RequestScan scan;
  ASSERT_TRUE(scan.Scan(GetParam(), request, kHasher));
  const model::Fingerprint key = scan.keys()[0];
  ASSERT_TRUE(scan.Scan(GetParam(), request, other));
  EXPECT_NE(scan.keys()[0], key);
}

TEST_P(BothSchemas, UnknownFieldsAreSkippedEverywhere) {
  const std::string unknown = VarintField(99, 7) + BytesField(100, "x") + DoubleField(101, 1);
  std::string request = Encode(GetParam(), Series({{"__name__", "m"}, {"a", "1"}}));
  EXPECT_EQ(ReadBothWays(GetParam(), unknown + request + unknown).identity, R"(m{a="1"})");
}

TEST_P(BothSchemas, BrokenRequestsAreRefused) {
  const std::string good = Encode(GetParam(), Series({{"__name__", "m"}, {"a", "1"}}));
  auto f = [&](const std::string& request) {
    EXPECT_EQ(ReadBothWays(GetParam(), request).identity, "request refused");
  };
  f(good + "\x0b");                             // a group
  f(good + "\x0c");                             // the end of one
  f(good + std::string(1, '\0'));               // field 0
  f(good + "\x2a");                             // a tag without its bytes
  f(good + "\x2a\x05xx");                       // cut short
  f(good + std::string(11, '\xff'));            // a varint without end
  f(good + Varint(19000 << 3) + "x");           // a reserved field number
  f(good + "\x2a" + Varint(1ULL << 32) + "x");  // longer than 32 bits
  f(good + BytesField(GetParam() == Schema::kV1 ? 1 : 5, BytesField(2,
                                                                    "\x09"
                                                                    "short")));
  f(good + VarintField(GetParam() == Schema::kV1 ? 1 : 5, 1));  // of another wire type
}

TEST_P(BothSchemas, AnEmptyRequestIsValid) {
  EXPECT_EQ(ReadBothWays(GetParam(), "").identity, "no series");
  EXPECT_EQ(ReadBothWays(GetParam(), RequestEncoder(GetParam()).Finish()).identity, "no series");
}

// A 204 would lose everything silently.
TEST_P(BothSchemas, ARequestOfTheOtherSchemaIsRefused) {
  const Schema other = GetParam() == Schema::kV1 ? Schema::kV2 : Schema::kV1;
  EXPECT_THAT(ReadBothWays(GetParam(), Encode(other, Series({{"__name__", "m"}}))).why,
              HasSubstr("the Content-Type says"));
}

// A million series of two bytes each would cost as much as a million real ones.
TEST_P(BothSchemas, TheNumberOfSeriesIsInProportionToTheRequest) {
  const auto f = [](size_t series, size_t bytes_each, std::string_view limit) {
    std::string request = GetParam() == Schema::kV2 ? BytesField(4, "") : "";
    const std::string unknown = bytes_each == 2 ? "" : BytesField(9, std::string(bytes_each - 4, 'x'));
    for (size_t i = 0; i < series; ++i) request += BytesField(GetParam() == Schema::kV1 ? 1 : 5, unknown);
    RequestScan scan;
    const Status status = scan.Scan(GetParam(), request, kHasher);
    EXPECT_EQ(status.has_value(), limit.empty());
    if (status) return;
    EXPECT_EQ(status.error().code(), Errc::kTooLarge);
    EXPECT_THAT(status.error().message(), HasSubstr(std::string(limit)));
  };
  f(10'000, 2, "");
  f(10'001, 2, "more than 10000 series");
  f(200'000, 16, "");
  f(200'000, 15, "more than 187500 series in 2.9 MiB");
  f(1'000'000, 2, "more than 125000 series");
  f(1'000'001, 17, "more than 1000000 series");
}

TEST_P(BothSchemas, TheNumberOfHistogramsIsInProportionToTheRequest) {
  const auto scan_of = [](size_t count) {
    std::string histograms;
    for (size_t i = 0; i < count; ++i) histograms += BytesField(GetParam() == Schema::kV1 ? 4 : 3, "");
    const std::string request = GetParam() == Schema::kV2 ? BytesField(4, "") : "";
    RequestScan scan;
    return scan.Scan(GetParam(), request + BytesField(GetParam() == Schema::kV1 ? 1 : 5, histograms), kHasher);
  };
  EXPECT_TRUE(scan_of(10'000));
  EXPECT_EQ(scan_of(10'001).error().code(), Errc::kTooLarge);
  EXPECT_THAT(scan_of(100'000).error().message(), HasSubstr("more than 12500 histograms"));
}

TEST_P(BothSchemas, AScanEndsAtTheBoundsOfItsCaller) {
  RequestEncoder encoder(GetParam());
  for (int i = 0; i < 100; ++i) encoder.Add(Series({{"__name__", format("m{}", i)}, {"a", std::string(100, 'x')}}));
  const std::string request = encoder.Finish();
  RequestScan scan;
  EXPECT_TRUE(scan.Scan(GetParam(), request, kHasher, {.series = 100}));
  EXPECT_EQ(scan.Scan(GetParam(), request, kHasher, {.series = 99}).error().code(), Errc::kTooLarge);
  const Status scanned = scan.Scan(GetParam(), request, kHasher, {.label_bytes = 10'000});
  EXPECT_EQ(scanned.has_value(), GetParam() == Schema::kV1) << "the labels of 1.0 are no larger than the request";
}

TEST_P(BothSchemas, AScanCanBeReused) {
  RequestScan scan;
  const std::string large = [&] {
    RequestEncoder encoder(GetParam());
    for (int i = 0; i < 1000; ++i) encoder.Add(Series({{"__name__", format("m{}", i)}}));
    return encoder.Finish();
  }();
  const std::string small = Encode(GetParam(), Series({{"__name__", "m"}}));
  ASSERT_TRUE(scan.Scan(GetParam(), large, kHasher));
  EXPECT_EQ(scan.series().size(), 1000U);
  ASSERT_TRUE(scan.Scan(GetParam(), small, kHasher));
  EXPECT_EQ(scan.series().size(), 1U);
}

INSTANTIATE_TEST_SUITE_P(RemoteWrite, BothSchemas, testing::Values(Schema::kV1, Schema::kV2),
                         [](const auto& schema) { return schema.param == Schema::kV1 ? "V1" : "V2"; });

std::string V1(const std::string& series) { return BytesField(1, series); }

TEST(RemoteWriteV1, ReadsLabelsAfterSamples) {
  const std::string name = LabelField("__name__", "m");
  const std::string a = LabelField("a", "1");
  auto f = [](const std::string& series, bool has_key) {
    const Reading reading = ReadBothWays(Schema::kV1, V1(series));
    EXPECT_EQ(reading.identity, R"(m{a="1"})");
    EXPECT_EQ(reading.has_key, has_key);
  };
  f(name + a + SampleField(), true);
  f(SampleField() + name + a, true);
  f(name + SampleField() + a, false);  // its first labels alone are another series
  f(name + VarintField(9, 1) + a + SampleField(), false);
  f(name + PaddedVarint(0x0a) + a.substr(1) + SampleField(), false);
}

TEST(RemoteWriteV1, UnusualEncodingsAreTheSameSeries) {
  const std::string name = LabelField("__name__", "m");
  const std::string inside = BytesField(1, "a") + BytesField(2, "1");
  auto f = [&](const std::string& label) {
    const Reading reading = ReadBothWays(Schema::kV1, V1(name + label + SampleField()));
    EXPECT_EQ(reading.identity, R"(m{a="1"})");
    EXPECT_TRUE(reading.has_key);
  };
  f("\x0a" + PaddedVarint(inside.size()) + inside);
  f(BytesField(1, BytesField(2, "1") + BytesField(1, "a")));
  f(BytesField(1, inside + VarintField(3, 1)));
  f(BytesField(1, BytesField(1, "x") + inside));  // the last one counts
  f(BytesField(1, "\x0a" + PaddedVarint(1) + "a" + BytesField(2, "1")));
}

TEST(RemoteWriteV1, RefusesMalformedLabels) {
  const std::string name = LabelField("__name__", "m");
  auto f = [&](const std::string& label) {
    EXPECT_EQ(ReadBothWays(Schema::kV1, V1(name + BytesField(1, label) + SampleField())).identity,
              "refused: malformed_labels");
  };
  f("\x0a\x05x");
  f("\x08\x01");
  f("\x0b");
}

TEST(RemoteWriteV1, ReadsMetadata) {
  RequestEncoder encoder(Schema::kV1);
  const model::MetricMetadata http{"http_requests_total", "counter", "Requests.", "requests"};
  encoder.AddMetadata(http);
  encoder.AddMetadata({"x", "stateset", "", ""});
  // Fields 11 and 12 are VictoriaMetrics' own; a type beyond the enumeration is unknown.
  const std::string request = encoder.Finish() + BytesField(3, VarintField(1, 42) + BytesField(2, "y") +
                                                                   VarintField(11, 7) + VarintField(12, 1));
  EXPECT_EQ(FirstDisagreement(Schema::kV1, request, {}), "");
  RequestScan scan;
  ASSERT_TRUE(scan.Scan(Schema::kV1, request, kHasher));
  ASSERT_EQ(scan.metadata().size(), 3U);
  EXPECT_EQ(Decode(scan, 0), http);
  EXPECT_EQ(Decode(scan, 1)->type, "stateset");
  EXPECT_EQ(Decode(scan, 2)->type, "unknown");
  EXPECT_NE(scan.metadata()[0].hash, scan.metadata()[1].hash);
}

TEST(RemoteWriteV1, ScansKeysFirstAndExaminesTheRestWhenAsked) {
  const std::string labels = LabelField("__name__", "m") + LabelField("job", "j");
  auto f = [&](const std::string& series, bool examined, bool good) {
    const std::string request = BytesField(1, series);
    EXPECT_EQ(FirstDisagreement(Schema::kV1, request, {}), "");
    RequestScan scan;
    const Status scanned = scan.Scan(Schema::kV1, request, kHasher, {.depth = Depth::kKeysFirst});
    EXPECT_EQ(scanned.has_value(), good || !examined);
    if (!scanned) return;
    EXPECT_EQ(scan.series()[0].examined, examined) << testing::PrintToString(series);
    const uint32_t first = 0;
    EXPECT_EQ(scan.Examine({&first, 1}, kHasher).has_value(), good);
    if (!good) return;
    EXPECT_TRUE(scan.series()[0].examined);
    EXPECT_EQ(scan.keys()[0], kHasher(labels));
  };
  f(labels + SampleField(), false, true);
  f(labels + SampleField(kStale), false, true);
  f(labels + SampleField() + SampleField(2), true, true);
  f(labels + BytesField(2, VarintField(2, 1700000000000)), true, true);  // the value 0
  f(labels + VarintField(9, 1) + SampleField(), false, true);
  f(labels + BytesField(3, "") + SampleField(), false, true);
  f("\x0a\x7f" + labels + SampleField(), false, false);
  f("\x0b" + labels + SampleField(), false, false);
  f(labels + SampleField() + "\x0b", true, false);
}

TEST(RemoteWriteV1, RefusesSingleMetadataEntries) {
  auto f = [](const model::MetricMetadata& metadata, const SeriesLimits& limits, Errc code) {
    RequestEncoder encoder(Schema::kV1);
    encoder.AddMetadata(metadata);
    const std::string request = encoder.Finish();
    RequestScan scan;
    ASSERT_TRUE(scan.Scan(Schema::kV1, request, kHasher));
    EXPECT_EQ(Decode(scan, 0, limits).error().code(), code);
    EXPECT_EQ(FirstDisagreement(Schema::kV1, request, limits), "");
  };
  f({"\xff", "", "", ""}, {}, Errc::kInvalid);
  f({"m", "", "\xff", ""}, {}, Errc::kInvalid);
  f({"m", "", std::string(100, 'x'), ""}, {.max_series_bytes = 99}, Errc::kTooLarge);
  f({std::string(11, 'x'), "", "", ""}, {.max_value_bytes = 10}, Errc::kTooLarge);
}

// A 2.0 request with the symbols "", "__name__", "m", "a", "1" and one series.
std::string V2(const std::string& series) {
  std::string request;
  for (const char* symbol : {"", "__name__", "m", "a", "1"}) request += BytesField(4, symbol);
  return request + BytesField(5, series);
}

TEST(RemoteWriteV2, ReadsReferencesInEveryEncoding) {
  auto f = [](const std::string& references, bool has_key) {
    const Reading reading = ReadBothWays(Schema::kV2, V2(references + SampleField() + VarintField(6, 1)));
    EXPECT_EQ(reading.identity, R"(m{a="1"})");
    EXPECT_EQ(reading.has_key, has_key);
  };
  f(BytesField(1, "\x01\x02\x03\x04"), true);
  f(BytesField(1, "\x03\x04\x01\x02"), true);
  f(BytesField(1, std::string("\x81\x00\x02\x03\x04", 5)), true);
  f(VarintField(1, 1) + VarintField(1, 2) + VarintField(1, 3) + VarintField(1, 4), false);
  f(BytesField(1, "\x01\x02") + BytesField(1, "\x03\x04"), false);
  f(BytesField(1, "\x01") + VarintField(1, 2) + BytesField(1, "\x03\x04"), false);
}

TEST(RemoteWriteV2, RefusesSeriesWithBadReferences) {
  auto f = [](const std::string& references) {
    const Reading reading = ReadBothWays(Schema::kV2, V2(references + SampleField()));
    EXPECT_EQ(reading.identity, "refused: bad_reference");
    EXPECT_EQ(reading.series.refusal, Refusal::kBadReference);
    EXPECT_THAT(reading.why, HasSubstr("an odd number of label references, or one beyond the 5 symbols"));
  };
  f(BytesField(1, "\x01\x02\x03"));
  f(BytesField(1, "\x01\x02\x03\x05"));
  f(BytesField(1, "\x05\x02"));
  f(BytesField(1, Varint(UINT32_MAX) + Varint(UINT32_MAX)));
  f(VarintField(1, 1));
  f(VarintField(1, 1) + VarintField(1, 77));
}

TEST(RemoteWriteV2, TheNumberOfSymbolsIsInProportionToTheRequest) {
  const auto scan_of = [](size_t count, std::string_view symbol) {
    std::string request = BytesField(4, "");
    for (size_t i = 1; i < count; ++i) request += BytesField(4, symbol);
    return RequestScan().Scan(Schema::kV2, request, kHasher);
  };
  EXPECT_TRUE(scan_of(10'000, ""));
  EXPECT_THAT(scan_of(10'001, "").error().message(), HasSubstr("more than 10000 symbols"));
  EXPECT_TRUE(scan_of(100'000, "abc"));
  EXPECT_THAT(scan_of(100'000, "a").error().message(), HasSubstr("more than 74999 symbols"));
}

TEST(RemoteWriteV2, RefusesRequestsWithAnInvalidSymbolTable) {
  auto f = [](const std::string& request) {
    EXPECT_EQ(ReadBothWays(Schema::kV2, request).identity, "request refused");
  };
  const std::string series = BytesField(5, BytesField(1, "") + SampleField());
  f(series);
  f(BytesField(4, "x") + series);
  f(BytesField(4, "x"));
  f(BytesField(4, "") + BytesField(5, BytesField(1, "\x80") + SampleField()));  // a reference cut short
  f(V2(BytesField(1, "\x80") + VarintField(1, 2) + SampleField()));             // in the first of two pieces
  f(V2(VarintField(1, 2) + BytesField(1, "\x01\x80") + SampleField()));
}

TEST(RemoteWriteV2, ReadsSymbolsAfterTheSeries) {
  const std::string request = V2(BytesField(1, "\x01\x02\x03\x04") + SampleField());
  const size_t symbols = request.find("\x2a");
  EXPECT_EQ(ReadBothWays(Schema::kV2, request.substr(symbols) + request.substr(0, symbols)).identity, R"(m{a="1"})");
}

TEST(RemoteWriteV2, ReadsSymbolsWithPaddedLengths) {
  std::string request = BytesField(4, "");
  for (const char* symbol : {"__name__", "m"}) request += "\x22" + PaddedVarint(strlen(symbol)) + symbol;
  EXPECT_EQ(ReadBothWays(Schema::kV2, request + BytesField(5, BytesField(1, "\x01\x02") + SampleField())).identity,
            "m{}");
}

TEST(RemoteWriteV2, RefusesOnlyTheItemsWithBadReferences) {
  auto f = [](const std::string& item, uint64_t refused, std::string_view why) {
    const std::string request = V2(BytesField(1, "\x01\x02") + SampleField() + item);
    EXPECT_EQ(FirstDisagreement(Schema::kV2, request, {}), "");
    RequestScan scan;
    ASSERT_TRUE(scan.Scan(Schema::kV2, request, kHasher));
    EXPECT_EQ(scan.refused_items(), refused);
    EXPECT_THAT(scan.first_refused_item(), HasSubstr(std::string(why)));
    EXPECT_EQ(scan.series()[0].refusal, Refusal::kNone);
    EXPECT_EQ(scan.series()[0].exemplars, 0U);
  };
  f(BytesField(4, BytesField(1, "\x03\x05")), 1, "an exemplar refers to a symbol beyond the 5");
  f(BytesField(4, BytesField(1, "\x03")), 1, "an odd number of label references (1)");
  f(BytesField(5, VarintField(3, 9)), 1, "metadata refers to symbol 9 of 5");
  f(BytesField(5, VarintField(4, 5)), 1, "metadata refers to symbol 5 of 5");
  f(BytesField(5, VarintField(1, 1) + VarintField(3, 4)), 0, "");
}

TEST(RemoteWriteV2, MetadataHasTheSameHashInEveryRequest) {
  auto encode = [](std::string_view first) {
    RequestEncoder encoder(Schema::kV2);
    for (const std::string_view name : {first, std::string_view("b"), std::string_view("b"), std::string_view("c")}) {
      WireSeries series = Series({{"__name__", std::string(name)}});
      if (name != "c") series.metadata = model::MetricMetadata{"", "gauge", "Help of " + std::string(name), "s"};
      encoder.Add(series);
    }
    return encoder.Finish();
  };
  const std::string request = encode("a");
  const std::string other = encode("zzz");
  RequestScan scan;
  ASSERT_TRUE(scan.Scan(Schema::kV2, request, kHasher));
  ASSERT_EQ(scan.metadata().size(), 2U);  // the second b repeats the first, c has none
  EXPECT_EQ(Decode(scan, 0), (model::MetricMetadata{"a", "gauge", "Help of a", "s"}));
  EXPECT_EQ(Decode(scan, 1), (model::MetricMetadata{"b", "gauge", "Help of b", "s"}));
  const uint64_t hash_of_b = scan.metadata()[1].hash;
  ASSERT_TRUE(scan.Scan(Schema::kV2, other, kHasher));
  EXPECT_EQ(scan.metadata()[1].hash, hash_of_b);
  EXPECT_NE(scan.metadata()[0].hash, hash_of_b);
}

// Senders go from target to target, each with the same families.
TEST(RemoteWriteV2, ListsTheMetadataOfANameOncePerRequest) {
  const auto scan_of = [](const std::vector<std::pair<std::string, std::string>>& names_and_helps) {
    RequestEncoder encoder(Schema::kV2);
    for (const auto& [name, help] : names_and_helps) {
      WireSeries series = Series({{"__name__", name}});
      series.metadata = model::MetricMetadata{"", "gauge", help, ""};
      encoder.Add(series);
    }
    const std::string request = encoder.Finish();
    EXPECT_EQ(FirstDisagreement(Schema::kV2, request, {}), "");
    RequestScan scan;
    EXPECT_TRUE(scan.Scan(Schema::kV2, request, kHasher));
    return scan.metadata().size();
  };
  EXPECT_EQ(scan_of({{"a", "x"}, {"b", "x"}, {"a", "x"}, {"b", "x"}, {"a", "x"}}), 2U);
  EXPECT_EQ(scan_of({{"a", "x"}, {"a", "y"}, {"b", "x"}}), 3U);
}

// Two families: a native histogram has the name of its family, and `_count` belongs to a classic one.
TEST(RemoteWriteV2, ListsTheMetadataOfNativeAndClassicHistogramsWithOneName) {
  RequestEncoder encoder(Schema::kV2);
  for (const bool is_native : {true, false}) {
    WireSeries series = Series({{"__name__", "x_count"}});
    if (is_native) series.histograms.resize(1);
    series.metadata = model::MetricMetadata{"", "histogram", "Help.", ""};
    encoder.Add(series);
  }
  const std::string request = encoder.Finish();
  EXPECT_EQ(FirstDisagreement(Schema::kV2, request, {}), "");
  RequestScan scan;
  ASSERT_TRUE(scan.Scan(Schema::kV2, request, kHasher));
  ASSERT_EQ(scan.metadata().size(), 2U);
  EXPECT_EQ(Decode(scan, 0)->family, "x_count");
  EXPECT_EQ(Decode(scan, 1)->family, "x");
}

TEST(RemoteWriteV2, FilesMetadataUnderTheFamilyThatItsTypeAndNameTell) {
  std::map<std::pair<std::string, std::string>, uint64_t> hashes;  // so known metadata of a family is not decoded again
  auto f = [&](const char* type, const char* name, const char* family, bool is_native = false) {
    RequestEncoder encoder(Schema::kV2);
    WireSeries series = Series({{"__name__", name}});
    if (is_native) series.histograms.resize(1);
    series.metadata = model::MetricMetadata{"", type, "Help.", ""};
    encoder.Add(series);
    const std::string request = encoder.Finish();
    RequestScan scan;
    ASSERT_TRUE(scan.Scan(Schema::kV2, request, kHasher));
    EXPECT_EQ(Decode(scan, 0), (model::MetricMetadata{family, type, "Help.", ""}));
    const uint64_t hash = scan.metadata()[0].hash;
    EXPECT_EQ(hashes.try_emplace({type, family}, hash).first->second, hash) << name;
  };
  for (const char* name : {"x", "x_bucket", "x_sum", "x_count"}) f("histogram", name, "x");
  for (const char* name : {"x", "x_bucket", "x_gsum", "x_gcount"}) f("gaugehistogram", name, "x");
  for (const char* name : {"x", "x_sum", "x_count"}) f("summary", name, "x");
  for (const char* name : {"x", "x_info"}) f("info", name, "x");
  f("histogram", "x_sum_count", "x_sum");
  f("histogram", "x_count", "x_count", true);  // a native histogram has the name of its family
  f("histogram", "_count", "_count");
  f("histogram", "x_total", "x_total");
  f("summary", "x_bucket", "x_bucket");
  f("counter", "x_total", "x_total");
  f("counter", "x_count", "x_count");
  f("gauge", "x_sum", "x_sum");
  f("unknown", "x_bucket", "x_bucket");
}

// Series in the usual form, and with one thing that is not: in the references, in the sample, in the metadata, in
// between.
std::string RandomV2Request(std::mt19937& random) {
  const auto one_in = [&](uint32_t n) { return random() % n == 0; };
  const size_t symbols = one_in(20) ? 17'000 : one_in(3) ? 300 : 40;
  std::string request = BytesField(4, "");
  for (const char* symbol : {"__name__", "m", "m_bucket", "help"}) request += BytesField(4, symbol);
  for (size_t i = 5; i < symbols; ++i) request += BytesField(4, std::string(i % 19, static_cast<char>('a' + i % 26)));
  const auto reference = [&] { return static_cast<uint32_t>(random() % (one_in(200) ? 2 * symbols : symbols)); };
  const auto metadata = [&] {
    std::string fields = VarintField(1, random() % 8);
    if (one_in(2)) fields += VarintField(3, one_in(9) ? reference() : 4);
    if (one_in(4)) fields += VarintField(4, reference());
    return BytesField(5, one_in(9) ? "" : one_in(50) ? fields + "\x18" : fields);
  };
  const std::vector<std::string> between = {VarintField(6, 1700000000000),         // created timestamp
                                            BytesField(4, BytesField(1, "\1\2")),  // an exemplar
                                            BytesField(3, ""),
                                            BytesField(2, ""),
                                            BytesField(1, "\1\2"),
                                            VarintField(1, 1),
                                            SampleField(kStale)};
  for (int i = 0; i < 12; ++i) {
    std::string references = one_in(9) ? "" : Varint(1) + Varint(2 + random() % 2);
    for (size_t pairs = random() % 14; pairs > 0; --pairs) references += Varint(reference()) + Varint(reference());
    if (one_in(20)) references += one_in(2) ? "\x01" : one_in(2) ? "\x80" : std::string("\x81\0\x02", 3);
    std::string series = BytesField(1, references);
    if (one_in(9)) series += between[random() % between.size()];
    series += one_in(9) ? SampleField(one_in(2) ? 0 : kStale) : SampleField(2);
    if (one_in(9)) series += between[random() % between.size()];
    if (!one_in(3)) series += metadata();
    if (one_in(20)) series += between[random() % between.size()];
    if (one_in(100)) series.resize(random() % series.size());
    request += BytesField(5, series);
  }
  return request;
}

TEST(RemoteWriteV2, RandomRequestsAreReadAsByThePlainPath) {
  std::mt19937 random(12);
  FastPath path;
  size_t accepted = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::string request = RandomV2Request(random);
    ASSERT_EQ(FirstDisagreement(Schema::kV2, request, {}, path), "") << i;
    accepted += RequestScan().Scan(Schema::kV2, request, kHasher) ? 1 : 0;
  }
  EXPECT_GT(accepted, 300U);
  EXPECT_LT(accepted, 1000U);
}

// 300 series of 60 bytes refer to 15 labels of 4 KiB each: without a limit, any number of megabytes to copy and hash.
TEST(RemoteWriteV2, LimitsTheExpandedLabelsOfARequest) {
  const auto request_of = [](size_t count, const std::string& last) {
    std::string request = BytesField(4, "") + BytesField(4, std::string(4000, 'v'));
    std::string references;
    for (char c = 'a'; c < 'p'; ++c) {
      request += BytesField(4, std::string(1, c));
      references += Varint(static_cast<uint64_t>(c - 'a') + 2) + Varint(1);
    }
    const std::string series = BytesField(5, BytesField(1, references + last) + SampleField());
    for (size_t i = 0; i < count; ++i) request += series;
    return request;
  };
  const auto reading = [&](size_t count, const std::string& last) {
    RequestScan scan;
    const Status status = scan.Scan(Schema::kV2, request_of(count, last), kHasher);
    if (status) return std::string("read");
    EXPECT_EQ(status.error().code(), Errc::kTooLarge);
    EXPECT_THAT(status.error().message(), HasSubstr("limit 16 MiB"));
    return std::string("refused");
  };
  const std::string nowhere = Varint(77) + Varint(1);
  EXPECT_EQ(reading(250, ""), "read");
  EXPECT_EQ(reading(300, ""), "refused");
  EXPECT_EQ(reading(300, nowhere), "refused");  // what was in vain costs the same
  EXPECT_EQ(reading(300, Varint(2) + Varint(1)), "refused");
}

// Two bytes refer to a help text of 64 KiB, on every series: beyond the limit it is neither copied nor examined.
TEST(RemoteWriteV2, MetadataHasABudget) {
  RequestEncoder encoder(Schema::kV2);
  for (const char* name : {"a", "b", "c", "d"}) {
    WireSeries series = Series({{"__name__", name}});
    series.metadata = model::MetricMetadata{"", "gauge", std::string(99, name[0] == 'b' ? '\xff' : 'h'), ""};
    encoder.Add(series);
  }
  const std::string request = encoder.Finish();
  RequestScan scan;
  ASSERT_TRUE(scan.Scan(Schema::kV2, request, kHasher));
  MetadataBudget budget{.limit = 399};
  std::vector<Errc> refused;
  for (const ScannedMetadata& metadata : scan.metadata()) {
    const auto decoded = scan.Decode(metadata, {}, budget);
    if (!decoded) refused.push_back(decoded.error().code());
  }
  EXPECT_EQ(refused, (std::vector{Errc::kInvalid, Errc::kTooLarge}));  // what is no UTF-8 has been looked at as well
  EXPECT_EQ(budget.used, 300U);
}

// More than the key of the local hash has blocks for.
TEST(RemoteWriteV2, SeriesOfVeryManyReferencesHaveNoKey) {
  auto f = [](size_t labels, bool has_key) {
    std::string references;
    for (size_t i = 0; i < labels; ++i) references += "\x01\x02";
    const std::string request = BytesField(4, "") + BytesField(4, "__name__") + BytesField(4, "m") +
                                BytesField(5, BytesField(1, references) + SampleField());
    RequestScan scan;
    ASSERT_TRUE(scan.Scan(Schema::kV2, request, kHasher));
    EXPECT_EQ(scan.keys()[0] != model::Fingerprint(), has_key) << labels;
  };
  f(1, true);
  f(model::LocalHasher::kMaxSequence / 2, true);
  f(model::LocalHasher::kMaxSequence / 2 + 1, false);
}

// 60 bytes of references to one long symbol must not cost a gigabyte or minutes.
TEST(RemoteWriteV2, LongSymbolsAreNotCopiedPerReference) {
  std::string references;
  for (int i = 0; i < 200'000; ++i) references += "\x01\x02";
  const std::string request = BytesField(4, "") + BytesField(4, "__name__") + BytesField(4, std::string(1 << 20, 'x')) +
                              BytesField(5, BytesField(1, references) + SampleField());
  RequestScan scan;
  ASSERT_TRUE(scan.Scan(Schema::kV2, request, kHasher));
  Canonicaliser canonicalise;
  EXPECT_EQ(canonicalise(scan, scan.series()[0], {}).refusal, Refusal::kValueTooLong);
}

}  // namespace
}  // namespace mi::codec
