#include "query/select.h"

#include <random>

#include "base/format.h"
#include "query/testing/fake_snapshot.h"

namespace mi::query {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Scope Of(std::vector<std::string> selectors) {
  Scope scope;
  for (const std::string& selector : selectors) scope.selectors.push_back(ParseSelector(selector).value());
  return scope;
}

std::vector<catalog::Ordinal> List(const catalog::SeriesSet& set) {
  std::vector<catalog::Ordinal> list;
  set.ForEach([&](catalog::Ordinal ordinal) {
    list.push_back(ordinal);
    return true;
  });
  return list;
}

FakeSnapshot SmallFleet() {
  FakeSnapshot fleet;
  fleet.Add({{"__name__", "up"}, {"job", "api"}, {"instance", "a:1"}});               // 0
  fleet.Add({{"__name__", "up"}, {"job", "db"}, {"instance", "b:1"}});                // 1
  fleet.Add({{"__name__", "up"}, {"instance", "c:1"}});                               // 2
  fleet.Add({{"__name__", "http_requests_total"}, {"job", "api"}, {"code", "200"}});  // 3
  fleet.Add({{"__name__", "http_requests_total"}, {"job", "api"}, {"code", "500"}});  // 4
  fleet.AddSeries({.tenant = "team-b",
                   .labels = {{"__name__", "up"}, {"job", "batch"}},
                   .first_seen_ms = 1000,
                   .last_seen_ms = 2000});  // 5
  return fleet;
}

TEST(Select, FindsTheSeriesThatMatch) {
  const FakeSnapshot fleet = SmallFleet();
  auto f = [&](std::string selector, std::vector<catalog::Ordinal> want) {
    EXPECT_EQ(List(Select(fleet, Of({selector}))), want) << selector;
  };
  f("up", {0, 1, 2, 5});
  f(R"(up{job="api"})", {0});
  f(R"(up{job!="api"})", {1, 2, 5});
  f(R"(up{job=~"api|db"})", {0, 1});
  f(R"(up{job=~"a.*"})", {0});
  f(R"(up{job=~".*b.*"})", {1, 5});
  f(R"(up{job!~"a.*"})", {1, 2, 5});
  f(R"({__name__=~".+_total",code!~"5.."})", {3});
  f("nothing", {});
  f(R"(up{job="nothing"})", {});
  f(R"(up{nothing="x"})", {});
  f(R"(up{nothing!="x"})", {0, 1, 2, 5});
  f(R"(up{__name__="down"})", {});
  f(R"({__name__!="up",job="api"})", {3, 4});
}

TEST(Select, TreatsAnAbsentLabelAsEmpty) {
  const FakeSnapshot fleet = SmallFleet();
  auto f = [&](std::string selector, std::vector<catalog::Ordinal> want) {
    EXPECT_EQ(List(Select(fleet, Of({selector}))), want) << selector;
  };
  f(R"(up{job=""})", {2});
  f(R"(up{job!=""})", {0, 1, 5});
  f(R"(up{job=~"|api"})", {0, 2});
  f(R"(up{job!~"|api"})", {1, 5});
  f(R"(up{job=~".*"})", {0, 1, 2, 5});
  f(R"(up{job!~".*"})", {});
  f(R"(up{job=~".+"})", {0, 1, 5});
  f(R"(up{job!~".+"})", {2});
  f(R"(up{job=~""})", {2});
}

TEST(Select, UnitesSelectorsWithinTenantsAndRange) {
  const FakeSnapshot fleet = SmallFleet();
  EXPECT_THAT(List(Select(fleet, Of({R"({job="db"})", R"({code="500"})", "up{job='db'}"}))), ElementsAre(1, 4));
  EXPECT_THAT(List(Select(fleet, Scope())), ElementsAre(0, 1, 2, 3, 4, 5));
  Scope scope = Of({"up"});
  scope.tenants = {"team-b"};
  EXPECT_THAT(List(Select(fleet, scope)), ElementsAre(5));
  scope.tenants = {"", "team-b"};
  EXPECT_THAT(List(Select(fleet, scope)), ElementsAre(0, 1, 2, 5));
  scope.tenants = {"nobody"};
  EXPECT_THAT(List(Select(fleet, scope)), IsEmpty());
  scope.tenants.clear();
  scope.range = {.start_ms = 1500, .end_ms = 3000};
  EXPECT_THAT(List(Select(fleet, scope)), ElementsAre(5));
  scope.range = {.start_ms = 0, .end_ms = 500};
  EXPECT_THAT(List(Select(fleet, scope)), ElementsAre(0, 1, 2));
}

TEST(LabelNames, AreThoseOfTheSeriesInScopeSortedAndThenCut) {
  const FakeSnapshot fleet = SmallFleet();
  EXPECT_THAT(LabelNames(fleet, Scope()).items, ElementsAre("__name__", "code", "instance", "job"));
  EXPECT_THAT(LabelNames(fleet, Of({"up"})).items, ElementsAre("__name__", "instance", "job"));
  EXPECT_THAT(LabelNames(fleet, Of({"nothing"})).items, IsEmpty());
  Scope team;
  team.tenants = {"team-b"};
  EXPECT_THAT(LabelNames(fleet, team).items, ElementsAre("__name__", "job"));
  const Strings cut = LabelNames(fleet, Scope(), 2);
  EXPECT_THAT(cut.items, ElementsAre("__name__", "code"));
  EXPECT_TRUE(cut.cut);
  EXPECT_FALSE(LabelNames(fleet, Scope(), 4).cut);
}

TEST(LabelValues, AreThoseOfTheSeriesInScopeSortedAndThenCut) {
  const FakeSnapshot fleet = SmallFleet();
  EXPECT_THAT(LabelValues(fleet, "job", Scope()).items, ElementsAre("api", "batch", "db"));
  EXPECT_THAT(LabelValues(fleet, "job", Of({"http_requests_total"})).items, ElementsAre("api"));
  EXPECT_THAT(LabelValues(fleet, "job", Of({"up", R"({code="500"})"}), 2).items, ElementsAre("api", "batch"));
  EXPECT_TRUE(LabelValues(fleet, "job", Of({"up"}), 2).cut);
  EXPECT_THAT(LabelValues(fleet, "nothing", Scope()).items, IsEmpty());
  EXPECT_THAT(LabelValues(fleet, "nothing", Of({"up"})).items, IsEmpty());
}

// Random catalogues and random questions, compared with applying all matchers to each series.
class RandomCatalogues : public testing::TestWithParam<unsigned> {
 protected:
  std::string Pick(std::initializer_list<const char*> from) { return std::data(from)[random_() % from.size()]; }
  std::string Name() { return Pick({"__name__", "a", "b", "c", "never"}); }

