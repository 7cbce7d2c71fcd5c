#include "net/http.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace mi::net {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Optional;

class Nothing final : public Handler {
 public:
  HeadDecision Head(const Request&) override { return {}; }
};

class RouterTest : public ::testing::Test {
 protected:
  void Add(std::string_view pattern) { router_.Add(pattern, Role::kRead, handlers_[std::string(pattern)]); }
  std::string Found(std::string_view path) {
    const Router::Endpoint* const found = router_.Find(path);
    if (found == nullptr) return "nothing";
    EXPECT_EQ(found->handler, &handlers_[found->pattern]);
    return found->pattern;
  }
  std::map<std::string, Nothing> handlers_;
  Router router_;
};

TEST_F(RouterTest, FindsExactPathsOnly) {
  Add("/");
  Add("/api/v1/write");
  EXPECT_EQ(Found("/api/v1/write"), "/api/v1/write");
  EXPECT_EQ(Found("/"), "/");
  EXPECT_EQ(Found("/api/v1"), "nothing");
  EXPECT_EQ(Found("/api/v1/write/"), "nothing");
  EXPECT_EQ(Found("/api/v1/writes"), "nothing");
  EXPECT_EQ(Found("/API/v1/write"), "nothing");
  EXPECT_EQ(Found(""), "/");
}

TEST_F(RouterTest, TakesOneSegmentForAName) {
  Add("/api/v1/label/{name}/values");
  EXPECT_EQ(Found("/api/v1/label/job/values"), "/api/v1/label/{name}/values");
  EXPECT_EQ(Found("/api/v1/label//values"), "nothing");
  EXPECT_EQ(Found("/api/v1/label/a/b/values"), "nothing");
}

TEST_F(RouterTest, TakesAnyRestForAStar) {
  Add("/select/{tenant}/prometheus/*");
  EXPECT_EQ(Found("/select/0/prometheus/api/v1/series"), "/select/{tenant}/prometheus/*");
  EXPECT_EQ(Found("/select/0/prometheus/"), "/select/{tenant}/prometheus/*");
  EXPECT_EQ(Found("/select/0/prometheus"), "nothing");
}

TEST_F(RouterTest, PrefersTheMostSpecificWhateverTheOrder) {
  for (const std::string_view pattern :
       {"/*", "/a/*", "/a/{x}", "/a/b", "/a/{x}/c", "/a/b/*", "/{x}/b", "/insert/{t}/prometheus", "/insert/{t}/*"}) {
    Add(pattern);
  }
  EXPECT_EQ(Found("/a/b"), "/a/b");
  EXPECT_EQ(Found("/a/z"), "/a/{x}");
  EXPECT_EQ(Found("/a/z/c"), "/a/{x}/c");
  EXPECT_EQ(Found("/a/b/c/d"), "/a/b/*");
  EXPECT_EQ(Found("/a/z/d"), "/a/*");
  EXPECT_EQ(Found("/z/b"), "/{x}/b");
  EXPECT_EQ(Found("/z"), "/*");
  EXPECT_EQ(Found("/insert/7/prometheus"), "/insert/{t}/prometheus");
  EXPECT_EQ(Found("/insert/7/prometheus/api"), "/insert/{t}/*");
}

TEST(SegmentBehind, IsWhatStandsBetweenThePrefixAndTheNextSlash) {
  EXPECT_EQ(SegmentBehind("/select/", "/select/7:1/prometheus"), "7:1");
  EXPECT_EQ(SegmentBehind("/select/", "/select/7"), "7");
  EXPECT_EQ(SegmentBehind("/select/", "/select/7%3A1%2f/prometheus"), "7:1/");
  EXPECT_EQ(SegmentBehind("/select/", "/selected/7"), std::nullopt);
}

TEST(DecodeForm, DecodesEscapesAndPlus) {
  EXPECT_EQ(DecodeForm("a%20b+c"), "a b c");
  EXPECT_EQ(DecodeForm("%7Bjob%3d%22x%22%7d"), "{job=\"x\"}");
  EXPECT_EQ(DecodeForm("%00"), std::string_view("\0", 1));
  EXPECT_EQ(DecodeForm("100%"), "100%");
  EXPECT_EQ(DecodeForm("%4"), "%4");
  EXPECT_EQ(DecodeForm("%zz%4g"), "%zz%4g");
  EXPECT_EQ(DecodePath("a%2Fb+c"), "a/b+c");
}

TEST(FormParameters, KeepsOrderAndRepeats) {
  FormParameters parameters = FormParameters::Parse("match[]=up&limit=5&match%5B%5D=%7Ba%3D%22b%22%7D");
  parameters.Append("limit=6&&flag&=x&empty=");
  EXPECT_THAT(parameters.All("match[]"), ElementsAre("up", "{a=\"b\"}"));
  EXPECT_THAT(parameters.First("limit"), Optional(std::string_view("5")));
  EXPECT_THAT(parameters.First("flag"), Optional(std::string_view("")));
  EXPECT_THAT(parameters.First("empty"), Optional(std::string_view("")));
  EXPECT_THAT(parameters.First("absent"), std::nullopt);
  EXPECT_THAT(parameters.All("absent"), IsEmpty());
}

TEST(FormParameters, KeepsEqualSignsOfValues) {
  EXPECT_THAT(FormParameters::Parse("q=a=b").First("q"), Optional(std::string_view("a=b")));
}

TEST(Reply, AnswersOnceAndNeverTwice) {
  std::vector<int> statuses;
  const auto record = [&](const Response& response) { statuses.push_back(response.status); };
  {
    Reply answered(record);
    answered({.status = 204});
    const Reply forgotten(record);
    Reply moved_from(record);
    Reply moved_to(std::move(moved_from));
    moved_to({.status = 201});
  }
  EXPECT_THAT(statuses, ElementsAre(204, 201, 500));
}

}  // namespace
}  // namespace mi::net
