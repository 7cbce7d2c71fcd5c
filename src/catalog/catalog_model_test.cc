// Compares the catalogue with a naive one after random sequences of all changes.
#include <functional>
#include <limits>
#include <random>

#include "catalog/series_set.h"
#include "catalog/testing/naive_catalog.h"

namespace mi::catalog {
namespace {

using namespace std::string_literals;
using Label = std::pair<std::string, std::string>;

constexpr int64_t kStart = 1'700'000'000'000;
constexpr int64_t kInterval = 3600;

// The expected answers for the first `count` series of the naive catalogue.
struct Expected {
  explicit Expected(const NaiveCatalog& naive, size_t count) {
    for (Ordinal at = 0; at < count; ++at) {
      const NaiveSeries& one = naive.series[at];
      tenants[one.tenant].push_back(at);
      for (const auto& [name, value] : one.labels) {
        pairs[{name, value}].push_back(at);
        names[name].push_back(at);
      }
    }
  }
  std::map<Label, std::vector<Ordinal>> pairs;
  std::map<std::string, std::vector<Ordinal>> names;
  std::map<std::string, std::vector<Ordinal>> tenants;
};

template <typename Map>
auto Keys(const Map& map) {
  std::vector<std::string_view> keys;
  for (const auto& [key, unused] : map) keys.push_back(key);
  return keys;
}

class Checker {
 public:
  Checker(const Snapshot& snapshot, const NaiveCatalog& naive, size_t count, uint32_t seed)
      : snapshot_(snapshot), naive_(naive), count_(count), expected_(naive, count), random_(seed) {}

  void CheckAll() {
    ASSERT_EQ(snapshot_.series(), count_);
    EXPECT_EQ(snapshot_.All().size(), count_);
    EXPECT_EQ(snapshot_.LabelNames(), Keys(expected_.names));
    EXPECT_EQ(snapshot_.Tenants(), Keys(expected_.tenants));
    EXPECT_TRUE(snapshot_.OfTenant("nobody").empty());
    EXPECT_FALSE(snapshot_.HasTenant("nobody"));
    for (const auto& [tenant, ordinals] : expected_.tenants) EXPECT_TRUE(snapshot_.HasTenant(tenant));
    EXPECT_TRUE(snapshot_.WithLabel("no such label").empty());
    EXPECT_TRUE(snapshot_.WithLabel("").empty());
    for (const auto& [tenant, ordinals] : expected_.tenants) EXPECT_EQ(Ordinals(snapshot_.OfTenant(tenant)), ordinals);
    for (const auto& [name, ordinals] : expected_.names) EXPECT_EQ(Ordinals(snapshot_.WithLabel(name)), ordinals);
    CheckNames();
    CheckPairs();
    CheckValues();
    CheckUnions();
    CheckReads();
    CheckSeen();
  }

 private:
  SeriesSet Some() {
    SeriesSet some;
    for (Ordinal at = 0; at < count_; ++at) {
      if (random_() % 5 == 0) some.Add(at);
    }
    return some;
  }

  void CheckNames() {
    const SeriesSet some = Some();
    std::vector<std::string_view> wanted;
    for (const auto& [name, ordinals] : expected_.names) {
      if (std::ranges::any_of(ordinals, [&](Ordinal at) { return some.Contains(at); })) wanted.push_back(name);
    }
    EXPECT_THAT(snapshot_.LabelNamesIn(some, [] { return false; }), testing::UnorderedElementsAreArray(wanted));
    EXPECT_TRUE(snapshot_.LabelNamesIn(SeriesSet(), [] { return false; }).empty());
  }

  void CheckPairs() {
    const SeriesSet some = Some();
    std::vector<uint32_t> counts;
    snapshot_.CountPairs(some, counts);
    for (const auto& [label, ordinals] : expected_.pairs) {
      const auto pair = snapshot_.FindPair(label.first, label.second);
      ASSERT_TRUE(pair.has_value()) << label.first;
      ASSERT_EQ(snapshot_.CountWithPair(*pair), ordinals.size()) << label.first << '=' << label.second;
      const auto in_some = std::ranges::count_if(ordinals, [&](Ordinal at) { return some.Contains(at); });
      ASSERT_EQ(snapshot_.CountWithPair(*pair, some), in_some);
      ASSERT_EQ(snapshot_.AnyWithPair(*pair, some), in_some > 0);
      ASSERT_EQ(counts[*pair], in_some);
      if (ordinals.size() > 500 || random_() % 20 == 0) {
        ASSERT_EQ(Ordinals(snapshot_.WithPair(*pair)), ordinals);
      }
    }
  }

  void CheckValues() {
    for (const auto& [name, unused] : expected_.names) {
      std::map<std::string, PairId> values;
      snapshot_.ForEachValue(name, [&](std::string_view value, PairId pair) {
        EXPECT_TRUE(values.emplace(value, pair).second) << "twice: " << value;
        return true;
      });
      std::map<std::string, PairId> wanted;
      for (auto at = expected_.pairs.lower_bound({name, ""}); at != expected_.pairs.end() && at->first.first == name;
           ++at) {
        wanted.emplace(at->first.second, snapshot_.FindPair(name, at->first.second).value());
      }
      EXPECT_EQ(values, wanted) << name;
    }
  }

