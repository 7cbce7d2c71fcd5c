#include "query/metadata.h"

#include "query/testing/fake_snapshot.h"

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

TEST(Metadata, IsGroupedByFamilyWithEqualEntriesOnce) {
  EXPECT_EQ(Write(Metadata(Fleet(), {})), "a_total: three;b_total: one two;");
  EXPECT_EQ(Write(Metadata(Fleet(), {.tenants = {""}})), "b_total: one two;");
  EXPECT_EQ(Write(Metadata(Fleet(), {.family = "a_total"})), "a_total: three;");
  EXPECT_EQ(Write(Metadata(Fleet(), {.family = "nothing"})), "");
}

TEST(Metadata, RespectsItsLimits) {
  EXPECT_EQ(Write(Metadata(Fleet(), {.limit = 1})), "a_total: three; cut");
  EXPECT_EQ(Write(Metadata(Fleet(), {.limit = 0})), " cut");
  EXPECT_EQ(Write(Metadata(Fleet(), {.limit = 2, .limit_per_family = 2})), "a_total: three;b_total: one two;");
  EXPECT_EQ(Write(Metadata(Fleet(), {.limit_per_family = 1})), "a_total: three;b_total: one; cut");
}

// A sender decides how many different entries a family has.
TEST(Metadata, HandlesManyEntriesOfOneFamily) {
  FakeSnapshot fleet;
  for (int i = 0; i < 200'000; ++i) {
    fleet.AddMetadata(
        {.metadata = {.family = "a", .type = "counter", .help = "the same beginning " + std::to_string(i)}});
  }
  EXPECT_EQ(Metadata(fleet, {}).families.at("a").size(), 200'000);
}

}  // namespace
}  // namespace mi::query