  // Few series are read one by one, many are answered by set operations. So every tenth fleet is large.
  bool large() const { return GetParam() % 10 == 0; }

  FakeSnapshot RandomFleet() {
    FakeSnapshot fleet;
    const size_t count = large() ? 5000 : 1 + random_() % 150;
    for (size_t i = 0; i < count; ++i) {
      FakeSnapshot::Series series{.tenant = Pick({"", "", "t1", "t2"})};
      for (const char* name : {"__name__", "a", "b", "c"}) {
        if (random_() % 4 != 0) series.labels[name] = Pick({"x", "y", "xy", "x1", "x2", "z\n", "平", "1", "2", "3"});
      }
      if (random_() % 8 == 0) series.labels[format("rare{}", random_() % 30)] = "x";
      if (i > 4000) series.labels["late"] = "x";
      if (random_() % 2 == 0) series.labels["id"] = format("{}", i);
      series.first_seen_ms = static_cast<int64_t>(random_() % 100);
      series.last_seen_ms = series.first_seen_ms + static_cast<int64_t>(random_() % 50);
      fleet.AddSeries(std::move(series));
    }
    return fleet;
  }

  std::string RandomSelector() {
    std::string text = "{";
    const size_t count = 1 + random_() % 4;
    for (size_t i = 0; i < count; ++i) {
      text += format(
          "{}{}\"{}\",", Name(), Pick({"=", "!=", "=~", "!~"}),
          Pick({"", "x", "xy", "no", "x|y", "|x", "x.*", "x.+", ".*", ".+", "(x|xy)", "[xy].?", ".*1", "x?", "平"}));
    }
    return text + "}";
  }

