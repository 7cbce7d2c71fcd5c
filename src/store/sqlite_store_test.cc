#include "sqlite/database.h"

#include <filesystem>

#include "store/contract_test.h"
#include "store/sqlite_catalog.h"

namespace mi::store {
namespace {

std::string TestDirectory() {
  static int number = 0;
  const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
  std::string name = std::string("store.") + test->test_suite_name() + "." + test->name();
  std::ranges::replace(name, '/', '.');
  std::string directory = testing::TempDir() + name + "." + std::to_string(number++);
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory);
  return directory;
}

class SqliteUnderTest final : public CatalogUnderTest {
 public:
  ~SqliteUnderTest() override { std::filesystem::remove_all(directory_); }
  std::unique_ptr<SeriesStore> OpenStore() override { return catalog_.OpenStore().value(); }
  std::unique_ptr<CatalogReader> OpenReader() override { return catalog_.OpenReader().value(); }

  void BreakApply() override {
    Run("CREATE TRIGGER broken BEFORE INSERT ON stream_position BEGIN SELECT RAISE(ABORT, 'broken'); END");
  }
  void RepairApply() override { Run("DROP TRIGGER broken"); }

  LabelPairs LabelsOf(uint64_t id) override {
    sqlite::Database database = Connect();
    sqlite::Statement select =
        database.Prepare("SELECT name, value FROM v_series_label WHERE metric_id = ? ORDER BY name").value();
    select.Bind(1, static_cast<int64_t>(id));
    LabelPairs pairs;
    while (select.Step().value()) pairs.emplace_back(select.Text(0), select.Text(1));
    return pairs;
  }
  BasicLabelRow BasicLabelOf(uint64_t id) override {
    sqlite::Database database = Connect();
    sqlite::Statement select = database.Prepare("SELECT tenant, env, service, name FROM v_series WHERE id = ?").value();
    EXPECT_TRUE(select.Bind(1, static_cast<int64_t>(id)).Step().value());
    return {std::string(select.Text(0)), std::string(select.Text(1)), std::string(select.Text(2)),
            std::string(select.Text(3))};
  }

 private:
  sqlite::Database Connect() { return sqlite::Database::Open(path_, {}).value(); }
  void Run(const std::string& sql) { ASSERT_TRUE(Connect().Exec(sql)); }

  const std::string directory_ = TestDirectory();
  const std::string path_ = directory_ + "/catalog.db";
  SqliteCatalog catalog_ = SqliteCatalog::Open({.path = path_}).value();
};

INSTANTIATE_TEST_SUITE_P(Sqlite, StoreContract,
                         testing::Values(ContractCase{"Sqlite", [] { return std::make_unique<SqliteUnderTest>(); }}),
                         CaseName);

}  // namespace
}  // namespace mi::store
