// A statement that runs again and again, with parameters of other types and after failures.
#include "store/mysql/statement.h"

#include <mysqld_error.h>

#include "store/mysql/schema.h"
#include "store/testing/mysql_database.h"

namespace mi::store {
namespace {

class MysqlStatementTest : public testing::Test {
 protected:
  void SetUp() override {
    RealService* server = RealService::Get("mariadb");
    if (server == nullptr) GTEST_SKIP() << RealService::kMissing;
    database_.emplace(*server);
    database_->Run(MysqlDatabaseSql(database_->name()));
    connection_ = database_->Connect();
    ASSERT_NE(connection_, nullptr);
    ASSERT_TRUE(connection_->Exec("CREATE TABLE t (id BIGINT PRIMARY KEY, n DECIMAL(30), s TEXT)"));
  }
  template <typename... Values>
  bool Insert(const Values&... values) {
    return connection_->Query("INSERT INTO t (id, n, s) VALUES (?, ?, ?)", values...).has_value();
  }
  std::string Row(int64_t id) {
    const auto rows = database_->Ask(format("SELECT n, s FROM t WHERE id = {}", id));
    return rows.size() == 1 ? format("{} {}", rows[0][0], rows[0][1]) : format("{} rows", rows.size());
  }

  std::optional<TestDatabase> database_;
  std::unique_ptr<MysqlConnection> connection_;
};

constexpr uint64_t kLargest = UINT64_MAX;

TEST_F(MysqlStatementTest, ReadsTheParametersOfEachRunAnew) {
  EXPECT_TRUE(Insert(int64_t{1}, kLargest, uint64_t{7}));
  EXPECT_TRUE(Insert(int64_t{2}, kLargest - 1, uint64_t{8}));
  EXPECT_TRUE(Insert(int64_t{3}, int64_t{-1}, uint64_t{9}));            // signed after unsigned
  EXPECT_TRUE(Insert(int64_t{4}, kLargest, uint64_t{10}));              // and back
  EXPECT_TRUE(Insert(int64_t{5}, int64_t{-2}, std::string("a text")));  // a text after a number
  EXPECT_TRUE(Insert(int64_t{6}, int64_t{-2}, std::string("another, longer text")));
  EXPECT_TRUE(Insert(int64_t{7}, int64_t{-3}, uint64_t{11}));
  EXPECT_EQ(Row(1), "18446744073709551615 7");
  EXPECT_EQ(Row(2), "18446744073709551614 8");
  EXPECT_EQ(Row(3), "-1 9");
  EXPECT_EQ(Row(4), "18446744073709551615 10");
  EXPECT_EQ(Row(5), "-2 a text");
  EXPECT_EQ(Row(6), "-2 another, longer text");
  EXPECT_EQ(Row(7), "-3 11");
}

TEST_F(MysqlStatementTest, RunsAgainAfterAFailure) {
  EXPECT_TRUE(Insert(int64_t{1}, uint64_t{1}, uint64_t{1}));
  EXPECT_FALSE(Insert(int64_t{1}, uint64_t{2}, uint64_t{2}));
  EXPECT_EQ(connection_->last_number(), static_cast<unsigned>(ER_DUP_ENTRY));
  EXPECT_TRUE(Insert(int64_t{2}, kLargest, uint64_t{3}));
  EXPECT_FALSE(
      Insert(int64_t{2}, int64_t{-1}, std::string("x")));  // the types of a failed run are not those of the next
  EXPECT_TRUE(Insert(int64_t{3}, int64_t{-1}, std::string("y")));
  EXPECT_EQ(Row(1), "1 1");
  EXPECT_EQ(Row(2), "18446744073709551615 3");
  EXPECT_EQ(Row(3), "-1 y");
}

}  // namespace
}  // namespace mi::store