  Scope RandomScope() {
    Scope scope;
    const size_t count = random_() % 4;
    while (scope.selectors.size() < count) {
      if (auto selector = ParseSelector(RandomSelector())) scope.selectors.push_back(*std::move(selector));
    }
    for (const char* tenant : {"", "t1", "t2", "t3"}) {
      if (random_() % 5 == 0) scope.tenants.emplace_back(tenant);
    }
    if (random_() % 3 == 0) {
      const auto start = static_cast<int64_t>(random_() % 120);
      scope.range = {.start_ms = start, .end_ms = start + static_cast<int64_t>(random_() % 60)};
    }
    return scope;
  }

  static bool InScope(const FakeSnapshot::Series& series, const Scope& scope) {
    auto matches = [&](const Selector& selector) {
      return std::ranges::all_of(selector.matchers, [&](const Matcher& m) { return m.Matches(series.Get(m.name())); });
    };
    return (scope.selectors.empty() || std::ranges::any_of(scope.selectors, matches)) &&
           (scope.tenants.empty() || std::ranges::find(scope.tenants, series.tenant) != scope.tenants.end()) &&
           (!scope.range ||
            (series.first_seen_ms <= scope.range->end_ms && series.last_seen_ms >= scope.range->start_ms));
  }

  std::mt19937 random_{GetParam()};
};

TEST_P(RandomCatalogues, AnswersEqualTheNaiveOnes) {
  const FakeSnapshot fleet = RandomFleet();
  for (int i = 0; i < (large() ? 4 : 40); ++i) {
    const Scope scope = RandomScope();
    std::vector<catalog::Ordinal> series;
    std::set<std::string_view> names;
    std::map<std::string, std::set<std::string_view>> values;
    for (size_t at = 0; at < fleet.list().size(); ++at) {
      if (!InScope(fleet.list()[at], scope)) continue;
      series.push_back(static_cast<catalog::Ordinal>(at));
      for (const auto& [name, value] : fleet.list()[at].labels) {
        names.insert(name);
        values[name].insert(value);
      }
    }
    EXPECT_EQ(List(Select(fleet, scope)), series);
    using Texts = std::vector<std::string_view>;  // equal vectors cost less to compare than a matcher for each element
    EXPECT_EQ(LabelNames(fleet, scope).items, Texts(names.begin(), names.end()));
    for (const char* name : {"__name__", "a", "id", "never"}) {
      EXPECT_EQ(LabelValues(fleet, name, scope).items, Texts(values[name].begin(), values[name].end())) << name;
    }
    if (HasFailure()) FAIL() << "question " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomCatalogues, testing::Range(1U, 51U));

// Counts the scans of all values of a label.
class CountingSnapshot final : public FakeSnapshot {
 public:
  void ForEachValue(std::string_view name,
                    const std::function<bool(std::string_view, catalog::PairId)>& visit) const override {
    ++scans;
    FakeSnapshot::ForEachValue(name, visit);
  }
  mutable int scans = 0;
};

TEST(Select, ScansALabelOnceForRepeatedMatchers) {
  CountingSnapshot fleet;
  for (int i = 0; i < 100; ++i) fleet.Add({{"i", std::to_string(i)}});
  std::string selector = "{i!=''";
  for (int i = 0; i < 200; ++i) selector += ",i=~'1.*'";
  EXPECT_EQ(Select(fleet, Of({selector + "}"})).size(), 11);
  EXPECT_EQ(fleet.scans, 1);
}

// A matcher with too many pairs to keep finds them again when it is evaluated.
TEST(Select, IsExactForAMatcherOfManyValues) {
  constexpr uint64_t kSeries = 70'000;
  const std::unique_ptr<catalog::Catalog> catalog = std::make_unique<catalog::Catalog>(catalog::CatalogOptions{});
  std::vector<model::SeriesBatch> batches;
  batches.emplace_back(model::Tenant(), 0);
  store::ApplyResult applied;
  for (uint64_t i = 0; i < kSeries; ++i) {
    const std::string value = format("v{}", i);
    const std::vector<model::Label> labels = {{"i", value}, {"mod", i % 7 == 0 ? "a" : "b"}};
    batches.front().Add({.hi = 0, .lo = i}, model::Labels::FromUnsorted(labels)->canonical());
    applied.inserted.push_back({.id = i + 1, .batch = 0, .index = i});
  }
  catalog->Append(batches, applied);
  const auto snapshot = catalog->Current();
  const auto f = [&](std::string selector, uint64_t want) {
    EXPECT_EQ(Select(*snapshot, Of({selector})).size(), want) << selector;
  };
  f("{i=~'v.*'}", kSeries);
  f("{i=~'v.*[0-9]',mod='a'}", kSeries / 7);
  f("{i!~'v.*',mod='a'}", 0);
  f("{i=~'v.*',i!~'v1.*',mod=~'a|b'}", kSeries - 11'111);
}

// A catalogue of `count` series, each with a label name and a value of its own.
std::unique_ptr<catalog::Catalog> OwnNames(uint64_t count) {
  auto catalog = std::make_unique<catalog::Catalog>(catalog::CatalogOptions{});
  std::vector<model::SeriesBatch> batches;
  batches.emplace_back(model::Tenant(), 0);
  store::ApplyResult applied;
  for (uint64_t i = 0; i < count; ++i) {
    const std::string own = format("n{:07}", i);
    const std::vector<model::Label> labels = {{"__name__", "up"}, {"i", own}, {own, "x"}};
    batches.front().Add({.hi = 0, .lo = i}, model::Labels::FromUnsorted(labels)->canonical());
    applied.inserted.push_back({.id = i + 1, .batch = 0, .index = i});
  }
  catalog->Append(batches, applied);
  return catalog;
}

// Each name was once looked for in all shapes: quadratic, hours for this many.
TEST(LabelNames, TakeLinearTimeIfEachSeriesHasANameOfItsOwn) {
  constexpr uint64_t kSeries = 100'000;
  const std::unique_ptr<catalog::Catalog> catalog = OwnNames(kSeries);
  EXPECT_EQ(LabelNames(*catalog->Current(), Of({"up"})).items.size(), kSeries + 2);
  const Strings some = LabelNames(*catalog->Current(), Of({"{i=~'n00.*'}"}), 3);
  EXPECT_THAT(some.items, testing::ElementsAre("__name__", "i", "n0000000"));
  EXPECT_TRUE(some.cut);
}

TEST(LabelValues, HoldNoMoreThanTheirLimitNeeds) {
  const std::unique_ptr<catalog::Catalog> catalog = OwnNames(100'000);
  const std::atomic<bool> stopping = false;
  const SystemClock clock;
  MemoryBudget memory(1 << 20);
  const auto ask = [&](std::string selector, size_t limit) {
    Bounds bounds(clock, {.deadline = std::chrono::steady_clock::time_point::max(), .stopping = stopping},
                  MemoryHold(memory));
    Scope scope = selector.empty() ? Scope{} : Of({selector});
    scope.bounds = &bounds;
    const Strings found = LabelValues(*catalog->Current(), "i", scope, limit);
    if (!bounds.exceeded()) EXPECT_EQ(found.items.back(), format("n{:07}", found.items.size() - 1));
    return bounds.exceeded() ? 0 : found.items.size();
  };
  for (const std::string selector : {"", "up", "up{i!='n0099999'}"}) {
    EXPECT_EQ(ask(selector, 5000), 5000) << selector;
    EXPECT_EQ(ask(selector, 0), 0) << selector;  // 100,000 need more than a MiB
  }
  EXPECT_EQ(memory.used(), 0);
}

}  // namespace
}  // namespace mi::query
