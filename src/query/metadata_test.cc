#include "query/metadata.h"

#include "query/duration.h"
#include "query/fake_snapshot.h"

namespace mi::query {
namespace {

FakeSnapshot Fleet() {
  FakeSnapshot fleet;
  auto add = [&](const char* tenant, const char* family, const char* help) {
    fleet.AddMetadata({.tenant = model::Tenant::Parse(tenant).value(),
                       .metadata = {.family = family, .type = "counter", .help = help}});
  };
  add("", "b_total", "one");
  add("", "b_total", "two");
  add("t", "b_total", "one");
  add("t", "a_total", "three");
  return fleet;
}

std::string Write(const FoundMetadata& found) {
  std::string text;
  for (const auto& [family, entries] : found.families) {
    text += family + ":";
    for (const model::MetricMetadata& entry : entries) text += " " + entry.help;
    text += ";";
  }
  if (found.cut) text += " cut";
  return text;
}

TEST(Metadata, IsGivenByFamilyAndWhatTenantsSayAlikeOnce) {
  EXPECT_EQ(Write(Metadata(Fleet(), {})), "a_total: three;b_total: one two;");
  EXPECT_EQ(Write(Metadata(Fleet(), {.tenants = {""}})), "b_total: one two;");
  EXPECT_EQ(Write(Metadata(Fleet(), {.family = "a_total"})), "a_total: three;");
  EXPECT_EQ(Write(Metadata(Fleet(), {.family = "nothing"})), "");
}

TEST(Metadata, KeepsToItsLimits) {
  EXPECT_EQ(Write(Metadata(Fleet(), {.limit = 1})), "a_total: three; cut");
  EXPECT_EQ(Write(Metadata(Fleet(), {.limit = 0})), " cut");
  EXPECT_EQ(Write(Metadata(Fleet(), {.limit = 2, .limit_per_family = 2})), "a_total: three;b_total: one two;");
  EXPECT_EQ(Write(Metadata(Fleet(), {.limit_per_family = 1})), "a_total: three;b_total: one; cut");
}

// One sender may make as many statements about a family as fit its requests.
TEST(Metadata, TakesAsManyDifferentStatementsAsThereAre) {
  FakeSnapshot fleet;
  for (int i = 0; i < 200'000; ++i) {
    fleet.AddMetadata(
        {.metadata = {.family = "a", .type = "counter", .help = "the same beginning " + std::to_string(i)}});
  }
  EXPECT_EQ(Metadata(fleet, {}).families.at("a").size(), 200'000);
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