  void CheckUnions() {
    std::vector<PairId> pairs;
    SeriesSet wanted;
    for (const auto& [label, ordinals] : expected_.pairs) {
      if (random_() % 3 != 0) continue;
      pairs.push_back(snapshot_.FindPair(label.first, label.second).value());
      for (const Ordinal at : ordinals) wanted.Add(at);
    }
    EXPECT_EQ(Ordinals(snapshot_.WithAnyPair(pairs)), Ordinals(wanted));
    EXPECT_TRUE(snapshot_.WithAnyPair({}).empty());
  }

  void CheckReads() {
    SeriesView view;
    for (Ordinal at = 0; at < count_; ++at) {
      const NaiveSeries& one = naive_.series[at];
      snapshot_.Read(at, view);
      ASSERT_EQ(view.id, one.id);
      ASSERT_EQ(view.tenant, one.tenant);
      ASSERT_EQ(view.first_seen_ms, one.first_seen_ms);
      ASSERT_EQ(view.last_seen_ms, one.last_seen_ms);
      ASSERT_TRUE(std::ranges::equal(view.labels, one.labels, [](const model::Label& a, const auto& b) {
        return a.name == b.first && a.value == b.second;
      })) << at;
    }
  }

  // A time near those of the series, to the millisecond.
  int64_t DrawTime() {
    const auto latest = static_cast<int64_t>(count_ + 15'000) * 1000;
    return kStart - 20'000 + static_cast<int64_t>(random_()) % latest + (random_() % 2 == 0 ? kInterval * 1000 : 0);
  }

  void CheckSeen() {
    constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
    std::vector<model::TimeRange> ranges = {
        {},      {kStart, kStart + 100'000}, {kStart + 5'000'000, kStart + 6'000'000}, {0, 1}, {0, kMax}, {kMax, kMax},
        {-5, -3}};
    for (int i = 0; i < 5; ++i) {
      const int64_t start = DrawTime();
      ranges.push_back({start, start + static_cast<int64_t>(random_() % 10'000'000)});
    }
    const SeriesSet some = Some();
    SeriesSet few;
    for (int i = 0; i < 200; ++i) few.Add(static_cast<Ordinal>(random_() % count_));
    const SeriesSet all = snapshot_.All();
    for (const model::TimeRange& range : ranges) {
      for (const auto& set : {std::cref(some), std::cref(few), std::cref(all)}) CheckSeenIn(set, range);
      CheckAnySeen(range);
    }
  }

  void CheckSeenIn(const SeriesSet& set, model::TimeRange range) {
    std::vector<Ordinal> wanted;
    set.ForEach([&](Ordinal at) {
      const NaiveSeries& one = naive_.series[at];
      const bool seen = range == model::TimeRange{} ||
                        (one.first_seen_ms <= range.end_ms && one.last_seen_ms + kInterval * 1000 >= range.start_ms);
      if (seen) wanted.push_back(at);
      return true;
    });
    const SeriesSet seen = snapshot_.SeenIn(set, range);
    EXPECT_EQ(Ordinals(seen), wanted) << range.start_ms << " to " << range.end_ms;
    for (const auto& [label, ordinals] : expected_.pairs) {
      if (random_() % (ordinals.size() < 500 ? 500 : 20) != 0) continue;
      const bool any = std::ranges::any_of(ordinals, [&](Ordinal at) { return seen.Contains(at); });
      EXPECT_EQ(snapshot_.AnyWithPair(snapshot_.FindPair(label.first, label.second).value(), seen), any);
    }
  }

  // The questions about a range without a set.
  void CheckAnySeen(model::TimeRange range) {
    const SeriesSet seen = snapshot_.SeenIn(snapshot_.All(), range);
    const Coverage coverage = snapshot_.CoverageOf(range);
    if (coverage == Coverage::kNone) EXPECT_EQ(seen.size(), 0);
    if (coverage == Coverage::kAll) EXPECT_EQ(seen.size(), count_);
    if (range == model::TimeRange{}) EXPECT_EQ(coverage, Coverage::kAll);
    const auto any = [&](std::span<const Ordinal> ordinals) {
      return std::ranges::any_of(ordinals, [&](Ordinal at) { return seen.Contains(at); });
    };
    for (const auto& [label, ordinals] : expected_.pairs) {
      if (random_() % (ordinals.size() < 500 ? 200 : 8) != 0) continue;
      EXPECT_EQ(snapshot_.AnyWithPair(snapshot_.FindPair(label.first, label.second).value(), range), any(ordinals));
    }
    std::vector<std::string_view> wanted;
    for (const auto& [name, ordinals] : expected_.names) {
      if (any(ordinals)) wanted.push_back(name);
    }
    EXPECT_THAT(snapshot_.LabelNamesIn(range, [] { return false; }), testing::UnorderedElementsAreArray(wanted));
  }

  const Snapshot& snapshot_;
  const NaiveCatalog& naive_;
  size_t count_;
  Expected expected_;
  std::mt19937 random_;
};

// Changes both catalogues in the same random way.
class Story {
 public:
  explicit Story(uint32_t seed) : random_(seed) {}

  void Step() {
    switch (random_() % 4) {
      case 0: Grow(1); break;
      case 1: Grow(random_() % 300); break;
      case 2: Grow(random_() % 9000); break;
      default: MoveTimes();
    }
  }
  void Check(uint32_t seed) { Checker(*catalog_->Current(), naive_, naive_.series.size(), seed).CheckAll(); }
  void CheckOldSnapshots(uint32_t seed) {
    for (const auto& [snapshot, count] : kept_) Checker(*snapshot, naive_, count, seed).CheckAll();
  }
  size_t size() const { return naive_.series.size(); }
  Catalog& catalog() { return *catalog_; }

 private:
  LabelMap DrawLabels() {
    static const std::string strange[] = {"\0"s, "a\0b"s, "\"", "\\",   "line\nbreak",
                                          "ü",   " ",     "{}", "=\",", "\xff\xfe"};
    LabelMap labels;
    if (random_() % 1000 == 0) return labels;
    labels["__name__"] = random_() % 50 == 0 ? "strange name" : "metric_" + std::to_string(random_() % 40);
    labels["env"] = random_() % 10 == 0 ? "dev" : "prod";
    labels["job"] = "job" + std::to_string(naive_.series.size() / 3000);
    labels["instance"] = "10.0.0." + std::to_string(naive_.series.size() / 37);
    if (random_() % 3 == 0) labels["le"] = std::to_string(random_() % 20);
    if (random_() % 4 == 0) labels["uid"] = std::to_string(random_());
    if (random_() % 20 == 0) labels["strange"] = strange[random_() % std::size(strange)];
    if (random_() % 50 == 0) labels[strange[random_() % std::size(strange)]] = std::string(1 + random_() % 300, 'x');
    return labels;
  }

  NaiveSeries Draw() {
    const std::string tenants[] = {"", "", "", "team-a", "7:1"};
    const int64_t seen = kStart + static_cast<int64_t>(naive_.series.size()) * 1000;
    next_id_ += random_() % 10 == 0 ? 1 + random_() % 100'000 : 1;
    return {next_id_, tenants[random_() % std::size(tenants)], DrawLabels(), seen, seen};
  }

  void Grow(size_t count) {
    const size_t before = naive_.series.size();
    for (size_t i = 0; i < count; ++i) naive_.series.push_back(Draw());
    if (random_() % 3 == 0) {
      ASSERT_TRUE(catalog_->Load(naive_));
    } else {
      Told told;
      for (size_t i = before; i < naive_.series.size(); ++i) told.Add(naive_.series[i]);
      catalog_->Append(told.batches, told.applied);
    }
    if (random_() % 5 == 0) kept_.emplace_back(catalog_->Current(), naive_.series.size());
  }

  void MoveTimes() {
    if (naive_.series.empty()) return;
    std::vector<store::SeenUpdate> updates = {{next_id_ + 1, 0, 0}, {0, 0, 0}};
    const auto move = [&](NaiveSeries& one, int64_t last_by_ms) {
      one.first_seen_ms -= 1000 * (random_() % 10);
      one.last_seen_ms = std::max(one.last_seen_ms + last_by_ms, one.first_seen_ms);
      updates.push_back({one.id, one.first_seen_ms, one.last_seen_ms});
    };
    for (int i = 0; i < 100; ++i) {
      // A clock that was ahead is corrected: its series move back.
      const auto by = static_cast<int64_t>(1000 * (random_() % 10'000));
      move(naive_.series[random_() % naive_.series.size()], random_() % 10 == 0 ? -by : by);
    }
    // A target lives on.
    size_t at = random_() % naive_.series.size();
    const auto together = static_cast<int64_t>(1000 * (random_() % 10'000));
    for (size_t left = random_() % 500; left > 0 && at < naive_.series.size(); --left) {
      move(naive_.series[at++], together);
    }
    catalog_->UpdateSeen(updates);
  }

  std::mt19937 random_;
  uint64_t next_id_ = 0;
  NaiveCatalog naive_;
  std::unique_ptr<Catalog> catalog_ = std::make_unique<Catalog>(CatalogOptions{.activity_interval_s = kInterval});
  std::vector<std::pair<std::shared_ptr<const Snapshot>, size_t>> kept_;
};

class CatalogModel : public testing::TestWithParam<uint32_t> {};

TEST_P(CatalogModel, AnswersLikeTheNaiveOneAndOldSnapshotsStay) {
  Story story(GetParam());
  while (story.size() < 3 * kWindow) {
    for (int i = 0; i < 5; ++i) story.Step();
    if (story.size() < 2 * kWindow) continue;
    story.Check(GetParam());
    if (testing::Test::HasFailure()) return;
  }
  story.CheckOldSnapshots(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Seeds, CatalogModel, testing::Values(1, 2, 3));

}  // namespace
}  // namespace mi::catalog
