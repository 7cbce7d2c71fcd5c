#include "catalog/follower.h"

#include <atomic>
#include <map>
#include <thread>

#include "model/identity.h"
#include "store/testing/fake_store.h"

namespace mi::catalog {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using store::IdRange;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

constexpr int64_t kSeenMs = 1'700'000'000'000;

// A store into which transactions commit in any order, and which can be restored from a backup.
class Table final : public store::CatalogReader {
 public:
  struct Row {
    std::string content;
    int64_t last_seen_ms = kSeenMs;
    uint64_t changed = 0;
  };

  void Commit(uint64_t id) { CommitAs(id, std::to_string(id)); }
  void CommitAs(uint64_t id, const std::string& name) { rows[id] = {"m{id=\"" + name + "\"}", kSeenMs, ++changes}; }
  void Commit(uint64_t first, uint64_t last) {
    for (uint64_t id = first; id <= last; ++id) Commit(id);
  }
  void See(uint64_t id, int64_t at_ms) {
    rows[id].last_seen_ms = at_ms;
    rows[id].changed = ++changes;
  }

  Result<store::CatalogState> State() override {
    if (away) return Fail(Errc::kUnavailable, "gone");
    return store::CatalogState{uuid, rows.empty() ? 0 : rows.rbegin()->first, changes};
  }
  Result<uint64_t> CountSeries(uint64_t up_to_id) override {
    if (before_counting) before_counting();
    return std::distance(rows.begin(), rows.upper_bound(up_to_id));
  }
  Status ReadSeries(uint64_t after_id, const std::function<bool(const store::StoredSeries&)>& visit) override {
    if (away) return Fail(Errc::kUnavailable, "gone");
    ++readings;
    if (after_id == 0) ++whole_readings;
    size_t shown = 0;
    for (auto at = rows.upper_bound(after_id); at != rows.end(); ++at) {
      if (shown++ == fail_after) return Fail(Errc::kUnavailable, "gone");
      if (!visit(Shown(*at))) break;
    }
    return {};
  }
  Status ReadSeriesIn(std::span<const store::IdRange> ranges,
                      const std::function<bool(const store::StoredSeries&)>& visit) override {
    asked.assign(ranges.begin(), ranges.end());
    for (const store::IdRange& range : ranges) {
      for (auto at = rows.lower_bound(range.first); at != rows.end() && at->first <= range.last; ++at) {
        if (!visit(Shown(*at))) return {};
      }
    }
    return {};
  }
  Result<uint64_t> ReadSeenChanges(uint64_t since,
                                   const std::function<void(const store::SeenUpdate&)>& visit) override {
    for (const auto& [id, row] : rows) {
      if (row.changed > since) visit({id, kSeenMs, row.last_seen_ms});
    }
    return changes;
  }
  Status ReadFingerprints(const std::function<bool(model::Fingerprint, int64_t)>&) override { return {}; }
  Status ReadMetadata(const std::function<bool(const store::StoredMetadata&)>& visit) override {
    ++metadata_reads;
    for (const store::StoredMetadata& one : metadata) visit(one);
    return {};
  }

  std::map<uint64_t, Row> rows;
  std::vector<store::StoredMetadata> metadata;
  std::string uuid = "first";
  uint64_t changes = 0;
  int metadata_reads = 0;
  std::vector<store::IdRange> asked;
  std::atomic<bool> away = false;
  std::function<void()> before_counting;
  std::atomic<int> readings = 0;
  int whole_readings = 0;
  size_t fail_after = SIZE_MAX;  // rows of one reading

