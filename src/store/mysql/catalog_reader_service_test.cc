// What the contract suite cannot see of the reader: a replica that lags, and how MariaDB goes about its statements.
#include <map>

#include "store/testing/contract_test.h"
#include "store/testing/mysql_database.h"

namespace mi::store {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

class MysqlReaderTest : public testing::Test {
 protected:
  void SetUp() override {
    RealService* server = RealService::Get("mariadb");
    if (server == nullptr) GTEST_SKIP() << "MariaDB is not installed";
    database_ = std::make_unique<TestDatabase>(*server);
    catalog_ = database_->Open();
    const Status prepared = catalog_->Prepare();
    ASSERT_TRUE(prepared) << prepared.error().message();
    const SeriesBatch batch = MakePodBatch("", 1000, 4, 1);
    ASSERT_TRUE(catalog_->OpenStore()->Apply({&batch, 1}, {}));
    reader_ = catalog_->OpenReader();
  }
  // A row as it comes from a primary, by whose clock it was written so long ago.
  void Replicate(uint64_t id, int64_t last_seen_ms, std::chrono::milliseconds ago) {
    database_->RunHere(
        format("UPDATE metric_seen SET last_seen = {}, changed = UNIX_TIMESTAMP(NOW(3)) * 1000 - {} "
               "WHERE metric_id = {}",
               last_seen_ms, ago.count(), id));
  }
  void Follow() {
    told_.clear();
    const Result<uint64_t> next =
        reader_->ReadSeenChanges(mark_, [&](const SeenUpdate& u) { told_[u.id] = u.last_seen_ms; });
    ASSERT_TRUE(next) << next.error().message();
    mark_ = *next;
  }

  using SeriesBatch = model::SeriesBatch;
  std::unique_ptr<TestDatabase> database_;
  std::unique_ptr<MysqlCatalog> catalog_;
  std::unique_ptr<CatalogReader> reader_;
  uint64_t mark_ = 0;
  std::map<uint64_t, int64_t> told_;
};

TEST_F(MysqlReaderTest, ReadsChangesOfAReplicaThatLagsByMoreThanTheLongestTransaction) {
  using std::chrono::hours;
  using std::chrono::minutes;
  ASSERT_LT(database_->options().longest_transaction, minutes(1));
  database_->RunHere("UPDATE metric_seen SET changed = changed - 7200000");
  mark_ = reader_->State().value().seen_mark;
  Follow();
  Replicate(2, 7000, hours(1));
  Follow();
  EXPECT_THAT(told_, Contains(Pair(2, 7000)));
  Replicate(3, 8000, minutes(59));
  Follow();
  EXPECT_THAT(told_, Contains(Pair(3, 8000)));
}

TEST_F(MysqlReaderTest, ReadsLateCommitsOnAQuietSystem) {
  mark_ = reader_->State().value().seen_mark;
  for (int i = 0; i < 3; ++i) Follow();
  EXPECT_THAT(told_, IsEmpty());
  // On a replica that stood still: what comes is older than the mark, and nothing is above it.
  database_->RunHere(
      format("INSERT INTO metric_seen (metric_id, first_seen, last_seen, changed) VALUES (77, 1, 2, {})", mark_ - 100));
  Follow();
  EXPECT_THAT(told_, Contains(Pair(77, 2)));
  Follow();
  EXPECT_THAT(told_, IsEmpty());
  database_->RunHere(format("UPDATE metric_seen SET last_seen = 9, changed = {} WHERE metric_id = 77", mark_ - 50));
  Follow();
  EXPECT_THAT(told_, Contains(Pair(77, 9)));
  Follow();
  EXPECT_THAT(told_, IsEmpty());
}

TEST_F(MysqlReaderTest, FindsRangesOfIdsByTheKey) {
  const auto plan = database_->Ask(
      "EXPLAIN SELECT STRAIGHT_JOIN m.id FROM metric m FORCE INDEX (PRIMARY) JOIN metric_seen s ON s.metric_id = m.id "
      "WHERE m.id > 0 AND (m.id BETWEEN 2 AND 2 OR m.id BETWEEN 4 AND 9 OR m.id BETWEEN 4 AND 9) "
      "ORDER BY m.id LIMIT 10000");
  ASSERT_EQ(plan.size(), 2u);
  EXPECT_EQ(plan[0].at(3), "range");
}

}  // namespace
}  // namespace mi::store
