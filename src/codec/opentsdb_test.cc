#include "codec/opentsdb.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/format.h"
#include "model/identity.h"
#include "model/labels.h"

namespace mi::codec {
namespace {

using ::testing::HasSubstr;

OpenTsdbPoint One(std::string_view json, const SeriesLimits& limits = {}) {
  const auto points = ReadOpenTsdb(json, limits);
  if (!points || points->size() != 1) {
    ADD_FAILURE() << json << (points ? "" : points.error().message());
    return {};
  }
  return points->front();
}

std::string IdentityOf(std::string_view json) {
  const OpenTsdbPoint point = One(json);
  EXPECT_EQ(point.fault, "") << json;
  return model::FormatIdentity(model::LabelsView(point.canonical));
}

TEST(OpenTsdb, MetricAndTagsAreTheSeries) {
  EXPECT_EQ(
      IdentityOf(R"({"metric":"sys.cpu.nice","timestamp":1346846400,"value":18,"tags":{"host":"web01","dc":"lga"}})"),
      R"({"sys.cpu.nice",dc="lga",host="web01"})");
  EXPECT_EQ(IdentityOf(R"({"metric":"up","timestamp":1346846400123,"value":"1.5e3"})"), "up{}");
  EXPECT_EQ(
      IdentityOf(R"({"metric":"up","timestamp":"1346846400","value":-0.5,"tags":{"n":7,"on":true,"x":"\"\n平"}})"),
      R"(up{n="7",on="true",x="\"\n平"})");
}

TEST(OpenTsdb, ReadsOnePointAListOrTimeseries) {
  const auto count = [](std::string_view json) { return ReadOpenTsdb(json, {}).value().size(); };
  constexpr std::string_view kPoint = R"({"metric":"a","timestamp":1,"value":1})";
  EXPECT_EQ(count(kPoint), 1U);
  EXPECT_EQ(count(format("[{},{}]", kPoint, kPoint)), 2U);
  EXPECT_EQ(count(format(R"({{"timeseries":[{},{},{}]}})", kPoint, kPoint, kPoint)), 3U);
  EXPECT_EQ(count("[]"), 0U);
}

TEST(OpenTsdb, RefusesAPointWithAReasonAndAcceptsTheOthers) {
  const auto f = [](std::string_view json, std::string_view fault) {
    const OpenTsdbPoint point = One(json);
    EXPECT_THAT(point.fault, HasSubstr(std::string(fault))) << json;
    EXPECT_EQ(point.canonical, "");
  };
  f("{}", "Metric name");
  f("[7]", "not an object");
  f(R"({"metric":"","timestamp":1,"value":1})", "Metric name");
  f(R"({"metric":7,"timestamp":1,"value":1})", "Metric name");
  for (const char* timestamp : {"0", "-1", "\"\"", "\"now\"", "null", "1e300", "[]"}) {
    f(format(R"({{"metric":"a","timestamp":{},"value":1}})", timestamp), "timestamp");
  }
  f(R"({"metric":"a","value":1})", "timestamp");
  for (const char* value : {R"("NaN")", R"("inf")", R"("")", R"("1x")", "null", "true", "{}"}) {
    f(format(R"({{"metric":"a","timestamp":1,"value":{}}})", value), "Unable to parse value to a number");
  }
  const auto with_tags = [&](std::string_view tags, std::string_view fault) {
    f(format(R"({{"metric":"a","timestamp":1,"value":1,"tags":{}}})", tags), fault);
  };
  with_tags("[]", "not an object");
  with_tags(R"({"":"x"})", "cannot be called");
  with_tags(R"({"__name__":"x"})", "cannot be called");
  with_tags(R"({"a":""})", "is empty");
  with_tags(R"({"a":{}})", "neither");
  with_tags(R"({"a":null})", "neither");
  with_tags(R"({"a":"1","a":"2"})", "a");
  const auto points =
      ReadOpenTsdb(R"([{"metric":"a","timestamp":1,"value":1},{},{"metric":"b","timestamp":1,"value":1}])", {});
  ASSERT_EQ(points->size(), 3U);
  EXPECT_EQ((*points)[0].fault + (*points)[2].fault, "");
}

