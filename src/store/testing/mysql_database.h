// What the tests of the MySQL adapter share: a database each on the real server, and a look at it from outside.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "base/format.h"
#include "store/mysql/catalog.h"
#include "store/mysql/connection.h"
#include "store/testing/fatal_log.h"
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
  std::vector<std::string> fatal_messages() const { return fatal_.messages(); }

  // As root, whoever the options name; in the database, once there is one. Options must not change any more.
  std::unique_ptr<MysqlConnection> Connect(bool in_database = true) {
    root_ = options_;
    root_.user = "root";
    root_.password.clear();
    root_.socket.clear();
    root_.tls = {};
    const auto purpose = in_database ? MysqlConnection::Purpose::kPrepare : MysqlConnection::Purpose::kWithoutDatabase;
    auto connection = std::make_unique<MysqlConnection>(root_, purpose, nobody_);
    const Status opened = connection->Open();
    EXPECT_TRUE(opened) << opened.error().message();
    return opened ? std::move(connection) : nullptr;
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
    const Result<MysqlStatement*> select = connection->Query(sql);
    EXPECT_TRUE(select) << sql << ": " << select.error().message();
    if (!select) return rows;
    while ((*select)->Fetch().value()) {
      std::vector<std::string>& row = rows.emplace_back();
      for (size_t i = 0; i < (*select)->columns(); ++i) {
        row.push_back((*select)->IsText(i) ? std::string((*select)->Text(i)) : format("{}", (*select)->Int(i)));
      }
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
    return std::make_unique<MysqlCatalog>(options, MysqlDeps{*log_, *metrics_, fatal_.Handler()});
  }

 private:
  FatalLog fatal_;
  MysqlOptions options_;
  MysqlOptions root_;
  const MysqlFaultListener nobody_;
  const std::unique_ptr<telemetry::Logger> log_ = telemetry::Logger::Null();
  const std::unique_ptr<telemetry::Metrics> metrics_ = telemetry::Metrics::Create();
};

}  // namespace mi::store
