// Writers beside each other and beside people: locks, deadlocks, transactions that take too long, and the end of
// waiting.
#include <thread>

#include "store/testing/mysql_fault_test.h"

namespace mi::store {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(MysqlFaultTest, RepeatsATransactionThatADeadlockEnded) {
  Open();
  const model::SeriesBatch batch = MakePodBatch("", 1000, 10, 1);
  ASSERT_TRUE(Apply(batch, 1));
  database_->RunHere("CREATE TABLE ballast (id INT PRIMARY KEY) ENGINE=InnoDB");
  auto person = HoldPosition();
  // The victim is the transaction that wrote less.
  ASSERT_TRUE(person->Exec("INSERT INTO ballast SELECT seq FROM seq_1_to_5000"));
  Result<ApplyResult> result = Fail(Errc::kInternal, "not run");
  std::jthread applier([&] { result = Apply(MakePodBatch("", 2000, 20, 1), 2); });
  AwaitLockWait();  // it holds the times of the ten, and waits for the position
  ASSERT_TRUE(person->Exec("UPDATE metric_seen SET last_seen = last_seen + 0, changed = changed + 1"));
  ASSERT_TRUE(person->Exec("ROLLBACK"));
  applier.join();
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_THAT(result->inserted, SizeIs(10));
  EXPECT_EQ(result->existing, 10u);
  EXPECT_GE(Repeated(), 1);
  ExpectExactRows(20);
}

TEST_F(MysqlFaultTest, SeveralStoresApplyTheSameSeriesInOppositeOrder) {
  Open();
  constexpr size_t kStores = 4;
  std::vector<model::SeriesBatch> forward;
  for (size_t i = 0; i < 10; ++i) forward.push_back(MakePodBatch("", 1000, 100, i));
  const std::vector<model::SeriesBatch> backward(forward.rbegin(), forward.rend());
  std::vector<ApplyResult> results(kStores);
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < kStores; ++i) {
      threads.emplace_back([&, i] {
        const auto store = catalog_->OpenStore();
        Result<ApplyResult> result = store->Apply(i % 2 == 0 ? forward : backward, {});
        ASSERT_TRUE(result) << result.error().message();
        results[i] = *std::move(result);
      });
    }
  }
  size_t inserted = 0;
  size_t existing = 0;
  for (const ApplyResult& result : results) {
    inserted += result.inserted.size();
    existing += result.existing;
    EXPECT_THAT(result.collisions, IsEmpty());
  }
  EXPECT_EQ(inserted, 1'000u);
  EXPECT_EQ(existing, (kStores - 1) * 1'000u);
  ExpectExactRows(1'000);
}

TEST_F(MysqlFaultTest, SeveralStoresInsertTheSameDictionaryRowsAtOnce) {
  database_->options().longest_transaction = std::chrono::seconds(60);
  Open();
  constexpr size_t kStores = 6;
  std::vector<std::jthread> threads;
  for (size_t i = 0; i < kStores; ++i) {
    threads.emplace_back([&, i] {
      // Names of their own, values that all of them bring.
      std::vector<LabelPairs> series;
      for (size_t n = 0; n < 400; ++n) {
        series.push_back({{"__name__", format("m{}", i)}, {"pod", format("pod-{}", n)}, {"n", format("{}", n * 7)}});
      }
      const model::SeriesBatch batch = MakeBatch("", 1000, series);
      const Result<ApplyResult> result = catalog_->OpenStore()->Apply({&batch, 1}, {});
      ASSERT_TRUE(result) << result.error().message();
      EXPECT_THAT(result->inserted, SizeIs(400));
    });
  }
  threads.clear();
  database_->ExpectCount(kStores * 400, "v_series");
  database_->ExpectCount(kStores * 800, "v_series_label");
  database_->ExpectCount(kStores, "metric_basic_label");
  EXPECT_EQ(database_->AskOne("SELECT COUNT(*) - COUNT(DISTINCT value) FROM metric_label_value"), "0");
}

TEST_F(MysqlFaultTest, IsOverloadedWhileAnotherTransactionKeepsALock) {
  database_->options().longest_transaction = std::chrono::seconds(2);
  Open();
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  auto person = HoldPosition();
  const Result<ApplyResult> result = Apply(MakePodBatch("", 2000, 20, 1), 2);
  ASSERT_FALSE(result);
  EXPECT_TRUE(result.error().code() == Errc::kOverloaded || result.error().code() == Errc::kUnavailable)
      << result.error().message();
  person.reset();
  ASSERT_TRUE(Apply(MakePodBatch("", 2000, 20, 1), 2));
  ExpectExactRows(20);
}

TEST_F(MysqlFaultTest, InterruptEndsCallsThatWaitForALock) {
  database_->options().longest_transaction = std::chrono::seconds(600);
  Open();
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  for (const bool frozen : {false, true}) {
    auto catalog = database_->Open();
    const auto store = catalog->OpenStore();
    auto person = HoldPosition();
    Result<ApplyResult> result = ApplyResult();
    std::jthread applier([&] { result = ApplyBy(*store, MakePodBatch("", 2000, 20, 1), 2); });
    AwaitLockWait();
    if (frozen) server_->Freeze();
    EXPECT_EQ(catalog->Interrupt(), 1u);
    applier.join();
    ExpectFails(result, Errc::kUnavailable, HasSubstr("127.0.0.1"));
    ExpectFails(ApplyBy(*store, MakePodBatch("", 2000, 20, 1), 2), Errc::kUnavailable, HasSubstr("stop"));
    EXPECT_EQ(catalog->Health().error().code(), Errc::kUnavailable);
    EXPECT_EQ(catalog->Prepare().error().code(), Errc::kUnavailable);
    if (frozen) server_->Thaw();
    person.reset();
    database_->ExpectCount(10, "metric");
  }
  ApplyAtLast(*store_, MakePodBatch("", 2000, 20, 1), 2, 0);
  ExpectExactRows(20);
}

TEST_F(MysqlFaultTest, InterruptEndsPrepare) {
  database_->options().longest_transaction = std::chrono::seconds(600);
  Open();
  const auto person = database_->Connect();
  ASSERT_TRUE(person->Exec("LOCK TABLES schema_version WRITE"));
  Status prepared;
  std::jthread preparer([&] { prepared = catalog_->Prepare(); });
  while (database_->AskOne("SELECT COUNT(*) FROM information_schema.processlist WHERE state = "
                           "'Waiting for table metadata lock'") != "1") {
    std::this_thread::yield();
  }
  EXPECT_EQ(catalog_->Interrupt(), 1u);
  preparer.join();
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().code(), Errc::kUnavailable) << prepared.error().message();
}

TEST_F(MysqlFaultTest, EndsATransactionThatTakesTooLong) {
  database_->options().longest_transaction = std::chrono::seconds(2);
  Open();
  database_->RunHere(
      "CREATE TRIGGER slow BEFORE INSERT ON stream_position FOR EACH ROW SET NEW.next_offset = "
      "NEW.next_offset + SLEEP(20)");
  ExpectFails(Apply(MakePodBatch("", 1000, 10, 1), 1), Errc::kOverloaded, testing::_);
  database_->RunHere("DROP TRIGGER slow");
  database_->ExpectCount(0, "metric");
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  ExpectExactRows(10);
}

TEST_F(MysqlFaultTest, EndsATransactionOfManyStatementsThatTakesTooLong) {
  database_->options().longest_transaction = std::chrono::seconds(6);
  Open();
  // No statement is long: 128 rows at once, of 1 ms each.
  database_->RunHere(
      "CREATE TRIGGER slow BEFORE INSERT ON metric_label FOR EACH ROW SET NEW.metric_id = NEW.metric_id + "
      "SLEEP(0.001)");
  ExpectFails(Apply(MakePodBatch("", 1000, 400, 1), 1), Errc::kOverloaded, HasSubstr("a transaction took"));
  database_->RunHere("DROP TRIGGER slow");
  database_->ExpectCount(0, "metric");
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 400, 1), 1));
  ExpectExactRows(400);
}

