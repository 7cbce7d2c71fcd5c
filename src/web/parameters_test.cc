#include "web/parameters.h"

#include "base/time_text.h"

namespace mi::web {
namespace {

net::FormParameters Form(std::string_view encoded) { return net::FormParameters::Parse(encoded); }

TEST(Time, IsUnixSecondsWithFractionsOrRfc3339) {
  auto f = [](std::string_view text, int64_t ms) {
    const auto time = ParseTime(text);
    ASSERT_TRUE(time) << text;
    EXPECT_EQ(*time, ms) << text;
  };
  f("0", 0);
  f("1700000000", 1'700'000'000'000);
  f("1700000000.123", 1'700'000'000'123);
  f("+1.7e9", 1'700'000'000'000);
  f("-1.5", -1500);
  f("1e300", 9'200'000'000'000'000'000);
  f("2023-11-14T22:13:20Z", 1'700'000'000'000);
  f("2023-11-14T22:13:20.123456789Z", 1'700'000'000'123);
  f("2023-11-15T00:13:20+02:00", 1'700'000'000'000);
  f("2023-11-14T16:43:20.5-05:30", 1'700'000'000'500);
  f("1969-12-31T23:59:59.5Z", -500);
  f("2024-02-29T00:00:00Z", 1'709'164'800'000);
  f("-292273086-05-16T16:47:06Z", INT64_MIN);
  f("292277025-08-18T07:12:54.999999999Z", INT64_MAX);
}

TEST(Time, RefusesOtherText) {
  for (const std::string_view text :
       {"", "x", "1x", "NaN", "Inf", "2023-11-14", "2023-11-14T22:13:20", "2023-11-14 22:13:20Z",
        "2023-13-14T22:13:20Z", "2023-02-29T22:13:20Z", "2023-11-14T24:13:20Z", "2023-11-14T22:60:20Z",
        "2023-11-14T22:13:60Z", "2023-11-14T22:13:20.Z", "2023-11-14T22:13:20Zx", "2023-11-14T22:13:20+0200",
        "2023-00-14T22:13:20Z"}) {
    EXPECT_FALSE(ParseTime(text)) << text;
  }
}

TEST(Range, IsEmptyUnlessOneEndIsGiven) {
  EXPECT_EQ(*ReadRange(Form("")), std::nullopt);
  EXPECT_EQ(*ReadRange(Form("start=&end=")), std::nullopt);
  EXPECT_EQ(*ReadRange(Form("start=1")), (model::TimeRange{.start_ms = 1000}));
  EXPECT_EQ(*ReadRange(Form("end=2")), (model::TimeRange{.end_ms = 2000}));
  EXPECT_EQ(*ReadRange(Form("start=1&end=1")), (model::TimeRange{.start_ms = 1000, .end_ms = 1000}));
  EXPECT_EQ(*ReadRange(Form("start=2&end=1")), (model::TimeRange{.start_ms = 2000, .end_ms = 1000}));
  EXPECT_EQ(ReadRange(Form("start=x")).error().message,
            R"(invalid parameter "start": invalid time value for 'start': cannot parse "x" to a valid timestamp)");
}

TEST(Timeout, IsSecondsOrADuration) {
  using std::chrono::milliseconds;
  EXPECT_EQ(*ReadTimeout(Form("")), std::nullopt);
  EXPECT_EQ(*ReadTimeout(Form("timeout=")), std::nullopt);
  EXPECT_EQ(*ReadTimeout(Form("timeout=1.5")), milliseconds(1500));
  EXPECT_EQ(*ReadTimeout(Form("timeout=1m30s")), milliseconds(90'000));
  EXPECT_EQ(*ReadTimeout(Form("timeout=-1")), milliseconds(-1000));
  EXPECT_EQ(ReadTimeout(Form("timeout=soon")).error().message,
            R"(invalid parameter "timeout": cannot parse "soon" to a valid duration)");
}

TEST(Limit, IsAWholeNumberFromZero) {
  EXPECT_EQ(*ReadLimit(Form("")), 0U);
  EXPECT_EQ(*ReadLimit(Form("limit=")), 0U);
  EXPECT_EQ(*ReadLimit(Form("limit=0")), 0U);
  EXPECT_EQ(*ReadLimit(Form("limit=17")), 17U);
  EXPECT_EQ(ReadLimit(Form("limit=-1")).error().message, R"(invalid parameter "limit": limit must be non-negative)");
  EXPECT_EQ(ReadLimit(Form("limit=1.5")).error().message, R"(invalid parameter "limit": "1.5" is not a whole number)");
  EXPECT_FALSE(ReadLimit(Form("limit=99999999999999999999")));
}

TEST(Tenants, AreSeparatedByBarsAndFolded) {
  auto f = [](std::string_view text, std::vector<std::string> want) { EXPECT_EQ(*ParseTenants(text), want) << text; };
  f("a", {"a"});
  f("b|a|b", {"a", "b"});
  f("0", {""});
  f("0:0|7:0", {"", "7"});
  for (const std::string_view text : {"", "a|", "|a", "a||b", "a/b", "..", "a b"}) {
    EXPECT_FALSE(ParseTenants(text)) << text;
  }
}

TEST(UnescapeName, RestoresNamesThatDoNotFitIntoAPath) {
  auto f = [](std::string_view text, std::string_view want) { EXPECT_EQ(UnescapeName(text), want) << text; };
  f("job", "job");
  f("a_b__c", "a_b__c");
  f("U__a_2e_b", "a.b");
  f("U__a__b", "a_b");
  f("U___5e73__53F0_", "平台");
  f("U___1f600_x", "\xf0\x9f\x98\x80x");
  f("U__", "");
  // A name that is not well escaped stands for itself.
  for (const std::string_view text : {"U__a_", "U__a_2e", "U__a_zz_", "U___d800_", "U___110000_", "U___0000041_"}) {
    f(text, text);
  }
}

TEST(Selectors, AreBoundedInNumberAndInMemory) {
  std::string form;
  for (size_t i = 0; i <= kMaxSelectors; ++i) form += "match[]=up&";
  EXPECT_EQ(ReadSelectors(Form(form)).error().message,
            R"(invalid parameter "match[]": 1001 selectors are given, limit 1000)");
  form.clear();
  for (size_t i = 0; i < kMaxScans; ++i) form += R"(match[]={a%3D~"x.y"}&)";
  EXPECT_TRUE(ReadSelectors(Form(form)));
  EXPECT_EQ(ReadSelectors(Form(form + R"(match[]={a%3D~"x.y"})")).error().message,
            R"(invalid parameter "match[]": more than 64 regular expressions are given)");
  EXPECT_TRUE(ReadSelectors(Form(form + R"(match[]={a%3D~"x|y"})")));
  EXPECT_TRUE(ReadSelectors(Form(form + R"(match[]={a%3D~".%2B",b!~"x",c%3D~".*"})")));
  // Every pattern that must be compared with all values counts, compiled or not.
  EXPECT_FALSE(ReadSelectors(Form(form + R"(match[]={a%3D~"x.*"})")));
  EXPECT_FALSE(ReadSelectors(Form(form + R"(match[]={a%3D~"|x"})")));
  EXPECT_FALSE(ReadSelectors(Form(form + R"(match[]={a!~"x.%2B"})")));
}

// The last pattern is invalid. The error is that it is one too many, so it was not compiled.
TEST(Selectors, AreRefusedBeforeTheyAreCompiled) {
  std::string matchers;
  for (size_t i = 0; i < kMaxScans; ++i) matchers += R"(a%3D~"x.y",)";
  EXPECT_EQ(ReadSelectors(Form("match[]={" + matchers + R"(a%3D~"x("})")).error().message,
            R"(invalid parameter "match[]": more than 64 regular expressions are given)");
}

TEST(Expression, IsBounded) {
  EXPECT_EQ(*ReadExpression(Form("query=1%2B1")), "1+1");
  EXPECT_EQ(*ReadExpression(Form("")), "");
  EXPECT_TRUE(ReadExpression(Form("query=" + std::string(4096, '1'))));
  EXPECT_EQ(ReadExpression(Form("query=" + std::string(10'000, '1'))).error().message,
            R"(invalid parameter "query": is 9.8 KiB, limit 4 KiB)");
}

}  // namespace
}  // namespace mi::web
