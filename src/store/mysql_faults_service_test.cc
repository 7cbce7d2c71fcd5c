// What a database does to those who write into it: killed, cut, frozen, locked, full, read-only. Whatever it is, the
// rows are exact in the end, and no position is ahead of its data.
#include <atomic>
#include <set>
#include <thread>

#include "store/contract_test.h"
#include "store/mysql_test.h"
#include "support/scarce_memory.h"

namespace mi::store {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

constexpr size_t kLabelsOfAPod = 9;  // in metric_label; see MakePodBatch

class MysqlFaultTest : public testing::Test {
 protected:
  void SetUp() override {
    server_ = RealService::Get("mariadb");
    if (server_ == nullptr) GTEST_SKIP() << RealService::kMissing;
    database_.emplace(*server_);
  }
  void Open() {
    catalog_ = database_->Open();
    const Status prepared = catalog_->Prepare();
    ASSERT_TRUE(prepared) << prepared.error().message();
    store_ = catalog_->OpenStore();
  }
  Result<ApplyResult> Apply(const model::SeriesBatch& batch, int64_t next_offset) {
    return ApplyBy(*store_, batch, next_offset);
  }
  static Result<ApplyResult> ApplyBy(SeriesStore& store, const model::SeriesBatch& batch, int64_t next_offset,
                                     int32_t partition = 0) {
    const StreamPosition position[] = {{"metric-index", partition, next_offset}};
    return store.Apply({&batch, 1}, position);
  }
  // Until it succeeds: what a worker does. Anything that is not worth repeating fails the test.
  static ApplyResult ApplyAtLast(SeriesStore& store, const model::SeriesBatch& batch, int64_t next_offset,
                                 int32_t partition) {
    for (;;) {
      Result<ApplyResult> result = ApplyBy(store, batch, next_offset, partition);
      if (result) return *std::move(result);
      if (result.error().code() != Errc::kUnavailable && result.error().code() != Errc::kOverloaded) {
        ADD_FAILURE() << result.error().message();
        return {};
      }
      std::this_thread::yield();
    }
  }
  void ExpectFails(const Result<ApplyResult>& result, Errc code, const testing::Matcher<std::string>& message) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), code) << result.error().message();
    EXPECT_THAT(result.error().message(), message);
  }
  // Every table holds what `series` pod series of one tenant make, once.
  void ExpectExactRows(size_t series) {
    database_->ExpectCount(series, "metric");
    database_->ExpectCount(series, "metric_seen");
    database_->ExpectCount(series, "v_series");
    EXPECT_EQ(database_->AskOne("SELECT COUNT(*) - COUNT(DISTINCT metric) FROM metric"), "0");
    EXPECT_EQ(database_->AskOne("SELECT COUNT(*) - COUNT(DISTINCT value) FROM metric_label_value"), "0");
    // The labels of each, all of them.
    EXPECT_EQ(database_->Ask(
                  format("SELECT COUNT(*) FROM metric_label GROUP BY metric_id HAVING COUNT(*) <> {}", kLabelsOfAPod)),
              std::vector<std::vector<std::string>>());
    database_->ExpectCount(series * kLabelsOfAPod, "v_series_label");
  }
  // Until a transaction waits for a row. (innodb_trx is cached for as long as it is read often.)
  void AwaitLockWait() {
    const auto connection = database_->Connect();
    MysqlStatement* waits = connection
                                ->Prepare(
                                    "SELECT variable_value FROM information_schema.global_status WHERE "
                                    "variable_name = 'Innodb_row_lock_current_waits'")
                                .value();
    do {
      ASSERT_TRUE(waits->Run());
      ASSERT_TRUE(waits->Fetch().value());
    } while (waits->Text(0) == "0");
  }
  // Somebody who keeps what the next transaction writes last: positions.
  std::unique_ptr<MysqlConnection> HoldPosition() {
    auto person = database_->Connect();
    EXPECT_TRUE(person->Exec("START TRANSACTION"));
    EXPECT_TRUE(person->Exec("UPDATE stream_position SET next_offset = next_offset + 0, stream = stream"));
    EXPECT_TRUE(person->Exec("DELETE FROM stream_position WHERE partition_id = 0"));
    return person;
  }
  // Yesterday's rows, in place: what the first batch made, and nothing else.
  void RestoreTheFirstTen() {
    const auto person = database_->Connect();
    for (const char* sql :
         {"DELETE FROM metric WHERE id > 10", "DELETE FROM metric_seen WHERE metric_id > 10",
          "DELETE l FROM metric_label l WHERE metric_id > 10",
          "DELETE FROM metric_label_value WHERE id NOT IN (SELECT metric_label_value_id FROM metric_label)",
          "UPDATE stream_position SET next_offset = 1",
          "UPDATE metric_next_id SET next_id = 11 WHERE name = 'metric'"}) {
      ASSERT_TRUE(person->Exec(sql));
    }
  }
  double Repeated() { return database_->metrics().GetCounter("store_repeated_total", "").Value(); }

  RealService* server_ = nullptr;
  std::optional<TestDatabase> database_;
  std::unique_ptr<MysqlCatalog> catalog_;
  std::unique_ptr<SeriesStore> store_;
};

