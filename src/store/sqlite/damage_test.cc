// Damaged catalogues: what a check finds, what heals when a series comes again, what a repair keeps.
#include <fstream>
#include <iterator>

#include "base/format.h"
#include "model/identity.h"
#include "sqlite/database.h"
#include "store/dictionary.h"
#include "store/sqlite/catalog.h"
#include "store/sqlite/check.h"
#include "store/sqlite/repair.h"
#include "store/testing/contract_test.h"
#include "store/testing/fatal_log.h"
#include "store/testing/test_directory.h"

namespace mi::store {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class SqliteDamageTest : public testing::Test {
 protected:
  SqliteDamageTest() {
    Open();
    Apply(pods_, 1);
    Apply(acme_, 2);
    Close();
  }

  void Open() {
    catalog_.emplace(SqliteCatalog::Open({.path = directory_.catalog()}).value());
    store_ = catalog_->OpenStore(fatal_.Handler()).value();
  }
  // Everything is in the file afterwards.
  void Close() {
    ASSERT_TRUE(store_->Checkpoint());
    store_.reset();
    catalog_.reset();
  }
  ApplyResult Apply(const model::SeriesBatch& batch, int64_t next_offset) {
    const StreamPosition position[] = {{"journal", 0, next_offset}};
    return store_->Apply({&batch, 1}, position).value();
  }
  // Sends everything again, and closes.
  ApplyResult SendAgain(const model::SeriesBatch& batch) {
    Open();
    ApplyResult result = Apply(batch, 3);
    Close();
    return result;
  }
  void Run(const std::string& sql) {
    const Status done = sqlite::Database::Open(directory_.catalog(), {}).value().Exec(sql);
    ASSERT_TRUE(done) << done.error().message();
  }
  int64_t Ask(std::string_view sql) {
    return sqlite::Database::Open(directory_.catalog(), {}).value().QueryInt(sql).value();
  }
  CheckReport Check(const std::string& file = "") {
    return CheckSqliteCatalog({.path = file.empty() ? directory_.catalog() : file, .configured_secret = ""}).value();
  }
  std::string ReadFile() {
    std::ifstream file(directory_.catalog(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void WriteFile(const std::string& content) { std::ofstream(directory_.catalog(), std::ios::binary) << content; }
  // Where the row of a series has its fingerprint.
  static size_t FingerprintIn(const std::string& content, const model::Series& series) {
    const std::string text = model::FormatIdentity(series.labels);
    const Hash16 bytes = series.fingerprint.ToBytes();
    const size_t at = content.find(std::string(View(bytes)) + text);
    EXPECT_NE(at, std::string::npos);
    return at;
  }
  // Flips a bit of the fingerprint of a series.
  void DamageFingerprintOf(const model::Series& series, size_t byte = 5) {
    std::string content = ReadFile();
    content[FingerprintIn(content, series) + byte] ^= 4;
    WriteFile(content);
  }

  const model::SeriesBatch pods_ = MakePodBatch("", 1000, 100, 1);
  const model::SeriesBatch acme_ =
      MakeBatch("acme", 2000, {{{"__name__", "up"}, {"env", "prod"}, {"job", "api"}}, {{"a b", "\"\n"}}});
  FatalLog fatal_;
  const TestDirectory directory_;
  std::optional<SqliteCatalog> catalog_;
  std::unique_ptr<SeriesStore> store_;
};

TEST_F(SqliteDamageTest, ACheckFindsNothingInAnIntactCatalogue) {
  const CheckReport report = Check();
  EXPECT_THAT(report.shown, IsEmpty());
  EXPECT_EQ(report.series, 102u);
  EXPECT_EQ(report.intact, 102u);
}

TEST_F(SqliteDamageTest, ACheckFindsEachKindOfDamage) {
  const std::string intact = ReadFile();
  auto f = [&](const std::string& sql, std::string_view finding) {
    Run(sql);
    EXPECT_THAT(Check().shown, testing::Contains(HasSubstr(finding))) << sql;
    WriteFile(intact);
  };
  f("UPDATE metric SET metric = replace(metric, 'api', 'apj') WHERE id = 101", "metric 101: tenant and content do not");
  f("UPDATE metric SET fingerprint = x'00' WHERE id = 7", "metric 7: tenant and content do not");
  f("UPDATE metric SET metric_basic_label_id = 9999 WHERE id = 7",
    "metric 7: its row of metric_basic_label is missing");
  f("UPDATE metric_basic_label SET tenant = 'acmf' WHERE tenant = 'acme'", "metric 101: tenant and content do not");
  f("UPDATE metric_basic_label SET tenant = 'acmf' WHERE tenant = 'acme'", "metric_basic_label");
  f("UPDATE metric_basic_label SET env = 'prof' WHERE tenant = 'acme' AND env = 'prod'", "metric 101: env is 'prof'");
  f("DELETE FROM metric_seen WHERE metric_id = 7", "metric 7: its row of metric_seen is missing");
  f("DELETE FROM metric WHERE id = 7", "102 series have times in metric_seen, but metric has 101");
  f("UPDATE metric_label_value SET value = 'apj' WHERE value = 'api'", "its text does not have its hash: 'apj'");
  f("UPDATE metric_label_value SET value = 'apj' WHERE value = 'api'", "metric 101: its labels in metric_label");
  f("DELETE FROM metric WHERE id = 7", "metric_label: there is no series 7");
  f("DELETE FROM metric_label_block WHERE first_metric_id = 101", "metric 101: its labels in metric_label");
  for (const char* ids : {"[1]", "[]", "[0", "[[0,1]]", "", "[[]]", "{}", "[1e300]"}) {
    f(format("UPDATE metric_label_block SET metric_ids = '{}' WHERE first_metric_id = 101", ids),
      "its labels in metric_label");
  }
  f("INSERT INTO metric SELECT 200, metric_basic_label_id, fingerprint, metric FROM metric WHERE id = 7;"
    "INSERT INTO metric_seen VALUES (200, 1, 1)",
    "metric 200: has the fingerprint of 7");
  f("DELETE FROM metric_label_name WHERE name = 'job'", "metric_label: there is no name");
  f("PRAGMA writable_schema=1; UPDATE sqlite_schema SET sql = 'CREATE TABLE x(' WHERE name = 'metric'", "malformed");
}

TEST_F(SqliteDamageTest, ACheckRefusesTheCatalogueOfAnotherSecret) {
  EXPECT_EQ(CheckSqliteCatalog({.path = directory_.catalog(), .configured_secret = "other"}).error().code(),
            Errc::kInvalid);
}

TEST_F(SqliteDamageTest, ASeriesThatComesAgainHealsItsRow) {
  const std::string intact = ReadFile();
  auto f = [&](const std::string& sql) {
    Run(sql);
    EXPECT_FALSE(Check().ok()) << sql;
    const ApplyResult result = SendAgain(acme_);
    EXPECT_EQ(result.existing, 2u) << sql;
    ASSERT_THAT(result.healed, testing::Not(IsEmpty())) << sql;
    EXPECT_EQ(result.healed[0].id, 101u) << sql;
    EXPECT_EQ(result.healed[0].index, 0u) << sql;
    EXPECT_EQ(result.updated.size(), result.healed.size()) << sql;
    EXPECT_THAT(Check().shown, IsEmpty()) << sql;
    WriteFile(intact);
  };
  f("UPDATE metric SET metric = replace(metric, 'api', 'apj') WHERE id = 101");
  f("UPDATE metric SET metric = 'no identity' WHERE id = 101");
  f("UPDATE metric SET metric_basic_label_id = 1 WHERE id = 101");
  f("UPDATE metric SET metric_basic_label_id = 9999 WHERE id = 101");
  f("UPDATE metric_basic_label SET tenant = 'acmf' WHERE tenant = 'acme'");
  f("DELETE FROM metric_seen WHERE metric_id = 101");
  f("UPDATE metric SET metric = 'x' WHERE id = 101; DELETE FROM metric_seen WHERE metric_id = 101");
  f("UPDATE metric SET metric = '' WHERE id = 101; DELETE FROM metric_label_block WHERE first_metric_id = 101");
  f("UPDATE metric SET metric = '' WHERE id = 101; UPDATE metric_label_block SET metric_ids = '[' WHERE "
    "first_metric_id = 101");
  EXPECT_THAT(fatal_.messages(), IsEmpty());
}

TEST_F(SqliteDamageTest, ARowWhoseFingerprintIsDamagedIsHealedWhenItsSeriesComesAgain) {
  DamageFingerprintOf(acme_[0]);
  const ApplyResult result = SendAgain(acme_);
  ASSERT_THAT(result.healed, SizeIs(1));
  EXPECT_EQ(result.healed[0].id, 101u);
  EXPECT_THAT(result.inserted, IsEmpty());
  EXPECT_EQ(Ask("SELECT count(*) FROM metric"), 102);
  EXPECT_THAT(Check().shown, IsEmpty());
}

// By the first bytes the store looks for the row.
TEST_F(SqliteDamageTest, ARowWhoseFirstBytesOfTheFingerprintAreDamagedIsHealedOnceAReaderHasFoundIt) {
  for (size_t byte = 0; byte < 16; ++byte) {
    DamageFingerprintOf(acme_[0], byte);
    Open();
    store_->NoteDamaged(std::vector<DamagedRow>{{101, acme_[0].fingerprint}});
    const ApplyResult result = Apply(acme_, 3);
    ASSERT_THAT(result.healed, SizeIs(1)) << byte;
    EXPECT_EQ(result.healed[0].id, 101u);
    EXPECT_THAT(result.inserted, IsEmpty());
    Close();
    EXPECT_THAT(Check().shown, IsEmpty());
  }
}

TEST_F(SqliteDamageTest, ARowWhoseContentBecameThatOfAnotherSeriesIsNotTakenForIt) {
  Run("UPDATE metric SET metric = (SELECT metric FROM metric WHERE id = 50) WHERE id = 40");
  Open();
  store_->NoteDamaged(std::vector<DamagedRow>{{40, pods_[39].fingerprint}, {40, pods_[49].fingerprint}});
  const ApplyResult result = Apply(pods_, 3);
  ASSERT_THAT(result.healed, SizeIs(1));
  EXPECT_EQ(result.healed[0].id, 40u);
  EXPECT_EQ(result.healed[0].index, 39u);
  EXPECT_EQ(result.existing, 100u);
  Close();
  EXPECT_THAT(Check().shown, IsEmpty());
}

TEST_F(SqliteDamageTest, TwoSeriesWithOneFingerprintAreStillRefused) {
  model::SeriesBatch other(MakeTenant("acme"), 3000);
  other.Add(acme_[0].fingerprint, acme_[1].labels.canonical());
  Open();
  const ApplyResult result = Apply(other, 3);
  EXPECT_THAT(result.collisions, SizeIs(1));
  EXPECT_THAT(result.healed, IsEmpty());
}

TEST_F(SqliteDamageTest, APageThatCannotBeReadIsFatal) {
  std::string content = ReadFile();
  constexpr size_t kPageBytes = 16384;
  const size_t page = FingerprintIn(content, pods_[40]) / kPageBytes * kPageBytes;
  content.replace(page, 8, 8, '\xa5');
  WriteFile(content);
  Open();
  const Result<ApplyResult> result = store_->Apply({&pods_, 1}, {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Errc::kCorrupt);
  EXPECT_THAT(fatal_.messages(), ElementsAre(HasSubstr("`metric-index repair`")));
}

TEST_F(SqliteDamageTest, AViewWhoseTextIsDamagedIsFoundAndStopsNoStore) {
  Run("PRAGMA writable_schema=1; UPDATE sqlite_schema SET sql = replace(sql, 'j.value', 'j.vqlue') WHERE type = "
      "'view'");
  EXPECT_THAT(Check().shown, testing::Contains(HasSubstr("vqlue")));
  EXPECT_EQ(SendAgain(acme_).existing, 2u);
}

TEST_F(SqliteDamageTest, ATableWhoseTextIsDamagedIsCorrupt) {
  for (const char* column : {"hash", "first_seen"}) {
    const std::string intact = ReadFile();
    Run(format("PRAGMA writable_schema=1; UPDATE sqlite_schema SET sql = replace(sql, '{}', 'x') WHERE type = 'table'",
               column));
    EXPECT_FALSE(Check().ok()) << column;
    const SqliteCatalog catalog = SqliteCatalog::Open({.path = directory_.catalog()}).value();
    EXPECT_EQ(catalog.OpenStore(fatal_.Handler()).error().code(), Errc::kCorrupt) << column;
    WriteFile(intact);
  }
}

TEST_F(SqliteDamageTest, ALostSequenceGivesNoIdTwice) {
  Run("DELETE FROM sqlite_sequence");
  Open();
  EXPECT_EQ(Apply(MakePodBatch("", 1000, 1, 2), 3).inserted.at(0).id, 103u);
  Close();
  Run("UPDATE sqlite_sequence SET seq = 7");
  Open();
  EXPECT_EQ(Apply(MakePodBatch("", 1000, 1, 3), 3).inserted.at(0).id, 104u);
}

TEST_F(SqliteDamageTest, ADamagedRowOfADictionaryIsCorrectedWhenItsTextComesAgain) {
  Run("UPDATE metric_label_value SET value = 'apj' WHERE value = 'api'");
  const ApplyResult result = SendAgain(MakeBatch("", 1, {{{"__name__", "down"}, {"job", "api"}}}));
  EXPECT_THAT(result.inserted, SizeIs(1));
  EXPECT_THAT(result.collisions, IsEmpty());
  EXPECT_THAT(Check().shown, IsEmpty());
}

TEST_F(SqliteDamageTest, ReadersGiveDamagedRowsTooAndNoteIdsThatDoNotAscend) {
  Run("UPDATE metric SET metric_basic_label_id = 9999 WHERE id = 101; DELETE FROM metric_seen WHERE metric_id = 102");
  const auto reader = SqliteCatalog::Open({.path = directory_.catalog()}).value().OpenReader().value();
  const std::vector<SeriesRow> rows = ReadAll(*reader, 100);
  ASSERT_THAT(rows, SizeIs(2));
  EXPECT_EQ(rows[0].tenant, "");
  EXPECT_EQ(rows[1].fingerprint, acme_[1].fingerprint);
  EXPECT_TRUE(rows[0].has_times);
  EXPECT_FALSE(rows[1].has_times);
}

TEST_F(SqliteDamageTest, ARepairKeepsWhatIsProvedByItsFingerprint) {
  Run("UPDATE metric SET metric = replace(metric, '{', '{x') WHERE id = 7;"
      "UPDATE metric SET metric_basic_label_id = 9999 WHERE id = 101;"  // another row proves that there is this tenant
      "DELETE FROM metric_seen WHERE metric_id = 9; DELETE FROM metric_label_block; DELETE FROM metric_label_name");
  DamageFingerprintOf(pods_[20]);
  const std::string to = directory_.path() + "/new.db";
  const RepairReport report =
      RepairSqliteCatalog({.from = directory_.catalog(), .to = to, .secrets = {}, .now_ms = 5000}).value();
  EXPECT_EQ(report.kept + report.damaged, 102u);
  EXPECT_EQ(report.without_times, 1u);
  EXPECT_EQ(report.known, 102u);
  const CheckReport check = Check(to);
  EXPECT_THAT(check.shown, IsEmpty());
  EXPECT_EQ(check.series, report.kept);
  EXPECT_GE(check.series, 100u);
}

}  // namespace
}  // namespace mi::store