 private:
  static store::StoredSeries Shown(const std::pair<const uint64_t, Row>& row) {
    return {row.first,
            "",
            row.second.content,
            model::Fingerprint{std::hash<std::string>()(row.second.content), 0},
            kSeenMs,
            row.second.last_seen_ms};
  }
};

class FollowerTest : public testing::Test {
 protected:
  std::vector<uint64_t> Ids() const {
    const auto snapshot = catalog_->Current();
    std::vector<uint64_t> ids;
    SeriesView view;
    for (Ordinal at = 0; at < snapshot->series(); ++at) {
      snapshot->Read(at, view);
      EXPECT_EQ(view.labels.back().value, std::to_string(view.id));
      ids.push_back(view.id);
    }
    return ids;
  }
  int64_t LastSeen(uint64_t id) const {
    const auto snapshot = catalog_->Current();
    SeriesView view;
    for (Ordinal at = 0; at < snapshot->series(); ++at) {
      snapshot->Read(at, view);
      if (view.id == id) return view.last_seen_ms;
    }
    return 0;
  }

  Table table_;
  ManualClock clock_{kSeenMs};
  FollowerDeps Deps(std::function<void()> on_loaded = {}) {
    return {
        *catalog_,           table_, clock_, *log_, [this](const Error& error) { fatal_.push_back(error.message()); },
        std::move(on_loaded)};
  }