// Writers that bring the same series, in batches that begin elsewhere, until `fault` is over.
class Load {
 public:
  static constexpr size_t kBatches = 24;
  static constexpr size_t kBatchSeries = 100;
  static constexpr size_t kSeries = kBatches * kBatchSeries;

  template <typename ApplyAtLast>
  Load(MysqlCatalog& catalog, size_t writers, ApplyAtLast apply) {
    for (size_t w = 0; w < writers; ++w) {
      threads_.emplace_back([&catalog, this, apply, w, writers] {
        const auto store = catalog.OpenStore();
        for (size_t round = 0; !over_ || round < kBatches; ++round) {
          const size_t batch = (round + w * kBatches / writers) % kBatches;
          apply(*store, MakePodBatch("", 1000 + static_cast<int64_t>(w), kBatchSeries, batch),
                static_cast<int64_t>(round), static_cast<int32_t>(w));
          ++applied_;
        }
      });
    }
  }
  void AwaitMore(size_t batches) const {
    const size_t until = applied_ + batches;
    while (applied_ < until) std::this_thread::yield();
  }
  // Every writer has brought every batch.
  void Finish() {
    over_ = true;
    threads_.clear();
  }
  size_t applied() const { return applied_; }

 private:
  std::atomic<size_t> applied_ = 0;
  std::atomic<bool> over_ = false;
  std::vector<std::jthread> threads_;
};

TEST_F(MysqlFaultTest, SurvivesAServerThatIsKilledInMidLoad) {
  Open();
  Load load(*catalog_, 3, ApplyAtLast);
  for (int kill = 0; kill < 3; ++kill) {
    load.AwaitMore(4);
    server_->Kill();
    EXPECT_EQ(catalog_->Health().error().code(), Errc::kUnavailable);
    server_->Start();
  }
  load.Finish();
  EXPECT_TRUE(catalog_->Health());
  ExpectExactRows(Load::kSeries);
  EXPECT_EQ(database_->Ask("SELECT DISTINCT first_seen, last_seen FROM v_series"),
            (std::vector<std::vector<std::string>>{{"1000", "1002"}}));
}

TEST_F(MysqlFaultTest, SurvivesConnectionsThatAreCutInMidLoad) {
  Open();
  Load load(*catalog_, 3, ApplyAtLast);
  const auto person = database_->Connect();
  const auto& away = database_->metrics().GetCounter("store_errors_total", "", {{"kind", "away"}});
  // A cut between two calls is not noticed: the connection is renewed.
  for (int cut = 0; cut < 12 || away.Value() < 1; ++cut) {
    load.AwaitMore(2);
    for (const auto& row : database_->Ask(format("SELECT id FROM information_schema.processlist WHERE db = '{}' AND "
                                                 "id <> CONNECTION_ID()",
                                                 database_->name()))) {
      (void)person->Exec("KILL " + row[0]);  // it may have gone by itself, and `person` is one of them
    }
  }
  load.Finish();
  ExpectExactRows(Load::kSeries);
}

