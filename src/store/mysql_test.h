// What the tests of the MySQL adapter share: a database each on the real server, and a look at it from outside.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "base/format.h"
#include "store/mysql_catalog.h"
#include "store/mysql_connection.h"
#include "support/real_service.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::store {

// A database with a name of its own; it goes with the server. Requires: the server is up.
class TestDatabase {
 public:
  explicit TestDatabase(RealService& server) {
    static int made = 0;
    options_.port = server.port();
    options_.user = "root";
    options_.db_name = format("mi-test_{}_{}", getpid(), made++);
    options_.longest_transaction = std::chrono::seconds(6);
  }
  TestDatabase(const TestDatabase&) = delete;
  TestDatabase& operator=(const TestDatabase&) = delete;

  MysqlOptions& options() { return options_; }
  const std::string& name() const { return options_.db_name; }
  telemetry::Metrics& metrics() { return *metrics_; }

  // As root, whoever the options name; in the database, once there is one. Options must not change any more.
  std::unique_ptr<MysqlConnection> Connect(bool in_database = true) {
    root_ = options_;
    root_.user = "root";
    root_.password.clear();
    root_.socket.clear();
    root_.tls = {};
    const auto purpose = in_database ? MysqlConnection::Purpose::kPrepare : MysqlConnection::Purpose::kWithoutDatabase;
    Result<std::unique_ptr<MysqlConnection>> connection = MysqlConnection::Connect(root_, purpose, nobody_);
    EXPECT_TRUE(connection) << connection.error().message();
    return connection ? *std::move(connection) : nullptr;
  }
  void Run(const std::string& sql) {
    const auto connection = Connect(false);
    ASSERT_NE(connection, nullptr);
    const Status done = connection->Exec(sql);
    EXPECT_TRUE(done) << sql << ": " << done.error().message();
  }
  void RunHere(const std::string& sql) {
    const auto connection = Connect();
    ASSERT_NE(connection, nullptr);
    const Status done = connection->Exec(sql);
    EXPECT_TRUE(done) << sql << ": " << done.error().message();
  }
  void ExpectCount(uint64_t rows, const std::string& table) {
    EXPECT_EQ(AskOne("SELECT COUNT(*) FROM " + table), format("{}", rows)) << table;
  }
  // Rows of texts.
  std::vector<std::vector<std::string>> Ask(const std::string& sql) {
    std::vector<std::vector<std::string>> rows;
    const auto connection = Connect();
    if (connection == nullptr) return rows;
    Result<MysqlStatement*> select = connection->Prepare(sql);
    EXPECT_TRUE(select) << sql << ": " << select.error().message();
    if (!select || !(*select)->Run()) return rows;
    while ((*select)->Fetch().value()) {
      std::vector<std::string>& row = rows.emplace_back();
      for (size_t i = 0; i < (*select)->columns(); ++i) row.push_back((*select)->Shown(i));
    }
    return rows;
  }
  std::string AskOne(const std::string& sql) {
    const auto rows = Ask(sql);
    return rows.size() == 1 && rows[0].size() == 1 ? rows[0][0] : format("{} rows", rows.size());
  }

  // A user with just these rights on the database.
  void MakeUser(const std::string& user, const std::string& password, const std::string& rights) {
    Run(format("CREATE OR REPLACE USER '{}'@'%' IDENTIFIED BY '{}'", user, password));
    if (!rights.empty()) Run(format("GRANT {} ON `{}`.* TO '{}'@'%'", rights, name(), user));
  }

  std::unique_ptr<MysqlCatalog> Open() { return Open(options_); }
  std::unique_ptr<MysqlCatalog> Open(const MysqlOptions& options) {
    return MysqlCatalog::Create(options, *log_, *metrics_);
  }

 private:
  MysqlOptions options_;
  MysqlOptions root_;
  const MysqlFaultListener nobody_;
  const std::unique_ptr<telemetry::Logger> log_ = telemetry::Logger::Null();
  const std::unique_ptr<telemetry::Metrics> metrics_ = telemetry::Metrics::Create();
};

}  // namespace mi::store
