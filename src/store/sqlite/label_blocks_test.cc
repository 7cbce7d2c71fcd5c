#include "store/sqlite/label_blocks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

#include "base/format.h"
#include "sqlite/database.h"
#include "store/sqlite/catalog.h"
#include "store/sqlite/schema.h"
#include "store/testing/test_directory.h"

namespace mi::store {
namespace {

using Postings = std::set<std::tuple<int64_t, int64_t, int64_t>>;

TEST(IdRuns, WritesDistancesToTheFirstIdAndRunsAsPairs) {
  const auto f = [](const std::vector<uint64_t>& ids, std::string_view json) {
    IdRuns runs;
    for (const uint64_t id : ids) runs.Add(id);
    EXPECT_EQ(runs.first(), ids.front());
    EXPECT_EQ(runs.TakeJson(), json);
  };
  f({1}, "[0]");
  f({7, 8}, "[0,1]");
  f({7, 8, 9}, "[[0,2]]");
  f({7, 8, 9, 10, 12}, "[[0,3],5]");
  f({5, 7, 9, 10, 20, 21, 22, 4'000'000'000}, "[0,2,4,5,[15,17],3999999995]");
}

class LabelBlocksTest : public testing::Test {
 protected:
  LabelBlocksTest() { (void)SqliteCatalog::Open({.path = directory_.catalog()}).value(); }

  void Run(const std::string& sql) {
    const Status done = database_.Exec(sql);
    ASSERT_TRUE(done) << done.error().message();
  }
  // Every series has times: those without are not shown.
  void MakeSeries(int count) {
    Run(
        format("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
               "INSERT INTO metric_seen SELECT i, 1, 1 FROM n",
               count));
  }
  Postings Read(std::string_view where = "") {
    sqlite::Statement rows = database_
                                 .Prepare(format("SELECT metric_label_name_id, metric_label_value_id, metric_id "
                                                 "FROM metric_label {}",
                                                 where))
                                 .value();
    Postings postings;
    while (rows.Step().value()) EXPECT_TRUE(postings.emplace(rows.Int(0), rows.Int(1), rows.Int(2)).second);
    return postings;
  }

  const TestDirectory directory_;
  sqlite::Database database_ = sqlite::Database::Open(directory_.catalog(), {}).value();
};

TEST_F(LabelBlocksTest, ShowsWhatIsMigratedAsRowsOfOnePostingEach) {
  MakeSeries(25'000);
  Run("CREATE TABLE old (metric_label_name_id INTEGER, metric_label_value_id INTEGER, metric_id INTEGER, "
      "PRIMARY KEY (metric_label_name_id, metric_label_value_id, metric_id)) WITHOUT ROWID");
  std::mt19937_64 random(1);
  Postings written;
  sqlite::Statement insert = database_.Prepare("INSERT INTO old VALUES (?, ?, ?)").value();
  Run("BEGIN");
  for (int64_t id = 1; id <= 25'000; ++id) {
    for (int64_t name = 1; name <= 3; ++name) {
      // All, runs of a hundred, and at random.
      const int64_t value = name == 1 ? 1 : name == 2 ? id / 100 + 1 : static_cast<int64_t>(random() % 5 + 1);
      if (!written.emplace(name, value, id).second) continue;
      ASSERT_TRUE(insert.Bind(1, name).Bind(2, value).Bind(3, id).Run());
    }
  }
  Run("COMMIT");
  ASSERT_TRUE(MakeLabelBlocks(database_, "old"));
  EXPECT_EQ(Read(), written);
  EXPECT_EQ(Read("WHERE metric_label_name_id = 1 AND metric_label_value_id = 1").size(), 25'000u);
  EXPECT_EQ(Read("WHERE metric_label_name_id = 2 AND metric_label_value_id = 7").size(), 100u);
  EXPECT_EQ(Read("WHERE metric_id = 777").size(), 3u);
  EXPECT_EQ(database_.QueryInt("SELECT count(*) FROM metric_label_block WHERE metric_label_name_id = 1").value(), 3);
  EXPECT_LT(database_.QueryInt("SELECT max(length(metric_ids)) FROM metric_label_block").value(), 20'000);
}

TEST_F(LabelBlocksTest, AddsASeriesOnceToAPair) {
  MakeSeries(10);
  LabelBlocks blocks = LabelBlocks::Open(database_).value();
  ASSERT_TRUE(blocks.Insert(std::vector<LabelBlocks::Row>{{1, 1, 3, "[[0,3]]"}, {1, 2, 8, "[not JSON"}}));
  for (const uint64_t id : {2, 3, 4, 7, 7}) ASSERT_TRUE(blocks.InsertMissing(1, 1, id));
  ASSERT_TRUE(blocks.InsertMissing(1, 2, 8));
  EXPECT_EQ(Read(), (Postings{{1, 1, 2}, {1, 1, 3}, {1, 1, 4}, {1, 1, 5}, {1, 1, 6}, {1, 1, 7}, {1, 2, 8}}));
  EXPECT_EQ(database_.QueryInt("SELECT count(*) FROM metric_label_block").value(), 4);
}

}  // namespace
}  // namespace mi::store