TEST_F(MysqlFaultTest, TouchesSeriesAgainWhoseCommitHadNoAnswer) {
  database_->options().longest_transaction = std::chrono::seconds(2);
  Open();
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  const auto person = database_->Connect();
  for (const char* stage : {"START", "FLUSH", "BLOCK_DDL", "BLOCK_COMMIT"}) {
    ASSERT_TRUE(person->Exec(format("BACKUP STAGE {}", stage)));
  }
  // All but its COMMIT is done, and that is given up: it may yet be seen.
  ExpectFails(Apply(MakePodBatch("", 2000, 10, 1), 2), Errc::kOverloaded, testing::_);
  ASSERT_TRUE(person->Exec("BACKUP STAGE END"));
  const std::string changed = database_->AskOne("SELECT MAX(changed) FROM metric_seen");
  ASSERT_TRUE(Apply(MakePodBatch("", 3000, 10, 2), 2));
  EXPECT_EQ(database_->AskOne(format("SELECT MIN(changed) > {} FROM metric_seen WHERE metric_id <= 10", changed)), "1");
  // Once.
  const std::string again = database_->AskOne("SELECT MAX(changed) FROM metric_seen WHERE metric_id <= 10");
  ASSERT_TRUE(Apply(MakePodBatch("", 3000, 10, 2), 2));
  EXPECT_EQ(database_->AskOne("SELECT MAX(changed) FROM metric_seen WHERE metric_id <= 10"), again);
}

TEST_F(MysqlFaultTest, HasExactRowsAfterSeveralStoresReplayTheSameStreamAtOnce) {
  Open();
  Load load(*catalog_, 4, ApplyAtLast);
  load.Finish();
  Load again(*catalog_, 4, ApplyAtLast);
  again.Finish();
  ExpectExactRows(Load::kSeries);
  EXPECT_EQ(database_->Ask("SELECT DISTINCT first_seen, last_seen FROM v_series"),
            (std::vector<std::vector<std::string>>{{"1000", "1003"}}));
  EXPECT_EQ(database_->AskOne("SELECT COUNT(DISTINCT name) FROM metric_label_name"),
            database_->AskOne("SELECT COUNT(*) FROM metric_label_name"));
}

}  // namespace
}  // namespace mi::store
