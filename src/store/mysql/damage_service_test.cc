// Rows whose text was damaged behind the store's back: they are healed when their series come again, and are no
// collisions.
#include "store/testing/mysql_fault_test.h"

namespace mi::store {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class MysqlDamageTest : public MysqlFaultTest {
 protected:
  void SetUp() override {
    MysqlFaultTest::SetUp();
    if (IsSkipped()) return;
    database_->options().secrets.configured = "secret";
    ASSERT_NO_FATAL_FAILURE(Open());
    batch_.emplace(MakeTenant("acme"), 1000);
    Add({{"__name__", "up"}, {"env", "prod"}, {"job", "api"}});
    Add({{"__name__", "up"}, {"job", "db"}});
    ASSERT_THAT(Apply(*batch_, 1).value().inserted, SizeIs(2));
  }
  void Add(const LabelPairs& pairs) {
    std::vector<model::Label> labels;
    for (const auto& [name, value] : pairs) labels.push_back({name, value});
    const model::Labels canonical = model::Labels::FromUnsorted(labels).value();
    batch_->Add(model::Fingerprinter("secret", batch_->tenant())(canonical.canonical()), canonical.canonical());
  }
  // To a store without ids in its memory.
  ApplyResult SendAgain() { return ApplyBy(*catalog_->OpenStore(), *batch_, 2).value(); }
  std::vector<std::vector<std::string>> Labels() {
    return database_->Ask("SELECT CAST(metric_id AS CHAR), name, value FROM v_series_label ORDER BY 1, 2");
  }

  std::optional<model::SeriesBatch> batch_;
};

TEST_F(MysqlDamageTest, ASeriesThatComesAgainHealsItsRow) {
  const std::vector<SeriesRow> rows = ReadAll(*catalog_->OpenReader());
  const auto labels = Labels();
  const auto f = [&](const std::vector<std::string>& damage, size_t healed) {
    SCOPED_TRACE(damage.front());
    for (const std::string& sql : damage) database_->RunHere(sql);
    EXPECT_NE(ReadAll(*catalog_->OpenReader()), rows);
    const ApplyResult result = SendAgain();
    EXPECT_EQ(result.existing, 2u);
    EXPECT_THAT(result.inserted, IsEmpty());
    EXPECT_THAT(result.collisions, IsEmpty());
    EXPECT_THAT(result.healed, SizeIs(healed));
    EXPECT_EQ(ReadAll(*catalog_->OpenReader()), rows);
    EXPECT_EQ(Labels(), labels);
    EXPECT_THAT(SendAgain().healed, IsEmpty());
  };
  f({"UPDATE metric SET metric = REPLACE(metric, 'api', 'apj') WHERE id = 1"}, 1);
  f({"UPDATE metric SET metric = 'no identity' WHERE id = 1"}, 1);
  f({"UPDATE metric SET metric = '' WHERE id = 1", "DELETE FROM metric_label WHERE metric_id = 1"}, 1);
  f({"UPDATE metric_basic_label SET tenant = 'acmf'"}, 2);
}

TEST_F(MysqlDamageTest, ADamagedRowOfADictionaryIsCorrectedWhenItsTextComesAgain) {
  database_->RunHere("UPDATE metric_label_value SET value = 'apj' WHERE value = 'api'");
  Add({{"__name__", "down"}, {"job", "api"}});
  const ApplyResult result = SendAgain();
  EXPECT_THAT(result.inserted, SizeIs(1));
  EXPECT_THAT(result.collisions, IsEmpty());
  database_->ExpectCount(2, "metric_label_value");
  database_->ExpectCount(2, "v_series_label WHERE value = 'api'");
}

TEST_F(MysqlDamageTest, TwoSeriesWithOneFingerprintAreStillRefused) {
  model::SeriesBatch other(MakeTenant("acme"), 3000);
  other.Add((*batch_)[0].fingerprint, (*batch_)[1].labels.canonical());
  const ApplyResult result = Apply(other, 2).value();
  ASSERT_THAT(result.collisions, SizeIs(1));
  EXPECT_THAT(result.collisions[0].stored_content, HasSubstr("api"));
  EXPECT_THAT(result.healed, IsEmpty());
}

}  // namespace
}  // namespace mi::store
