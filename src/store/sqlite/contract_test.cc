#include "store/testing/contract_test.h"
#include "sqlite/database.h"
#include "store/sqlite/catalog.h"
#include "store/testing/fatal_log.h"
#include "store/testing/test_directory.h"

namespace mi::store {
namespace {

class SqliteUnderTest final : public CatalogUnderTest {
 public:
  std::unique_ptr<SeriesStore> OpenStore() override { return catalog_.OpenStore(fatal_.Handler()).value(); }
  std::unique_ptr<CatalogReader> OpenReader() override { return catalog_.OpenReader().value(); }

  std::vector<std::string> FatalMessages() override { return fatal_.messages(); }

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
  sqlite::Database Connect() { return sqlite::Database::Open(directory_.catalog(), {}).value(); }
  void Run(const std::string& sql) { ASSERT_TRUE(Connect().Exec(sql)); }

  FatalLog fatal_;
  const TestDirectory directory_;
  SqliteCatalog catalog_ = SqliteCatalog::Open({.path = directory_.catalog()}).value();
};

INSTANTIATE_TEST_SUITE_P(Sqlite, StoreContract,
                         testing::Values(ContractCase{.name = "Sqlite",
                                                      .make = [] { return std::make_unique<SqliteUnderTest>(); },
                                                      .knows_what_moved = false}),
                         CaseName);

}  // namespace
}  // namespace mi::store