TEST_F(MysqlFaultTest, AppliesNothingWhenItsConnectionIsCutInMidTransaction) {
  Open();
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  auto person = HoldPosition();
  Result<ApplyResult> result = ApplyResult();
  std::jthread applier([&] { result = Apply(MakePodBatch("", 2000, 30, 1), 2); });
  AwaitLockWait();  // all but the position is written
  for (const auto& row : database_->Ask(format("SELECT id FROM information_schema.processlist WHERE db = '{}' AND "
                                               "command <> 'Sleep' AND id <> CONNECTION_ID()",
                                               database_->name()))) {
    database_->Run("KILL " + row[0]);
  }
  applier.join();
  ExpectFails(result, Errc::kUnavailable, HasSubstr("127.0.0.1"));
  person.reset();
  ExpectExactRows(10);
  EXPECT_EQ(store_->Position("metric-index", 0).value(), 1);
  EXPECT_THAT(Apply(MakePodBatch("", 2000, 30, 1), 2).value().inserted, SizeIs(20));
  ExpectExactRows(30);
}

TEST_F(MysqlFaultTest, GivesUpOnAFrozenServerAndGoesOnWhenItThaws) {
  database_->options().longest_transaction = std::chrono::seconds(2);
  Open();
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  server_->Freeze();
  ExpectFails(Apply(MakePodBatch("", 2000, 20, 1), 2), Errc::kUnavailable, HasSubstr("127.0.0.1"));
  // A new connection gets no greeting, either.
  EXPECT_FALSE(catalog_->Health());
  server_->Thaw();
  ApplyAtLast(*store_, MakePodBatch("", 2000, 20, 1), 2, 0);
  ExpectExactRows(20);
  EXPECT_EQ(store_->Position("metric-index", 0).value(), 2);
}

