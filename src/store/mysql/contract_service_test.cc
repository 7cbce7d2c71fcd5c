#include "store/testing/contract_test.h"
#include "store/testing/mysql_database.h"

namespace mi::store {
namespace {

// Making the tables takes longer than a test: they are used again, emptied.
class MysqlUnderTest final : public CatalogUnderTest {
 public:
  explicit MysqlUnderTest(RealService& server) : database_(TakeSpare(server)) {
    catalog_ = database_->Open();
    const Status prepared = catalog_->Prepare();
    EXPECT_TRUE(prepared) << prepared.error().message();
    for (const char* table : {"metric", "metric_basic_label", "metric_seen", "metric_label", "metric_label_name",
                              "metric_label_value", "metric_metadata", "stream_position"}) {
      database_->RunHere(format("DELETE FROM {}", table));
    }
    database_->RunHere("UPDATE metric_next_id SET next_id = 1");
  }
  ~MysqlUnderTest() override { Spares().push_back(std::move(database_)); }

  std::unique_ptr<SeriesStore> OpenStore() override { return catalog_->OpenStore(); }
  std::unique_ptr<CatalogReader> OpenReader() override { return catalog_->OpenReader(); }

  std::vector<std::string> FatalMessages() override {
    std::vector<std::string> messages = database_->fatal_messages();
    messages.erase(messages.begin(), messages.begin() + static_cast<ptrdiff_t>(earlier_messages_));
    return messages;
  }

  void BreakApply() override {
    database_->RunHere(
        "CREATE TRIGGER broken BEFORE INSERT ON stream_position FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT "
        "= "
        "'broken'");
  }
  void RepairApply() override { database_->RunHere("DROP TRIGGER broken"); }

  LabelPairs LabelsOf(uint64_t id) override {
    LabelPairs pairs;
    for (const auto& row : database_->Ask(
             format("SELECT name, value FROM v_series_label WHERE metric_id = {} ORDER BY BINARY name", id))) {
      pairs.emplace_back(row[0], row[1]);
    }
    return pairs;
  }
  BasicLabelRow BasicLabelOf(uint64_t id) override {
    const auto rows = database_->Ask(format("SELECT tenant, env, service, name FROM v_series WHERE id = {}", id));
    EXPECT_EQ(rows.size(), 1u);
    return {rows.at(0).at(0), rows.at(0).at(1), rows.at(0).at(2), rows.at(0).at(3)};
  }

 private:
  static std::vector<std::unique_ptr<TestDatabase>>& Spares() {
    static std::vector<std::unique_ptr<TestDatabase>> spares;
    return spares;
  }
  static std::unique_ptr<TestDatabase> TakeSpare(RealService& server) {
    if (Spares().empty()) return std::make_unique<TestDatabase>(server);
    std::unique_ptr<TestDatabase> spare = std::move(Spares().back());
    Spares().pop_back();
    return spare;
  }

  std::unique_ptr<TestDatabase> database_;
  const size_t earlier_messages_ = database_->fatal_messages().size();  // of tests that used the database before
  std::unique_ptr<MysqlCatalog> catalog_;
};

std::vector<ContractCase> Cases() {
  RealService* server = RealService::Get("mariadb");
  if (server == nullptr) return {};
  return {{.name = "Mariadb",
           .make = [server] { return std::make_unique<MysqlUnderTest>(*server); },
           .keeps_what_is_not_utf8 = false}};
}

INSTANTIATE_TEST_SUITE_P(Mysql, StoreContract, testing::ValuesIn(Cases()), CaseName);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StoreContract);

}  // namespace
}  // namespace mi::store
