#include "query/scalar.h"

#include <cmath>

namespace mi::query {
namespace {

constexpr int64_t kNowMs = 1'700'000'000'123;

TEST(Scalar, UsesPrometheusPrecedences) {
  auto f = [](std::string_view in, double want) {
    const auto value = Evaluate(in, kNowMs);
    ASSERT_TRUE(value) << in << ": " << value.error().message;
    EXPECT_DOUBLE_EQ(value->number, want) << in;
    EXPECT_FALSE(value->is_vector) << in;
  };
  f("1", 1);
  f("1+1", 2);
  f(" 1 +\n1 ", 2);
  f("1 - 2 - 3", -4);
  f("2 + 3 * 4", 14);
  f("(2 + 3) * 4", 20);
  f("2 ^ 3 ^ 2", 512);
  f("-2 ^ 2", -4);
  f("2 ^ -1", 0.5);
  f("2 * -3", -6);
  f("7 % 4", 3);
  f("- - 1", 1);
  f("0x1F", 31);
  f("1e3 + 1E-1 + .5", 1000.6);
  f("5m", 300);
  f("time()", 1'700'000'000.123);
  f("scalar(vector(3)) + pi() - pi()", 3);
  f("1 / 0", INFINITY);
  f("-Inf", -INFINITY);
  EXPECT_TRUE(std::isnan(Evaluate("NaN", kNowMs)->number));
}

TEST(Scalar, MakesVectorsOfOneElement) {
  auto f = [](std::string_view in, double want) {
    const auto value = Evaluate(in, kNowMs);
    ASSERT_TRUE(value) << in << ": " << value.error().message;
    EXPECT_DOUBLE_EQ(value->number, want) << in;
    EXPECT_TRUE(value->is_vector) << in;
  };
  f("vector(1)", 1);
  f("vector(1) + 1", 2);
  f("2 * vector(time())", 3'400'000'000.246);
}

TEST(Scalar, RefusesWhatNeedsSamples) {
  for (const std::string_view in : {"up", "up{a='x'}", "{a='x'}", "rate(up[5m])", "sum(up)", "1 + up", "1 > bool 0",
                                    "count by (job) (up)", "'text'", "absent(up)", "1 offset 5m"}) {
    const auto value = Evaluate(in, kNowMs);
    ASSERT_FALSE(value) << in;
    EXPECT_EQ(value.error().kind, ParseError::Kind::kNeedsSamples) << in;
  }
}

TEST(Scalar, ReportsThePositionOfASyntaxError) {
  auto f = [](std::string_view in, std::string_view message) {
    const auto value = Evaluate(in, kNowMs);
    ASSERT_FALSE(value) << in;
    EXPECT_EQ(value.error().kind, ParseError::Kind::kInvalid) << in;
    EXPECT_EQ(value.error().message, message);
  };
  f("", "1:1: parse error: no expression found in input");
  f("1+", "1:3: parse error: unexpected end of input");
  f("(1", "1:3: parse error: unclosed left parenthesis");
  f("1)", "1:2: parse error: unexpected ')'");
  f("*1", "1:1: parse error: unexpected '*'");
  f("1 + 1x", R"(1:7: parse error: bad number or duration syntax: "1x")");
  f("1.2.3", R"(1:6: parse error: bad number or duration syntax: "1.2.3")");
  f("vector(vector(1))", R"(1:18: parse error: expected type scalar in call to function "vector", got instant vector)");
}

TEST(Scalar, BoundsTheDepthOfTheRecursion) {
  for (const std::string_view piece : {"(", "-", "2^", "vector("}) {
    std::string deep;
    for (int i = 0; i < 200'000; ++i) deep += piece;
    EXPECT_FALSE(Evaluate(deep + "1", kNowMs)) << piece;
  }
}

TEST(Duration, IsReadAsPrometheusWritesIt) {
  auto f = [](std::string_view text, int64_t ms) {
    const auto duration = ParseDuration(text);
    ASSERT_TRUE(duration) << text;
    EXPECT_EQ(duration->count(), ms) << text;
  };
  f("0", 0);
  f("15s", 15'000);
  f("1h30m", 5'400'000);
  f("1m500ms", 60'500);
  f("1y2w3d", (365 + 14 + 3) * 86'400'000LL);
  for (const std::string_view text : {"", "5", "m", "5x", "-5m", "30m1h", "1s1s", "1.5h", "300000000000y", "5 m"}) {
    EXPECT_FALSE(ParseDuration(text)) << text;
  }
}

}  // namespace
}  // namespace mi::query