TEST_F(MysqlFaultTest, RepeatsATransactionThatWasADeadlocksVictim) {
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

TEST_F(MysqlFaultTest, LetsStoresThatBringTheSameSeriesInOppositeOrderPass) {
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

TEST_F(MysqlFaultTest, LetsStoresMakeTheSameDictionaryRowsAtOnce) {
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

TEST_F(MysqlFaultTest, IsOverloadedWhileALockStays) {
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

TEST_F(MysqlFaultTest, EndsCallsThatWaitForALockWhenItIsInterrupted) {
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

TEST_F(MysqlFaultTest, EndsPreparingWhenItIsInterrupted) {
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
  ExpectFails(Apply(MakePodBatch("", 1000, 10, 1), 1), Errc::kUnavailable, testing::_);
  database_->RunHere("DROP TRIGGER slow");
  database_->ExpectCount(0, "metric");
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  ExpectExactRows(10);
}

TEST_F(MysqlFaultTest, EndsATransactionOfManyStatementsThatTakesTooLong) {
  database_->options().longest_transaction = std::chrono::seconds(2);
  database_->options().bulk = MysqlBulk::kMultiRow;
  Open();
  // None of them is long: 128 rows at once, of 2 ms each.
  database_->RunHere(
      "CREATE TRIGGER slow BEFORE INSERT ON metric_label FOR EACH ROW SET NEW.metric_id = NEW.metric_id + "
      "SLEEP(0.002)");
  ExpectFails(Apply(MakePodBatch("", 1000, 150, 1), 1), Errc::kUnavailable, HasSubstr("a transaction took"));
  database_->RunHere("DROP TRIGGER slow");
  database_->ExpectCount(0, "metric");
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 150, 1), 1));
  ExpectExactRows(150);
}

TEST_F(MysqlFaultTest, SaysAgainThatTimesMovedWhoseCommitHadNoAnswer) {
  database_->options().longest_transaction = std::chrono::seconds(2);
  Open();
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  const auto person = database_->Connect();
  for (const char* stage : {"START", "FLUSH", "BLOCK_DDL", "BLOCK_COMMIT"}) {
    ASSERT_TRUE(person->Exec(format("BACKUP STAGE {}", stage)));
  }
  // All but its COMMIT is done, and that is given up: it may yet be seen.
  ExpectFails(Apply(MakePodBatch("", 2000, 10, 1), 2), Errc::kUnavailable, testing::_);
  ASSERT_TRUE(person->Exec("BACKUP STAGE END"));
  const std::string changed = database_->AskOne("SELECT MAX(changed) FROM metric_seen");
  ASSERT_TRUE(Apply(MakePodBatch("", 3000, 10, 2), 2));
  EXPECT_EQ(database_->AskOne(format("SELECT MIN(changed) > {} FROM metric_seen WHERE metric_id <= 10", changed)), "1");
  // Once.
  const std::string again = database_->AskOne("SELECT MAX(changed) FROM metric_seen WHERE metric_id <= 10");
  ASSERT_TRUE(Apply(MakePodBatch("", 3000, 10, 2), 2));
  EXPECT_EQ(database_->AskOne("SELECT MAX(changed) FROM metric_seen WHERE metric_id <= 10"), again);
}

TEST_F(MysqlFaultTest, WaitsForAPrimaryWhenTheServerOnlyReads) {
  ASSERT_NO_FATAL_FAILURE(Open());
  database_->MakeUser("writer", "", "SELECT, INSERT, UPDATE");  // root may write all the same
  MysqlOptions options = database_->options();
  options.user = "writer";
  const auto catalog = database_->Open(options);
  const auto store = catalog->OpenStore();
  ASSERT_TRUE(ApplyBy(*store, MakePodBatch("", 1000, 10, 1), 1));
  database_->Run("SET GLOBAL read_only = 1");
  ExpectFails(ApplyBy(*store, MakePodBatch("", 2000, 20, 1), 2), Errc::kUnavailable,
              AllOf(HasSubstr("read-only"), HasSubstr("mysql.host")));
  EXPECT_THAT(ReadAll(*catalog->OpenReader()), SizeIs(10));
  EXPECT_TRUE(catalog->Prepare());  // nothing is to be written
  database_->Run("SET GLOBAL read_only = 0");
  ASSERT_TRUE(ApplyBy(*store, MakePodBatch("", 2000, 20, 1), 2));
  ExpectExactRows(20);
}

TEST_F(MysqlFaultTest, IsOverloadedWhileTheServersDiskIsFull) {
  Open();
  for (const auto& [number, kind] : {std::pair("1114", "HY000"), std::pair("1021", "HY000")}) {
    database_->RunHere(
        format("CREATE TRIGGER full BEFORE INSERT ON metric_label FOR EACH ROW SIGNAL SQLSTATE '{}' SET "
               "MYSQL_ERRNO = {}, MESSAGE_TEXT = 'full'",
               kind, number));
    ExpectFails(Apply(MakePodBatch("", 1000, 10, 1), 1), Errc::kOverloaded, HasSubstr(number));
    database_->RunHere("DROP TRIGGER full");
    database_->ExpectCount(0, "metric");
  }
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  ExpectExactRows(10);
}

TEST_F(MysqlFaultTest, ShowsThatItIsDownWhileTheServerAnswersAndTakesNothing) {
  Open();
  const auto& up = database_->metrics().GetGauge("store_up", "");
  const auto errors = [this](const char* kind) {
    return database_->metrics().GetCounter("store_errors_total", "", {{"kind", kind}}).Value();
  };
  EXPECT_EQ(up.Value(), 1);
  database_->RunHere(
      "CREATE TRIGGER full BEFORE INSERT ON metric_label FOR EACH ROW SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114, "
      "MESSAGE_TEXT = 'full'");
  ASSERT_FALSE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  EXPECT_TRUE(catalog_->Health());
  EXPECT_EQ(up.Value(), 0);
  EXPECT_EQ(errors("disk_full"), 1);
  // Another store's success says nothing of this one's.
  const auto other = catalog_->OpenStore();
  ASSERT_TRUE(other->Apply({}, {}));
  EXPECT_EQ(up.Value(), 0);
  database_->RunHere("DROP TRIGGER full");
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  EXPECT_EQ(up.Value(), 1);
  // A record that is refused is not the database's fault.
  const model::SeriesBatch not_utf8 = MakeBatch("", 1, {{{"__name__", "m"}, {"a", "\xff"}}});
  EXPECT_EQ(other->Apply({&not_utf8, 1}, {}).error().code(), Errc::kInvalid);
  EXPECT_EQ(up.Value(), 1);
}

TEST_F(MysqlFaultTest, RefusesForGoodOnlyTheRowThatIsAboveThePacket) {
  const std::string before = database_->Connect(false) ? "16777216" : "";
  database_->Run("SET GLOBAL max_allowed_packet = 65536");
  Open();
  const model::SeriesBatch large = MakeBatch("", 1, {{{"__name__", "m"}, {"a", std::string(100'000, 'x')}}});
  const model::SeriesBatch fitting = MakeBatch("", 1,
                                               {{{"__name__", "m"}, {"a", std::string(20'000, 'x')}},
                                                {{"__name__", "m"}, {"a", std::string(20'000, 'y')}},
                                                {{"__name__", "m"}, {"a", std::string(20'000, 'z')}},
                                                {{"__name__", "m"}, {"a", std::string(20'000, 'z') + " "}}});
  ExpectFails(Apply(large, 1), Errc::kTooLarge, AllOf(HasSubstr("max_allowed_packet"), HasSubstr("64 KiB")));
  EXPECT_THAT(Apply(fitting, 1).value().inserted, SizeIs(4));
  database_->Run("SET GLOBAL max_allowed_packet = " + before);
  EXPECT_THAT(catalog_->OpenStore()->Apply({&fitting, 1}, {}).value().inserted, IsEmpty());
}

TEST_F(MysqlFaultTest, UsesNoMoreConnectionsThanItMayAndSaysWhenTheyAreAllTaken) {
  database_->options().max_open_conns = 1;
  database_->options().max_idle_conns = 0;
  database_->options().connect_timeout = std::chrono::seconds(1);
  Open();
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  const auto connections = [this] {
    return database_->AskOne(
        format("SELECT COUNT(*) FROM information_schema.processlist WHERE db = '{}' AND id <> "
               "CONNECTION_ID()",
               database_->name()));
  };
  EXPECT_EQ(connections(), "0");
  const auto reader = catalog_->OpenReader();
  Result<ApplyResult> result = ApplyResult();
  ASSERT_TRUE(reader->ReadSeries(0, [&](const StoredSeries&) {
    result = Apply(MakePodBatch("", 2000, 20, 1), 2);
    EXPECT_EQ(connections(), "1");
    return false;
  }));
  ExpectFails(result, Errc::kOverloaded, HasSubstr("mysql.max_open_conns"));
  ASSERT_TRUE(Apply(MakePodBatch("", 2000, 20, 1), 2));
}

TEST_F(MysqlFaultTest, ForgetsIdsThatARestoredBackupDoesNotHave) {
  Open();
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  ASSERT_TRUE(Apply(MakePodBatch("", 2000, 10, 2), 2));
  RestoreTheFirstTen();
  server_->Stop();
  server_->Start();
  EXPECT_FALSE(Apply(MakePodBatch("", 2000, 10, 2), 2));  // its connection has gone
  EXPECT_EQ(store_->Position("metric-index", 0).value(), 1);
  EXPECT_THAT(Apply(MakePodBatch("", 2000, 10, 2), 2).value().inserted, SizeIs(10));
  ExpectExactRows(20);
}

TEST_F(MysqlFaultTest, ForgetsIdsThatABackupDoesNotHaveWhichWasRestoredUnderItsConnections) {
  Open();
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  ASSERT_TRUE(Apply(MakePodBatch("", 2000, 10, 2), 2));
  RestoreTheFirstTen();
  ExpectFails(Apply(MakePodBatch("", 3000, 10, 3), 3), Errc::kOutdated, HasSubstr("was at 2 and is at 1"));
  EXPECT_EQ(store_->Position("metric-index", 0).value(), 1);
  EXPECT_THAT(Apply(MakePodBatch("", 2000, 10, 2), 2).value().inserted, SizeIs(10));
  EXPECT_THAT(Apply(MakePodBatch("", 3000, 10, 3), 3).value().inserted, SizeIs(10));
  ExpectExactRows(30);
}

TEST_F(MysqlFaultTest, AppliesNothingBehindAPositionThatWentBackUntilItHasBeenReadAgain) {
  Open();
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  ASSERT_TRUE(Apply(MakePodBatch("", 2000, 10, 2), 2));
  database_->RunHere("UPDATE stream_position SET next_offset = 1");
  ExpectFails(Apply(MakePodBatch("", 3000, 10, 3), 3), Errc::kOutdated, HasSubstr("was at 2 and is at 1"));
  ExpectExactRows(20);
  EXPECT_EQ(store_->Position("metric-index", 0).value(), 1);
  EXPECT_TRUE(Apply(MakePodBatch("", 2000, 10, 2), 2));
  EXPECT_TRUE(Apply(MakePodBatch("", 3000, 10, 3), 3));
  ExpectExactRows(30);
  database_->RunHere("DELETE FROM stream_position");
  ExpectFails(Apply(MakePodBatch("", 4000, 10, 4), 4), Errc::kOutdated, HasSubstr("is at -1"));
}

TEST_F(MysqlFaultTest, LetsGoOfTheBatchesThatItHadNoMemoryFor) {
  if (!tests::ScarceMemory::kToBeHad) GTEST_SKIP() << "the sanitizer has a new of its own";
  for (const MysqlBulk bulk : {MysqlBulk::kArrays, MysqlBulk::kMultiRow}) {
    SCOPED_TRACE(static_cast<int>(bulk));
    store_.reset();
    catalog_.reset();
    database_.emplace(*server_);
    database_->options().bulk = bulk;
    Open();
    size_t refusals = 0;
    size_t batches = 0;
    // Less and less: it runs out a little earlier each time, whatever is under way then.
    for (size_t bytes = 256 << 10; bytes >= 2 << 10; bytes -= bytes / 4) {
      store_ = catalog_->OpenStore();  // its buffers are small again
      try {
        const model::SeriesBatch batch = MakePodBatch("", 1000, 300, batches++);
        const tests::ScarceMemory scarce(bytes);
        (void)Apply(batch, 1);
      } catch (const std::bad_alloc&) {
        ++refusals;
      }
      // Another batch, where the one that has gone was in memory.
      ASSERT_TRUE(Apply(MakePodBatch("", 1000, 300, batches++), 1));
    }
    EXPECT_GT(refusals, 5u);
    for (size_t batch = 0; batch < batches; ++batch) ASSERT_TRUE(Apply(MakePodBatch("", 1000, 300, batch), 1));
    ExpectExactRows(batches * 300);
    EXPECT_EQ(database_->Ask("SELECT id FROM metric_label_value WHERE hash <> UNHEX(LEFT(SHA2(value, 256), 32))"),
              std::vector<std::vector<std::string>>());
  }
}

TEST_F(MysqlFaultTest, GivesExactRowsWhenSeveralStoresReplayTheSameStreamAtOnce) {
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

TEST_F(MysqlFaultTest, TellsAFollowerWhatWasCommittedAfterItsMark) {
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

TEST_F(MysqlFaultTest, ReadsManyChangesOfOneMomentInPages) {
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

TEST_F(MysqlFaultTest, SpeaksThroughAUnixSocketAndInTls) {
  Open();
  MysqlOptions options = database_->options();
  options.host = "nowhere.invalid";
  options.port = 1;
  options.socket = server_->directory() + "/socket";
  EXPECT_TRUE(database_->Open(options)->Health());

  const std::string pem = server_->directory() + "/tls";
  ASSERT_EQ(
      std::system(format("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext "
                         "subjectAltName=IP:127.0.0.1 -keyout '{0}.key' -out '{0}.crt' 2>/dev/null && "
                         "chmod 644 '{0}.key' && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=other "
                         "-keyout '{0}-other.key' -out '{0}-other.crt' 2>/dev/null",
                         pem)
                      .c_str()),
      0);
  setenv("MI_MARIADB_ARGS", format("--ssl-cert={0}.crt --ssl-key={0}.key --ssl-ca={0}.crt", pem).c_str(), 1);
  server_->Stop();
  server_->Start();
  unsetenv("MI_MARIADB_ARGS");
  const auto cipher = [&](const std::string& mode, const std::string& ca) {
    MysqlOptions tls = database_->options();
    tls.tls = {.mode = mode, .ca = ca};
    const MysqlFaultListener nobody;
    const auto connection = MysqlConnection::Connect(tls, MysqlConnection::Purpose::kServe, nobody);
    if (!connection) return connection.error().message();
    MysqlStatement* select =
        (*connection)
            ->Prepare(
                "SELECT variable_value FROM information_schema.session_status WHERE variable_name = "
                "'ssl_cipher'")
            .value();
    EXPECT_TRUE(select->Run());
    EXPECT_TRUE(select->Fetch().value());
    return std::string(select->Text(0));
  };
  EXPECT_EQ(cipher("off", ""), "");
  EXPECT_THAT(cipher("required", ""), HasSubstr("AES"));
  EXPECT_THAT(cipher("verify", pem + ".crt"), HasSubstr("AES"));
  EXPECT_THAT(cipher("verify", pem + "-other.crt"), HasSubstr("mysql.tls"));
  server_->Stop();
  server_->Start();
  EXPECT_THAT(cipher("required", ""), HasSubstr("mysql.tls"));
}

}  // namespace
}  // namespace mi::store
