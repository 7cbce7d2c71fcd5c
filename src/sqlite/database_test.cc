#include "sqlite/database.h"

#include <sqlite3.h>

#include <filesystem>
#include <future>

namespace mi::sqlite {
namespace {

class DatabaseTest : public testing::Test {
 protected:
  DatabaseTest() { std::filesystem::create_directories(directory_); }
  ~DatabaseTest() override { std::filesystem::remove_all(directory_); }
  Result<Database> Open(OpenOptions options = {}) { return Database::Open(directory_ + "/test.db", options); }

  const std::string directory_ =
      testing::TempDir() + "sqlite." + testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(DatabaseTest, KeepsBytesExactly) {
  Database database = Open().value();
  ASSERT_TRUE(database.Exec("CREATE TABLE t (a TEXT, b BLOB, c INTEGER)"));
  Statement insert = database.Prepare("INSERT INTO t VALUES (?, ?, ?)").value();
  const std::string bytes("nul\0 and \xff", 10);
  ASSERT_TRUE(insert.BindText(1, "").BindBlob(2, bytes).Bind(3, -7).Run());
  Statement select = database.Prepare("SELECT a, b, c, a IS NULL FROM t").value();
  ASSERT_TRUE(select.Step().value());
  EXPECT_EQ(select.Text(0), "");
  EXPECT_EQ(select.Blob(1), bytes);
  EXPECT_EQ(select.Int(2), -7);
  EXPECT_EQ(select.Int(3), 0);
  EXPECT_FALSE(select.Step().value());
}

TEST_F(DatabaseTest, PreparesStatementsUpToTheFirstThatFails) {
  Database database = Open().value();
  ASSERT_TRUE(database.Exec("CREATE TABLE t (a)"));
  Statement insert;
  Statement count;
  ASSERT_TRUE(database.PrepareEach({{insert, "INSERT INTO t VALUES (?)"}, {count, "SELECT count(*) FROM t"}}));
  EXPECT_TRUE(insert.Bind(1, 5).Run());
  ASSERT_TRUE(count.Step().value());
  EXPECT_EQ(count.Int(0), 1);
  const Status failed = database.PrepareEach({{insert, "SELECT a FROM t"}, {count, "SELECT b FROM t"}});
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message(), testing::HasSubstr("no such column: b"));
}

TEST_F(DatabaseTest, RollsBackATransactionThatIsNotCommitted) {
  Database database = Open().value();
  ASSERT_TRUE(database.Exec("CREATE TABLE t (a)"));
  {
    Transaction transaction = Transaction::Begin(database).value();
    ASSERT_TRUE(database.Exec("INSERT INTO t VALUES (1)"));
  }
  EXPECT_EQ(database.QueryInt("SELECT count(*) FROM t"), 0);
  {
    Transaction transaction = Transaction::Begin(database).value();
    ASSERT_TRUE(database.Exec("INSERT INTO t VALUES (1)"));
    ASSERT_TRUE(transaction.Commit());
  }
  EXPECT_EQ(database.QueryInt("SELECT count(*) FROM t"), 1);
}

TEST_F(DatabaseTest, NamesADamagedFile) {
  std::FILE* file = std::fopen((directory_ + "/test.db").c_str(), "w");
  std::fputs("this is no database, whatever its name says; it is longer than a header of one hundred bytes, too.......",
             file);
  std::fclose(file);
  const Result<Database> database = Open();
  ASSERT_FALSE(database);
  EXPECT_EQ(database.error().code(), Errc::kCorrupt);
  EXPECT_TRUE(database.error().message().contains("test.db")) << database.error().message();
}

TEST_F(DatabaseTest, SaysThatADirectoryIsMissing) {
  const Result<Database> database = Database::Open(directory_ + "/no/such/dir.db", {});
  ASSERT_FALSE(database);
  EXPECT_EQ(database.error().code(), Errc::kUnavailable);
}

TEST_F(DatabaseTest, SaysThatTheDiskIsFull) {
  Database database = Open().value();
  ASSERT_TRUE(database.Exec("CREATE TABLE t (a); PRAGMA max_page_count=4"));
  const Status full = database.Exec("INSERT INTO t VALUES (zeroblob(100000))");
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code(), Errc::kOverloaded);
}

// Rows enough for `kib` KiB.
std::string Fill(int kib) {
  return "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " + std::to_string(kib) +
         ") INSERT INTO t SELECT randomblob(1000) FROM n";
}

TEST_F(DatabaseTest, MakesNoCheckpointsByItselfIfTheOwnerMakesThem) {
  Database database = Open().value();
  ASSERT_TRUE(database.Exec("CREATE TABLE t (a)"));
  ASSERT_TRUE(database.OwnCheckpoints());
  ASSERT_TRUE(database.Exec(Fill(8'000)));  // SQLite's own limit is 1,000 pages
  EXPECT_GT(database.wal_bytes(), 8'000'000);
  EXPECT_LT(std::filesystem::file_size(directory_ + "/test.db"), 100'000U);
  EXPECT_TRUE(database.Checkpoint().value().complete);
  EXPECT_GT(std::filesystem::file_size(directory_ + "/test.db"), 8'000'000U);
  // The next commit begins the log anew, in the same file.
  ASSERT_TRUE(database.Exec(Fill(1)));
  EXPECT_LT(database.wal_bytes(), 100'000);
  EXPECT_TRUE(database.TruncateWal(0).value().complete);
  EXPECT_EQ(database.wal_bytes(), 0);
  EXPECT_EQ(std::filesystem::file_size(directory_ + "/test.db-wal"), 0U);
}

TEST_F(DatabaseTest, WaitsForALockUntilTheLimitIsLowered) {
  Database holder = Open().value();
  constexpr int kForEverMs = 1'000'000;
  std::atomic<int> limit_ms = kForEverMs;
  Database other = Open({.busy_timeout_ms = kForEverMs, .busy_limit_ms = &limit_ms}).value();
  std::future<bool> begun;
  {
    const Transaction lock = Transaction::Begin(holder).value();
    begun = std::async([&] { return Transaction::Begin(other).has_value(); });
  }
  EXPECT_TRUE(begun.get());
  const Transaction lock = Transaction::Begin(holder).value();
  begun = std::async([&] {
    const auto refused = Transaction::Begin(other);
    return !refused && refused.error().code() == Errc::kUnavailable;
  });
  limit_ms = 0;
  EXPECT_TRUE(begun.get());
}

TEST_F(DatabaseTest, MakesAnIncompleteCheckpointWhileAReaderNeedsTheWal) {
  Database database = Open().value();
  ASSERT_TRUE(database.Exec("CREATE TABLE t (a)"));
  Database reader = Open({.read_only = true}).value();
  ASSERT_TRUE(reader.Exec("BEGIN"));
  EXPECT_EQ(reader.QueryInt("SELECT count(*) FROM t"), 0);
  ASSERT_TRUE(database.Exec(Fill(10)));
  EXPECT_FALSE(database.Checkpoint().value().complete);
  EXPECT_FALSE(database.TruncateWal(1).value().complete);
  EXPECT_EQ(reader.QueryInt("SELECT count(*) FROM t"), 0);
  ASSERT_TRUE(reader.Exec("COMMIT"));
  EXPECT_TRUE(database.Checkpoint().value().complete);
  EXPECT_EQ(reader.QueryInt("SELECT count(*) FROM t"), 10);
}

TEST_F(DatabaseTest, ReleasesItsPageCache) {
  Database database = Open().value();
  ASSERT_TRUE(database.Exec("CREATE TABLE t (a);" + Fill(500)));
  const auto cached = [&] {
    int bytes = 0;
    int highest = 0;
    sqlite3_db_status(database.handle(), SQLITE_DBSTATUS_CACHE_USED, &bytes, &highest, 0);
    return bytes;
  };
  EXPECT_GT(cached(), 400'000);
  database.ReleaseMemory();
  EXPECT_LT(cached(), 100'000);
}

TEST_F(DatabaseTest, CopiesWhatIsCommittedWhileAnotherConnectionWrites) {
  Database database = Open().value();
  ASSERT_TRUE(database.Exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)"));
  Transaction transaction = Transaction::Begin(database).value();
  ASSERT_TRUE(database.Exec("INSERT INTO t VALUES (2)"));
  {
    Database source = Open({.read_only = true}).value();
    Database target = Database::Open(directory_ + "/copy.db", {.wal = false}).value();
    ASSERT_TRUE(source.CopyTo(target));
    EXPECT_EQ(target.QueryInt("SELECT sum(a) FROM t"), 1);
    ASSERT_TRUE(target.Exec("PRAGMA journal_mode=DELETE"));
  }
  ASSERT_TRUE(transaction.Commit());
  Database copy = Database::Open(directory_ + "/copy.db", {.read_only = true}).value();
  EXPECT_EQ(copy.QueryInt("SELECT sum(a) FROM t"), 1);
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/copy.db-wal"));
}

}  // namespace
}  // namespace mi::sqlite
