#include "store/sqlite/schema.h"
#include "store/testing/fatal_log.h"

#include <thread>

#include "store/rows.h"
#include "store/sqlite/catalog.h"
#include "store/sqlite/check.h"
#include "store/testing/contract_test.h"
#include "store/testing/test_directory.h"

namespace mi::store {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class SqliteSchemaTest : public testing::Test {
 protected:
  Result<SqliteCatalog> Open(const IdentitySecrets& secrets = {}) {
    return SqliteCatalog::Open({.path = directory_.catalog(), .secrets = secrets});
  }
  std::string AskText(std::string_view sql) {
    auto database = sqlite::Database::Open(directory_.catalog(), {}).value();
    auto select = database.Prepare(sql).value();
    return select.Step().value() ? std::string(select.Text(0)) : "no row";
  }
  void Run(const std::string& sql) {
    const Status done = sqlite::Database::Open(directory_.catalog(), {}).value().Exec(sql);
    ASSERT_TRUE(done) << done.error().message();
  }
  int64_t Ask(std::string_view sql) {
    return sqlite::Database::Open(directory_.catalog(), {}).value().QueryInt(sql).value();
  }
  // Opening must fail with this code and say why; and leave the file as it is.
  void ExpectRefused(const Result<SqliteCatalog>& opened, Errc code, const testing::Matcher<std::string>& message) {
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code(), code);
    EXPECT_THAT(opened.error().message(), message);
  }

  const TestDirectory directory_;
};