TEST(OpenTsdb, GivesEachRefusalAReason) {
  const auto f = [](std::string_view json, Refusal refusal) { EXPECT_EQ(One(json).refusal, refusal) << json; };
  const auto tagged = [](std::string_view tags) {
    return format(R"({{"metric":"a","timestamp":1,"value":1,"tags":{}}})", tags);
  };
  f(tagged(R"({"b":"c"})"), Refusal::kNone);
  f("[7]", Refusal::kMalformedPoint);
  f("{}", Refusal::kNoMetricName);
  f(R"({"metric":"a","timestamp":0,"value":1})", Refusal::kMalformedPoint);
  f(tagged(R"({"":"x"})"), Refusal::kEmptyName);
  f(tagged(R"({"a":"1","a":"2"})"), Refusal::kDuplicateName);
  f(tagged(R"({"__name__":"x"})"), Refusal::kDuplicateName);
  f(tagged(format(R"({{"a":"{}"}})", std::string(5000, 'x'))), Refusal::kValueTooLong);
  f(tagged(format(R"({{"{}":"a"}})", std::string(500, 'x'))), Refusal::kNameTooLong);
}

TEST(OpenTsdb, LimitsTheNumberOfPoints) {
  std::string body = "[1";
  for (size_t i = 1; i < kMaxPointsPerBody; ++i) body += ",1";
  EXPECT_EQ(ReadOpenTsdb(body + "]", {})->size(), kMaxPointsPerBody);
  for (const std::string& more : {body + ",1]", format(R"({{"timeseries":{},1]}})", body)}) {
    const auto points = ReadOpenTsdb(more, {});
    ASSERT_FALSE(points);
    EXPECT_EQ(points.error().code(), Errc::kTooLarge);
    EXPECT_THAT(points.error().message(), HasSubstr("100001 points, limit 100000"));
  }
}

TEST(OpenTsdb, NamesLimitValueAndOption) {
  const auto f = [](SeriesLimits limits, std::string_view knob) {
    const std::string json = R"({"metric":"metric","timestamp":1,"value":1,"tags":{"tagname":"tagvalue","other":"x"}})";
    EXPECT_THAT(One(json, limits).fault, HasSubstr(std::string(knob)));
  };
  f({.max_series_bytes = 10}, "receive.max_series_bytes");
  f({.max_labels = 2}, "more than 2 labels (receive.max_labels)");
  f({.max_name_bytes = 8, .max_value_bytes = 7}, "8 bytes, limit 7 (receive.max_value_bytes)");
  f({.max_name_bytes = 6}, "receive.max_name_bytes");
}

TEST(OpenTsdb, KeepsThePointUnchanged) {
  EXPECT_EQ(One(R"( { "metric" : "a" , "timestamp":1, "value": 0.1, "tags": {"b": "c"}, "more": [1, null] } )").json,
            R"({"metric":"a","timestamp":1,"value":0.1,"tags":{"b":"c"},"more":[1,null]})");
}

TEST(OpenTsdb, RefusesABodyWithoutPoints) {
  for (const std::string_view body : std::initializer_list<std::string_view>{
           {}, "", " ", "7", "\"x\"", "null", "{", "[1,", "{\"metric\":\"\xff\"}", "[] []"}) {
    const auto points = ReadOpenTsdb(body, {});
    ASSERT_FALSE(points) << body;
    EXPECT_EQ(points.error().code(), Errc::kInvalid);
  }
  EXPECT_FALSE(ReadOpenTsdb(std::string(100'000, '['), {}));
}

}  // namespace
}  // namespace mi::codec
