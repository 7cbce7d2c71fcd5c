// A database that went back, and what followers learn of one that continues.
#include <map>
#include <set>

#include "store/testing/mysql_fault_test.h"

namespace mi::store {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

TEST_F(MysqlFaultTest, CallsTheFatalHandlerAfterARestoreAndANewProcessReadsAgain) {
  for (const bool server_restarts : {false, true}) {
    database_.emplace(*server_);
    Open();
    ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
    ASSERT_TRUE(Apply(MakePodBatch("", 2000, 10, 2), 2));
    RestoreTheFirstTen();
    if (server_restarts) {
      server_->Stop();
      server_->Start();
      EXPECT_FALSE(Apply(MakePodBatch("", 3000, 10, 3), 3));  // its connection is gone
    }
    ExpectFails(Apply(MakePodBatch("", 3000, 10, 3), 3), Errc::kCorrupt, HasSubstr("the database went back"));
    EXPECT_THAT(database_->fatal_messages(), ElementsAre(HasSubstr("went back")));
    database_->ExpectCount(10, "metric");
    // What the restart does: ids from memory would lead to rows that are gone.
    Open();
    EXPECT_EQ(store_->Position("metric-index", 0).value(), 1);
    EXPECT_THAT(Apply(MakePodBatch("", 2000, 10, 2), 2).value().inserted, SizeIs(10));
    EXPECT_THAT(Apply(MakePodBatch("", 3000, 10, 3), 3).value().inserted, SizeIs(10));
    ExpectExactRows(30);
  }
}

TEST_F(MysqlFaultTest, CallsTheFatalHandlerIfOnlyThePositionsWentBackOrAreMissing) {
  Open();
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  ASSERT_TRUE(Apply(MakePodBatch("", 2000, 10, 2), 2));
  database_->RunHere("UPDATE stream_position SET next_offset = 1");
  ExpectFails(Apply(MakePodBatch("", 3000, 10, 3), 3), Errc::kCorrupt, HasSubstr("was 2 and is 1"));
  database_->RunHere("DELETE FROM stream_position");
  ExpectFails(Apply(MakePodBatch("", 3000, 10, 3), 3), Errc::kCorrupt, HasSubstr("was 2 and is missing"));
  EXPECT_THAT(database_->fatal_messages(), SizeIs(2));
  ExpectExactRows(20);
}

TEST_F(MysqlFaultTest, ReadsChangesThatWereWrittenBeforeTheMarkAndCommittedAfterIt) {
  Open();
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 3, 1), 1));
  const auto reader = catalog_->OpenReader();
  const auto person = database_->Connect();
  // Written before the mark, committed after it.
  ASSERT_TRUE(person->Exec("START TRANSACTION"));
  ASSERT_TRUE(
      person->Exec("UPDATE metric_seen SET last_seen = 9000, changed = UNIX_TIMESTAMP(NOW(3)) * 1000 WHERE "
                   "metric_id = 2"));
  uint64_t mark = reader->State().value().seen_mark;
  std::map<uint64_t, int64_t> told;
  const auto follow = [&] {
    mark = reader->ReadSeenChanges(mark, [&](const SeenUpdate& u) { told[u.id] = u.last_seen_ms; }).value();
  };
  follow();
  EXPECT_THAT(told, testing::Not(Contains(Pair(2, 9000))));
  ASSERT_TRUE(person->Exec("COMMIT"));
  follow();
  EXPECT_THAT(told, Contains(Pair(2, 9000)));
  // What is older than the longest transaction is not read again and again.
  database_->RunHere("UPDATE metric_seen SET changed = changed - 3600000");
  told.clear();
  follow();
  EXPECT_THAT(told, IsEmpty());
}

TEST_F(MysqlFaultTest, ReadsManyChangesOfTheSameTimeInPages) {
  database_->options().longest_transaction = std::chrono::seconds(60);  // this machine may be busy
  Open();
  const Result<ApplyResult> applied = Apply(MakePodBatch("", 1000, 25'000, 1), 1);
  ASSERT_TRUE(applied) << applied.error().message();
  database_->RunHere("UPDATE metric_seen SET changed = changed DIV 100000 * 100000");
  std::set<uint64_t> told;
  size_t visits = 0;
  const auto reader = catalog_->OpenReader();
  ASSERT_TRUE(reader->ReadSeenChanges(0, [&](const SeenUpdate& u) { told.insert(u.id), ++visits; }));
  EXPECT_THAT(told, SizeIs(25'000));
  EXPECT_EQ(visits, 25'000u);
  EXPECT_THAT(ReadAll(*reader), SizeIs(25'000));
  EXPECT_EQ(reader->CountSeries(UINT64_MAX).value(), 25'000u);
}

}  // namespace
}  // namespace mi::store
