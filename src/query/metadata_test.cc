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
  std::string family;
  for (const model::MetricMetadata* entry : found.entries) {
    if (entry->family != family) text += std::exchange(family, entry->family).empty() ? "" : ";";
    if (text.empty() || text.ends_with(';')) text += family + ":";
    text += " " + entry->help;
  }
  if (!text.empty()) text += ";";
  if (found.cut) text += " cut";
  return text;
}

std::string Ask(const MetadataQuestion& question) {
  const FakeSnapshot fleet = Fleet();
  return Write(Metadata(fleet, question));
}

TEST(Metadata, IsGroupedByFamilyWithEqualEntriesOnce) {
  EXPECT_EQ(Ask({}), "a_total: three;b_total: one two;");
  EXPECT_EQ(Ask({.tenants = {""}}), "b_total: one two;");
  EXPECT_EQ(Ask({.family = "a_total"}), "a_total: three;");
  EXPECT_EQ(Ask({.family = "nothing"}), "");
}

TEST(Metadata, RespectsItsLimits) {
  EXPECT_EQ(Ask({.limit = 1}), "a_total: three; cut");
  EXPECT_EQ(Ask({.limit = 0}), " cut");
  EXPECT_EQ(Ask({.limit = 2, .limit_per_family = 2}), "a_total: three;b_total: one two;");
  EXPECT_EQ(Ask({.limit_per_family = 1}), "a_total: three;b_total: one; cut");
}

// Counts the families that are visited.
class VisitCounter final : public FakeSnapshot {
 public:
  void ForEachMetadata(std::span<const std::string> tenants,
                       const std::function<bool(const store::StoredMetadata&)>& visit) const override {
    FakeSnapshot::ForEachMetadata(tenants, [&](const store::StoredMetadata& stored) {
      ++visited;
      return visit(stored);
    });
  }
  mutable int visited = 0;
};

TEST(Metadata, EndsTheWalkAtTheLimitAndWhenItsBoundsAreExceeded) {
  VisitCounter fleet;
  for (int i = 0; i < 100; ++i) fleet.AddMetadata({.metadata = {.family = "f" + std::to_string(i)}});
  EXPECT_EQ(Metadata(fleet, {.limit = 3}).entries.size(), 3);
  EXPECT_EQ(std::exchange(fleet.visited, 0), 4);
  const std::atomic<bool> stopping = true;
  MemoryBudget memory(1 << 20);
  const SystemClock clock;
  Bounds bounds(clock, {.deadline = std::chrono::steady_clock::time_point::max(), .stopping = stopping},
                MemoryHold(memory));
  EXPECT_THAT(Metadata(fleet, {.bounds = &bounds}).entries, testing::IsEmpty());
  EXPECT_EQ(fleet.visited, 1);
}

// A sender decides how many different entries a family has.
TEST(Metadata, HandlesManyEntriesOfOneFamily) {
  FakeSnapshot fleet;
  for (int i = 0; i < 200'000; ++i) {
    fleet.AddMetadata(
        {.metadata = {.family = "a", .type = "counter", .help = "the same beginning " + std::to_string(i)}});
  }
  EXPECT_EQ(Metadata(fleet, {}).entries.size(), 200'000);
}

}  // namespace
}  // namespace mi::query