TEST_F(SqliteSchemaTest, MakesTheTablesOnceAndKeepsTheUuid) {
  const std::string uuid = Open().value().uuid();
  EXPECT_THAT(uuid, testing::MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_EQ(Open().value().uuid(), uuid);
  EXPECT_EQ(Ask("SELECT count(*) FROM schema_version"), 1);
  EXPECT_EQ(Ask("SELECT version FROM schema_version"), kSqliteSchemaVersion);
  const TestDirectory other;
  EXPECT_NE(SqliteCatalog::Open({.path = other.catalog()}).value().uuid(), uuid);
}

TEST_F(SqliteSchemaTest, MakesTheTablesOnceIfManyProcessesStartAtOnce) {
  Run("PRAGMA journal_mode = WAL");  // SQLite does not wait for others when it changes the mode
  std::vector<std::string> uuids(4);
  {
    std::vector<std::jthread> starters;
    for (std::string& uuid : uuids) {
      starters.emplace_back([&] {
        const Result<SqliteCatalog> catalog = Open();
        ASSERT_TRUE(catalog) << catalog.error().message();
        uuid = catalog->uuid();
      });
    }
  }
  EXPECT_THAT(uuids, testing::Each(uuids[0]));
  EXPECT_EQ(Ask("SELECT count(*) FROM schema_version"), 1);
}

TEST_F(SqliteSchemaTest, RefusesANewerSchema) {
  const SqliteCatalog catalog = Open().value();
  Run("UPDATE schema_version SET version = 99");
  ExpectRefused(Open(), Errc::kInvalid, AllOf(HasSubstr("catalog.db"), HasSubstr("version 99"), HasSubstr("up to 3")));
  EXPECT_EQ(catalog.OpenStore(IgnoreFatal).error().code(), Errc::kInvalid);
  EXPECT_EQ(catalog.OpenReader().error().code(), Errc::kInvalid);
  EXPECT_EQ(Ask("SELECT version FROM schema_version"), 99);
}

TEST_F(SqliteSchemaTest, LeavesTheDatabaseOfAnotherProgramAsItIs) {
  for (const std::string mode : {"DELETE", "WAL"}) {
    Run("CREATE TABLE IF NOT EXISTS theirs (x); PRAGMA journal_mode = " + mode);
    const std::string before = ReadFile(directory_.catalog());
    ExpectRefused(Open(), Errc::kInvalid, HasSubstr("another program (it has a table theirs)"));
    EXPECT_EQ(ReadFile(directory_.catalog()), before) << mode;
    for (const char* suffix : {"-wal", "-shm", "-journal"}) {
      EXPECT_FALSE(std::filesystem::exists(directory_.catalog() + suffix)) << mode << suffix;
    }
  }
}

TEST_F(SqliteSchemaTest, RefusesAnotherSecret) {
  ASSERT_TRUE(Open({.configured = "ours"}));
  const auto other = AllOf(HasSubstr("another identity.secret"), HasSubstr(SecretCheckText("ours")),
                           HasSubstr("Put the old secret back"));
  ExpectRefused(Open({.configured = "theirs"}), Errc::kInvalid, AllOf(other, HasSubstr(SecretCheckText("theirs"))));
  ExpectRefused(Open({.if_new = "random"}), Errc::kInvalid, AllOf(other, HasSubstr(SecretCheckText(""))));
  EXPECT_TRUE(Open({.configured = "ours"}));
}

TEST_F(SqliteSchemaTest, KeepsTheSecretOfANewCatalogue) {
  EXPECT_EQ(Open({.if_new = "first"}).value().identity_secret(), "first");
  EXPECT_EQ(Open({.if_new = "second"}).value().identity_secret(), "first");
  EXPECT_EQ(Open().value().identity_secret(), "first");
  EXPECT_EQ(Open({.configured = "first"}).value().identity_secret(), "first");
  ExpectRefused(Open({.configured = "other"}), Errc::kInvalid, HasSubstr("Leave identity.secret empty"));
}

TEST_F(SqliteSchemaTest, KeepsOnlyTheCheckValueOfAConfiguredSecret) {
  EXPECT_EQ(Open({.configured = "ours", .if_new = "random"}).value().identity_secret(), "ours");
  EXPECT_EQ(AskText("SELECT identity_secret FROM schema_version"), "");
  EXPECT_EQ(AskText("SELECT secret_check FROM schema_version"), SecretCheckText("ours"));
}

TEST_F(SqliteSchemaTest, AgreesOnOneSecretIfManyProcessesStartAtOnce) {
  Run("PRAGMA journal_mode = WAL");  // SQLite does not wait for others when it changes the mode
  std::vector<std::string> secrets(4);
  {
    std::vector<std::jthread> starters;
    for (std::string& secret : secrets) {
      starters.emplace_back([&] {
        const Result<SqliteCatalog> catalog = Open({.if_new = format("{}", &secret - secrets.data())});
        ASSERT_TRUE(catalog) << catalog.error().message();
        secret = catalog->identity_secret();
      });
    }
  }
  EXPECT_THAT(secrets, testing::Each(secrets[0]));
}

TEST_F(SqliteSchemaTest, MigratesVersion1AndKeepsItsIdentity) {
  Run(ReadFile(MI_SOURCE_DIR "/tests/data/catalog-version-1-sqlite.sql"));
  Run("INSERT INTO metric_metadata VALUES ('', 'up', 'gauge', 'old', '', 2000)");
  const std::string uuid = AskText("SELECT catalog_uuid FROM schema_version");
  ExpectRefused(Open({.configured = "ours"}), Errc::kInvalid, HasSubstr("another identity.secret"));
  EXPECT_EQ(Ask("SELECT version FROM schema_version"), 1);

  const SqliteCatalog catalog = Open({.if_new = "random"}).value();
  EXPECT_EQ(catalog.uuid(), uuid);
  EXPECT_EQ(catalog.identity_secret(), "");
  EXPECT_EQ(Ask("SELECT version FROM schema_version"), kSqliteSchemaVersion);
  EXPECT_EQ(Ask("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'schema_version%'"), 1);
  EXPECT_EQ(Open({.if_new = "random"}).value().uuid(), uuid);
  model::SeriesBatch batch = MakeBatch("", 3000, {{{"__name__", "up"}, {"job", "api"}}});
  batch.AddMetadata({"up", "gauge", "new", ""});
  const ApplyResult applied = catalog.OpenStore(IgnoreFatal).value()->Apply({&batch, 1}, {}).value();
  EXPECT_EQ(applied.existing, 1u);
  EXPECT_EQ(Ask("SELECT last_seen FROM metric_seen"), 3000);
  EXPECT_EQ(AskText("SELECT group_concat(slot || ' ' || help || ' ' || last_seen) FROM metric_metadata ORDER BY slot"),
            "0 old 2000,1 new 3000");
}

TEST_F(SqliteSchemaTest, MigratesWhatVersion1WroteWithEverySeriesLabelAndId) {
  Run(ReadFile(MI_SOURCE_DIR "/tests/data/catalog-version-1-series-sqlite.sql"));
  const std::string series_sql = "SELECT group_concat(id || metric || hex(fingerprint), char(10)) FROM metric";
  const std::string labels_sql =
      "SELECT group_concat(l, char(10)) FROM (SELECT metric_label_name_id || ' ' || metric_label_value_id || ' ' || "
      "metric_id AS l FROM metric_label ORDER BY 1)";
  const std::string series = AskText(series_sql);
  const std::string labels = AskText(labels_sql);
  Run("UPDATE sqlite_sequence SET seq = 70 WHERE name = 'metric'");  // series that somebody has deleted

  const SqliteCatalog catalog = Open().value();
  EXPECT_EQ(AskText(series_sql), series);
  EXPECT_EQ(AskText(labels_sql), labels);
  EXPECT_EQ(Ask("SELECT count(*) FROM sqlite_schema WHERE name GLOB '*_[23]'"), 0);
  const CheckReport report = CheckSqliteCatalog({.path = directory_.catalog(), .configured_secret = ""}).value();
  EXPECT_THAT(report.shown, testing::IsEmpty());
  EXPECT_EQ(report.intact, 30u);
  const model::SeriesBatch batch = MakePodBatch("", 1000, 1, 1);
  EXPECT_EQ(catalog.OpenStore(IgnoreFatal).value()->Apply({&batch, 1}, {}).value().inserted.at(0).id, 71u);
}

// As at a start that a kill interrupts: all of the migration is in one transaction.
TEST_F(SqliteSchemaTest, LeavesVersion1AsItIsIfTheMigrationFails) {
  Run(ReadFile(MI_SOURCE_DIR "/tests/data/catalog-version-1-series-sqlite.sql"));
  const std::string tables_sql = "SELECT group_concat(sql, char(10)) FROM sqlite_schema";
  const std::string tables = AskText(tables_sql);
  Run("CREATE TABLE metric_label_block (id INTEGER)");
  EXPECT_FALSE(Open());
  Run("DROP TABLE metric_label_block");
  EXPECT_EQ(AskText(tables_sql), tables);
  EXPECT_EQ(Ask("SELECT count(*) FROM metric_label"), 270);
  EXPECT_TRUE(Open());
}

TEST_F(SqliteSchemaTest, PrintsTheSqlOfACatalogueWithItsSecret) {
  Run(SqliteSchemaText({.if_new = "printed"}));
  EXPECT_EQ(Open({.if_new = "random"}).value().identity_secret(), "printed");
}

TEST_F(SqliteSchemaTest, RefusesTheOlderServicesTablesWithInstructionsThatWork) {
  Run("CREATE TABLE metric (id INTEGER PRIMARY KEY, metric TEXT); CREATE TABLE metric_label (id INTEGER PRIMARY KEY);"
      "INSERT INTO metric VALUES (1, 'up{}')");
  const Result<SqliteCatalog> refused = Open();
  ExpectRefused(refused, Errc::kInvalid, AllOf(HasSubstr("older service"), HasSubstr("consumers")));
  EXPECT_EQ(Ask("SELECT count(*) FROM sqlite_schema"), 2);
  // Exactly as the message says.
  std::string sql;
  const std::string message = refused.error().message();
  for (size_t at = message.find("ALTER"); at != std::string::npos; at = message.find("ALTER", at + 1)) {
    sql += message.substr(at, message.find(';', at) + 1 - at);
  }
  EXPECT_EQ(std::ranges::count(sql, ';'), 2);
  Run(sql);
  EXPECT_TRUE(Open());
  EXPECT_EQ(Ask("SELECT count(*) FROM legacy_metric"), 1);
  EXPECT_EQ(Ask("SELECT count(*) FROM metric"), 0);
}

TEST_F(SqliteSchemaTest, RefusesTheDatabaseOfAnotherProgram) {
  Run("CREATE TABLE bookmarks (url TEXT)");
  ExpectRefused(Open(), Errc::kInvalid, AllOf(HasSubstr("bookmarks"), HasSubstr("app.data_dir")));
  EXPECT_EQ(Ask("SELECT count(*) FROM sqlite_schema"), 1);
}

TEST_F(SqliteSchemaTest, RefusesASchemaWithoutItsRow) {
  ASSERT_TRUE(Open());
  Run("DELETE FROM schema_version");
  ExpectRefused(Open(), Errc::kCorrupt, HasSubstr("schema_version"));
}

TEST_F(SqliteSchemaTest, RefusesSynchronousOff) {
  for (const char* synchronous : {"off", "0", "FULL; DROP TABLE metric", ""}) {
    ExpectRefused(SqliteCatalog::Open({.path = directory_.catalog(), .synchronous = synchronous}), Errc::kInvalid,
                  HasSubstr("sqlite.synchronous"));
  }
}

TEST_F(SqliteSchemaTest, NoticesThatTheFileWasReplaced) {
  const SqliteCatalog catalog = Open().value();
  std::filesystem::remove(directory_.catalog());
  EXPECT_EQ(catalog.OpenReader().error().code(), Errc::kUnavailable);
  const SqliteCatalog another = Open().value();
  EXPECT_EQ(catalog.OpenStore(IgnoreFatal).error().code(), Errc::kCorrupt);
  EXPECT_EQ(catalog.OpenReader().error().code(), Errc::kCorrupt);
  EXPECT_TRUE(another.OpenStore(IgnoreFatal));
}

TEST_F(SqliteSchemaTest, NeverReusesAnId) {
  const SqliteCatalog catalog = Open().value();
  const model::SeriesBatch batch = MakePodBatch("", 1000, 3, 1);
  auto store = catalog.OpenStore(IgnoreFatal).value();
  ASSERT_TRUE(store->Apply({&batch, 1}, {}));
  Run("DELETE FROM metric WHERE id >= 2; DELETE FROM metric_seen WHERE metric_id >= 2");
  const ApplyResult again = store->Apply({&batch, 1}, {}).value();
  ASSERT_EQ(again.inserted.size(), 2u);
  EXPECT_EQ(again.inserted[0].id, 4u);
}

}  // namespace
}  // namespace mi::store