  const std::unique_ptr<Catalog> catalog_ = std::make_unique<Catalog>(CatalogOptions{});
  const std::unique_ptr<telemetry::Logger> log_ = *telemetry::Log::Create({.level = "error"});
  int loaded_ = 0;
  std::vector<std::string> fatal_;
  Follower follower_{{.moves_interval = milliseconds(0), .longest_transaction = seconds(60)},
                     Deps([this] { ++loaded_; })};
};

TEST_F(FollowerTest, LoadsEverythingThenWhatIsNew) {
  table_.Commit(1, 3);
  ASSERT_TRUE(follower_.Step());
  EXPECT_THAT(Ids(), ElementsAre(1, 2, 3));
  table_.Commit(4);
  ASSERT_TRUE(follower_.Step());
  EXPECT_THAT(Ids(), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(loaded_, 1);
}

TEST_F(FollowerTest, FindsSeriesThatWereCommittedOutOfOrder) {
  table_.Commit(1);
  ASSERT_TRUE(follower_.Step());
  table_.Commit(7, 9);
  ASSERT_TRUE(follower_.Step());
  EXPECT_THAT(Ids(), ElementsAre(1, 7, 8, 9));
  EXPECT_THAT(table_.asked, ElementsAre(IdRange{2, 6}));
  table_.Commit(3, 4);
  table_.Commit(12);
  ASSERT_TRUE(follower_.Step());
  EXPECT_THAT(Ids(), ElementsAre(1, 7, 8, 9, 12, 3, 4));
  table_.See(3, kSeenMs + 5'000);
  ASSERT_TRUE(follower_.Step());
  EXPECT_THAT(table_.asked, ElementsAre(IdRange{2, 2}, IdRange{5, 6}, IdRange{10, 11}));
  EXPECT_EQ(LastSeen(3), kSeenMs + 5'000);
}

TEST_F(FollowerTest, AsksForAGapALastTimeWhenItIsOlderThanAnyTransaction) {
  table_.Commit(1);
  table_.Commit(3);
  ASSERT_TRUE(follower_.Step());
  clock_.Advance(seconds(61));
  table_.Commit(2);
  ASSERT_TRUE(follower_.Step());
  EXPECT_THAT(Ids(), ElementsAre(1, 3, 2));
  table_.Commit(5);
  ASSERT_TRUE(follower_.Step());
  clock_.Advance(seconds(61));
  ASSERT_TRUE(follower_.Step());
  table_.asked.clear();
  ASSERT_TRUE(follower_.Step());
  EXPECT_THAT(table_.asked, Not(Contains(IdRange{4, 4})));
}

TEST_F(FollowerTest, ReadsChangedTimes) {
  table_.Commit(1, 2);
  ASSERT_TRUE(follower_.Step());
  table_.See(2, kSeenMs + 3'600'000);
  ASSERT_TRUE(follower_.Step());
  EXPECT_EQ(LastSeen(1), kSeenMs);
  EXPECT_EQ(LastSeen(2), kSeenMs + 3'600'000);
}

TEST_F(FollowerTest, ReadsMetadataEveryInterval) {
  table_.metadata.push_back({{}, {"up", "gauge", "Whether it is up.", ""}});
  ASSERT_TRUE(follower_.Step());
  ASSERT_TRUE(follower_.Step());
  EXPECT_EQ(table_.metadata_reads, 1);
  clock_.Advance(seconds(61));
  ASSERT_TRUE(follower_.Step());
  EXPECT_EQ(table_.metadata_reads, 2);
  int families = 0;
  catalog_->Current()->ForEachMetadata({}, [&](const store::StoredMetadata&) { return ++families > 0; });
  EXPECT_EQ(families, 1);
}

TEST_F(FollowerTest, KeepsTheCatalogueWhileTheStoreIsAway) {
  table_.Commit(1);
  table_.away = true;
  Follower follower({.interval = milliseconds(1), .max_retry = milliseconds(1)}, Deps([this] { ++loaded_; }));
  auto wait_until = [&](bool healthy) {
    while (follower.Health().has_value() != healthy) std::this_thread::yield();
  };
  follower.Start();
  wait_until(false);
  table_.away = false;
  wait_until(true);
  EXPECT_THAT(Ids(), ElementsAre(1));
  table_.away = true;
  wait_until(false);
  EXPECT_THAT(Ids(), ElementsAre(1));
  table_.away = false;
  wait_until(true);
  follower.Stop();
  EXPECT_EQ(loaded_, 1);
}

TEST_F(FollowerTest, AStoreThatComesBackOlderIsFatal) {
  table_.Commit(1, 4);
  ASSERT_TRUE(follower_.Step());
  table_.away = true;
  EXPECT_FALSE(follower_.Step());
  table_.away = false;
  ASSERT_TRUE(follower_.Step());
  EXPECT_THAT(fatal_, IsEmpty());
  table_.rows.erase(3), table_.rows.erase(4);
  EXPECT_FALSE(follower_.Step());
  EXPECT_THAT(fatal_, ElementsAre(HasSubstr("replaced or restored")));
}

TEST_F(FollowerTest, AnotherStoreWithTheSameSeriesIsFatal) {
  table_.Commit(1, 4);
  ASSERT_TRUE(follower_.Step());
  table_.uuid = "second";
  EXPECT_FALSE(follower_.Step());
  EXPECT_THAT(fatal_, ElementsAre(HasSubstr("replaced or restored")));
}

TEST_F(FollowerTest, AnIdThatWasGivenToAnotherSeriesIsFatal) {
  table_.Commit(1, 4);
  ASSERT_TRUE(follower_.Step());
  table_.CommitAs(4, "another");
  EXPECT_FALSE(follower_.Step());
  EXPECT_THAT(fatal_, ElementsAre(HasSubstr("replaced or restored")));
}

TEST_F(FollowerTest, ARestoredStoreIsFatalAlsoIfItHasGrownPastWhatWasRead) {
  Follower seldom({.moves_interval = seconds(10)}, Deps());
  table_.Commit(1, 4);
  ASSERT_TRUE(seldom.Step());
  table_.CommitAs(3, "other 3");
  table_.CommitAs(4, "other 4");
  table_.Commit(5, 6);
  EXPECT_FALSE(seldom.Step());
  EXPECT_THAT(fatal_, ElementsAre(HasSubstr("replaced or restored")));
}

TEST_F(FollowerTest, AStoreThatIsRestoredBetweenAFailedReadingAndTheNextIsFatal) {
  table_.Commit(1, 4);
  table_.fail_after = 3;
  EXPECT_FALSE(follower_.Step());
  EXPECT_THAT(fatal_, IsEmpty());
  table_.fail_after = SIZE_MAX;
  table_.CommitAs(3, "another");
  EXPECT_FALSE(follower_.Step());
  EXPECT_THAT(fatal_, ElementsAre(HasSubstr("replaced or restored")));
}

TEST_F(FollowerTest, ReadsNoMoreAfterAFatalCondition) {
  table_.Commit(1, 4);
  std::atomic<int> fatal_calls = 0;
  FollowerDeps deps = Deps();
  deps.fatal = [&](const Error&) { ++fatal_calls; };
  Follower follower({.interval = milliseconds(1), .moves_interval = milliseconds(0)}, std::move(deps));
  follower.Start();
  while (catalog_->Current()->series() < 4) std::this_thread::yield();
  table_.away = true;
  while (follower.Health()) std::this_thread::yield();
  table_.rows.erase(4);
  table_.away = false;
  while (fatal_calls == 0) std::this_thread::yield();
  const int readings = table_.readings;
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(table_.readings, readings);
  follower.Stop();
  EXPECT_EQ(fatal_calls, 1);
}

TEST_F(FollowerTest, FindsMissedSeriesByTheRecount) {
  Follower forgetful({.max_gaps = 1}, Deps());
  table_.Commit(1);
  table_.Commit(9);
  ASSERT_TRUE(forgetful.Step());
  table_.Commit(5);
  ASSERT_TRUE(forgetful.Step());
  table_.Commit(2, 8);
  ASSERT_TRUE(forgetful.Step());
  EXPECT_THAT(Ids(), ElementsAre(1, 9, 5, 6, 7, 8)) << "of the two gaps around 5 the lower was forgotten";
  clock_.Advance(seconds(601));
  ASSERT_TRUE(forgetful.Step());
  EXPECT_THAT(Ids(), UnorderedElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9));
}

TEST_F(FollowerTest, FindsMissedSeriesWhileTheStoreGrows) {
  Follower forgetful({.max_gaps = 1}, Deps());
  table_.Commit(1);
  table_.Commit(3);
  table_.Commit(5);
  ASSERT_TRUE(forgetful.Step());
  table_.Commit(2);
  clock_.Advance(seconds(601));
  // Between reading the new series and counting, newer series are committed, and one late series.
  table_.before_counting = [this] { table_.Commit(4), table_.Commit(6, 9); };
  ASSERT_TRUE(forgetful.Step());
  EXPECT_THAT(Ids(), testing::IsSupersetOf({1, 2, 3, 4, 5}));
}

TEST_F(FollowerTest, DoesNotReadEverythingAgainForCommitsDuringTheRecount) {
  clock_.Advance(seconds(601));
  table_.Commit(1);
  table_.Commit(3);
  table_.before_counting = [this] { table_.Commit(2), table_.Commit(4); };
  ASSERT_TRUE(follower_.Step());
  EXPECT_THAT(Ids(), ElementsAre(1, 3, 2));
  EXPECT_EQ(table_.whole_readings, 1);
}

TEST_F(FollowerTest, RemembersTheOpenIdBlocksOfManyWriters) {
  constexpr uint64_t kBlock = 10'000;
  constexpr uint64_t kBlocks = 16;  // two consumers with eight workers each; the last one is the fastest
  table_.Commit(kBlock * (kBlocks - 1) + 1, kBlock * kBlocks);
  ASSERT_TRUE(follower_.Step());
  for (uint64_t block = kBlocks - 1; block-- > 0;) {
    table_.Commit(kBlock * block + 1, kBlock * (block + 1));
    ASSERT_TRUE(follower_.Step());
  }
  EXPECT_EQ(catalog_->Current()->series(), kBlock * kBlocks);
  table_.asked.clear();
  table_.Commit(kBlock * kBlocks + 1);
  ASSERT_TRUE(follower_.Step());
  EXPECT_THAT(table_.asked, ElementsAre(IdRange{kBlock * kBlocks, kBlock * kBlocks + 1}))
      << "no gap is left, only the markers";
}

}  // namespace
}  // namespace mi::catalog
