#include <cstdio>
#include <fstream>
#include <thread>

#include "model/fingerprint.h"
#include "store/mysql/schema.h"
#include "store/rows.h"
#include "store/testing/contract_test.h"
#include "store/testing/mysql_database.h"
#include "store/testing/test_directory.h"

namespace mi::store {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class MysqlSchemaTest : public testing::Test {
 protected:
  void SetUp() override {
    server_ = RealService::Get("mariadb");
    if (server_ == nullptr) GTEST_SKIP() << RealService::kMissing;
    database_.emplace(*server_);
  }
  void MakeDatabase() { database_->Run(MysqlDatabaseSql(database_->name())); }
  Status Prepare(const IdentitySecrets& secrets = {}) {
    database_->options().secrets = secrets;
    return database_->Open()->Prepare();
  }
  // The catalogue's secret, after a start that knows `secrets`.
  std::string SecretOf(const IdentitySecrets& secrets) {
    database_->options().secrets = secrets;
    const auto catalog = database_->Open();
    const Status prepared = catalog->Prepare();
    EXPECT_TRUE(prepared) << prepared.error().message();
    return catalog->identity_secret();
  }
  // As an administrator does, while processes use it.
  void MakeAnew() {
    ASSERT_EQ(RunClient(format("DROP DATABASE `{}`;\n{}", database_->name(),
                               MysqlSchemaText(database_->name(), "root", database_->options().secrets))),
              0);
  }
  // A database of version 1, as an administrator made it, with one series.
  void MakeVersion1() {
    MakeDatabase();
    std::string sql = ReadFile(MI_SOURCE_DIR "/tests/data/catalog-version-1-mysql.sql");
    const std::string use = "USE `metric-index`;\n";
    sql = sql.substr(sql.find(use) + use.size());
    ASSERT_EQ(RunClient(format("USE `{}`;\n{}", database_->name(), sql)), 0);
  }
  // The series of MakeVersion1 arrives again.
  ApplyResult ApplyItsSeries() {
    const model::SeriesBatch batch = MakeBatch("", 3000, {{{"__name__", "up"}, {"job", "api"}}});
    return database_->Open()->OpenStore()->Apply({&batch, 1}, {}).value();
  }

  void ExpectRefused(const Status& status, Errc code, const testing::Matcher<std::string>& message) {
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code(), code) << status.error().message();
    EXPECT_THAT(status.error().message(), message);
  }
  // By the stock client, as an administrator does.
  int RunClient(const std::string& sql) const {
    const TestDirectory directory;
    const std::string script = directory.path() + "/schema.sql";
    std::ofstream(script) << sql;
    return std::system(
        format("mariadb --no-defaults -h 127.0.0.1 -P {} -u root < '{}' > '{}.out'", server_->port(), script, script)
            .c_str());
  }

  RealService* server_ = nullptr;
  std::optional<TestDatabase> database_;
};

TEST_F(MysqlSchemaTest, MakesTheDatabaseAndTheTablesOnceAndKeepsTheUuid) {
  ASSERT_TRUE(Prepare());
  const std::string uuid = database_->AskOne("SELECT catalog_uuid FROM schema_version");
  EXPECT_EQ(uuid.size(), 36u);
  ASSERT_TRUE(Prepare());
  EXPECT_EQ(database_->AskOne("SELECT catalog_uuid FROM schema_version"), uuid);
  EXPECT_EQ(database_->AskOne("SELECT version FROM schema_version"), format("{}", kMysqlSchemaVersion));
  const auto catalog = database_->Open();
  EXPECT_EQ(catalog->OpenReader()->State().value().uuid, uuid);
  EXPECT_TRUE(catalog->Health());
  EXPECT_THAT(database_->metrics().Render(), HasSubstr("metric_index_store_up 1"));
}

TEST_F(MysqlSchemaTest, MakesTheTablesOnceIfManyProcessesStartAtOnce) {
  const auto catalog = database_->Open();
  {
    std::vector<std::jthread> starters;
    for (int i = 0; i < 4; ++i) {
      starters.emplace_back([&] {
        const Status prepared = catalog->Prepare();
        EXPECT_TRUE(prepared) << prepared.error().message();
      });
    }
  }
  database_->ExpectCount(1, "schema_version");
  database_->ExpectCount(4, "metric_next_id");
}

TEST_F(MysqlSchemaTest, FinishesAnInterruptedMigration) {
  ASSERT_TRUE(Prepare());
  const std::string uuid = database_->AskOne("SELECT catalog_uuid FROM schema_version");
  database_->RunHere("UPDATE schema_version SET version = 0");
  database_->RunHere("DROP TABLE metric_label");
  database_->RunHere("DROP VIEW v_series_label");
  const auto reader = database_->Open()->OpenReader();
  EXPECT_EQ(reader->State().error().code(), Errc::kUnavailable);
  ASSERT_TRUE(Prepare());
  EXPECT_EQ(database_->AskOne("SELECT catalog_uuid FROM schema_version"), uuid);
  database_->ExpectCount(0, "v_series_label");
  EXPECT_TRUE(reader->State());
}

TEST_F(MysqlSchemaTest, RefusesANewerSchemaAndAnotherSecretWithoutBlamingTheRecord) {
  ASSERT_TRUE(Prepare({.configured = "ours"}));
  ExpectRefused(Prepare({.configured = "theirs"}), Errc::kInvalid,
                AllOf(HasSubstr("identity.secret"), HasSubstr(SecretCheckText("ours")),
                      HasSubstr(SecretCheckText("theirs")), HasSubstr("Put the old secret back")));
  database_->RunHere("UPDATE schema_version SET version = 99");
  ExpectRefused(Prepare({.configured = "ours"}), Errc::kInvalid, AllOf(HasSubstr("version 99"), HasSubstr("up to 2")));
  // kInvalid would put the batch among the dead letters.
  const auto store = database_->Open()->OpenStore();
  const model::SeriesBatch batch = MakePodBatch("", 1, 1, 1);
  const Result<ApplyResult> applied = store->Apply({&batch, 1}, {});
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().code(), Errc::kUnavailable);
  EXPECT_EQ(database_->AskOne("SELECT version FROM schema_version"), "99");
}

TEST_F(MysqlSchemaTest, KeepsTheSecretOfANewCatalogue) {
  EXPECT_EQ(ReadMysqlIdentitySecret(database_->options()).error().code(), Errc::kInvalid);  // no database
  EXPECT_EQ(SecretOf({.if_new = "first"}), "first");
  EXPECT_EQ(SecretOf({.if_new = "second"}), "first");
  EXPECT_EQ(SecretOf({.configured = "first"}), "first");
  ExpectRefused(Prepare({.configured = "other"}), Errc::kInvalid, HasSubstr("Leave identity.secret empty"));
  database_->options().secrets = {};
  EXPECT_EQ(ReadMysqlIdentitySecret(database_->options()).value(), "first");
}

TEST_F(MysqlSchemaTest, KeepsOnlyTheCheckValueOfAConfiguredSecret) {
  EXPECT_EQ(SecretOf({.configured = "ours", .if_new = "random"}), "ours");
  EXPECT_EQ(database_->AskOne("SELECT identity_secret FROM schema_version"), "");
  EXPECT_EQ(database_->AskOne("SELECT secret_check FROM schema_version"), SecretCheckText("ours"));
}

// The lock covers one node of a cluster: processes on two nodes may both find no row.
TEST_F(MysqlSchemaTest, LetsTheFirstRowDecideIfProcessesDoNotSeeEachOthersLock) {
  ASSERT_TRUE(Prepare({.if_new = "first"}));
  const std::string uuid = database_->AskOne("SELECT catalog_uuid FROM schema_version");
  const auto connection = database_->Connect();
  for (const char* column : {"", ", identity_secret"}) {
    const Status second = connection->Exec(
        format("INSERT INTO schema_version (version, catalog_uuid, secret_check{}) VALUES (0, UUID(), ''{})", column,
               *column == '\0' ? "" : ", 'second'"));
    EXPECT_EQ(second.error().code(), Errc::kOverloaded);
  }
  EXPECT_EQ(SecretOf({.if_new = "third"}), "first");
  EXPECT_EQ(database_->AskOne("SELECT catalog_uuid FROM schema_version"), uuid);
}

TEST_F(MysqlSchemaTest, AgreesOnOneSecretIfManyProcessesStartAtOnce) {
  std::vector<std::string> secrets(4);
  {
    std::vector<std::jthread> starters;
    for (std::string& secret : secrets) {
      MysqlOptions options = database_->options();
      options.secrets.if_new = format("secret {}", &secret - secrets.data());
      starters.emplace_back([&secret, catalog = database_->Open(options)] {
        const Status prepared = catalog->Prepare();
        EXPECT_TRUE(prepared) << prepared.error().message();
        secret = catalog->identity_secret();
      });
    }
  }
  EXPECT_THAT(secrets, testing::Each(secrets[0]));
  EXPECT_EQ(database_->AskOne("SELECT identity_secret FROM schema_version"), secrets[0]);
}

TEST_F(MysqlSchemaTest, GivesEveryTableAPrimaryKey) {
  ASSERT_TRUE(Prepare());
  EXPECT_THAT(database_->Ask("SELECT CAST(t.table_name AS CHAR) FROM information_schema.tables t "
                             "LEFT JOIN information_schema.table_constraints c ON c.table_schema = t.table_schema AND "
                             "c.table_name = t.table_name AND c.constraint_type = 'PRIMARY KEY' WHERE "
                             "t.table_schema = DATABASE() AND t.table_type = 'BASE TABLE' AND c.table_name IS NULL"),
              testing::IsEmpty());
}

TEST_F(MysqlSchemaTest, MigratesVersion1AndKeepsItsIdentity) {
  MakeVersion1();
  const std::string uuid = database_->AskOne("SELECT catalog_uuid FROM schema_version");
  ExpectRefused(Prepare({.configured = "ours"}), Errc::kInvalid, HasSubstr("another identity.secret"));
  EXPECT_EQ(database_->AskOne("SELECT version FROM schema_version"), "1");

  database_->options().secrets = {};
  const Result<std::string> secret =
      ReadMysqlIdentitySecret(database_->options());  // as a producer, which makes nothing
  ASSERT_FALSE(secret);
  EXPECT_EQ(secret.error().code(), Errc::kUnavailable);
  EXPECT_THAT(secret.error().message(), AllOf(HasSubstr("has schema version 1"), HasSubstr("needs 2"),
                                              HasSubstr("consumer"), HasSubstr("migrates it")));

  EXPECT_EQ(SecretOf({.if_new = "random"}), "");
  EXPECT_EQ(database_->AskOne("SELECT catalog_uuid FROM schema_version"), uuid);
  EXPECT_EQ(database_->AskOne("SELECT version FROM schema_version"), "2");
  EXPECT_EQ(ApplyItsSeries().existing, 1u);
  EXPECT_EQ(database_->AskOne("SELECT last_seen FROM metric_seen"), "3000");
  EXPECT_EQ(database_->AskOne("SELECT CAST(CONCAT(table_name, ' ', constraint_type) AS CHAR) "
                              "FROM information_schema.table_constraints WHERE table_schema = DATABASE() AND "
                              "table_name = 'schema_version'"),
            "schema_version PRIMARY KEY");
}

TEST_F(MysqlSchemaTest, FinishesAMigrationToVersion2ThatWasInterrupted) {
  MakeVersion1();
  ASSERT_TRUE(Prepare());
  database_->RunHere("UPDATE schema_version SET version = 1");
  EXPECT_EQ(SecretOf({.if_new = "random"}), "");
  EXPECT_EQ(ApplyItsSeries().existing, 1u);
}

// Version 1 on Group Replication with sql_generate_invisible_primary_key: two nodes made a row each.
TEST_F(MysqlSchemaTest, MigratesTwoRowsAndAKeyOfTheServerToOneRow) {
  MakeVersion1();
  database_->RunHere("ALTER TABLE schema_version ADD COLUMN my_row_id BIGINT AUTO_INCREMENT PRIMARY KEY FIRST");
  database_->RunHere(
      "INSERT INTO schema_version (version, catalog_uuid, secret_check) "
      "SELECT version, 'ffffffff-ffff-1fff-ffff-ffffffffffff', secret_check FROM schema_version");
  const std::string uuid = database_->AskOne("SELECT MIN(catalog_uuid) FROM schema_version");
  ASSERT_TRUE(Prepare());
  EXPECT_EQ(database_->AskOne("SELECT catalog_uuid FROM schema_version"), uuid);
}

TEST_F(MysqlSchemaTest, PrintsTheSqlThatMigratesVersion1) {
  MakeVersion1();
  const std::string uuid = database_->AskOne("SELECT catalog_uuid FROM schema_version");
  ASSERT_EQ(RunClient(MysqlSchemaText(database_->name(), "writer", {.if_new = "printed"})), 0);
  database_->MakeUser("writer", "right", "SELECT, INSERT, UPDATE");
  database_->options().user = "writer";
  database_->options().password = "right";
  EXPECT_EQ(SecretOf({.if_new = "random"}), "");
  EXPECT_EQ(database_->AskOne("SELECT catalog_uuid FROM schema_version"), uuid);
}

TEST_F(MysqlSchemaTest, SaysWhatAnAdministratorRunsIfItMayNotMigrate) {
  MakeVersion1();
  database_->MakeUser("writer", "right", "SELECT, INSERT, UPDATE");
  database_->options().user = "writer";
  database_->options().password = "right";
  ExpectRefused(Prepare(), Errc::kInvalid, HasSubstr("metric-index schema mysql"));
  EXPECT_EQ(database_->AskOne("SELECT version FROM schema_version"), "1");
}

TEST_F(MysqlSchemaTest, RefusesTheOlderServicesTablesUntilTheyAreAdopted) {
  MakeDatabase();
  database_->RunHere("CREATE TABLE metric (id BIGINT PRIMARY KEY, metric TEXT)");
  database_->RunHere("CREATE TABLE metric_label (id BIGINT PRIMARY KEY, metric_id BIGINT REFERENCES metric (id))");
  database_->RunHere("CREATE TABLE schema_version (v INT)");  // some migration tool's
  database_->RunHere("CREATE TABLE bookmarks (url TEXT)");    // not our business
  database_->RunHere("INSERT INTO metric VALUES (1, 'up{}')");
  ExpectRefused(Prepare(), Errc::kInvalid,
                AllOf(HasSubstr("older service"), HasSubstr("consumers"), HasSubstr("metric-index schema adopt"),
                      HasSubstr("`metric` TO `legacy_metric`")));
  EXPECT_EQ(database_->AskOne("SELECT metric FROM metric"), "up{}");

  const std::vector<std::string> done = AdoptLegacyMysqlTables(database_->options()).value();
  EXPECT_THAT(done,
              testing::UnorderedElementsAre("`metric` TO `legacy_metric`", "`metric_label` TO `legacy_metric_label`",
                                            "`schema_version` TO `legacy_schema_version`"));
  ASSERT_TRUE(Prepare());
  EXPECT_EQ(database_->AskOne("SELECT metric FROM legacy_metric"), "up{}");
  database_->ExpectCount(0, "metric");
  database_->ExpectCount(0, "bookmarks");
  const Result<std::vector<std::string>> twice = AdoptLegacyMysqlTables(database_->options());
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code(), Errc::kInvalid);
}

// docs/migration.md promises it to the readers of the older service's tables. Its rows are made with its own
// statements.
TEST_F(MysqlSchemaTest, AJoinOfTheFiveTablesOfTheOlderServiceGivesTheSameRows) {
  constexpr auto kJoin =
      "SELECT b.env, b.service, b.__name__, n.name, v.value, m.metric "
      "FROM metric m JOIN metric_basic_label b ON b.id = m.metric_basic_label_id "
      "JOIN metric_label l ON l.metric_id = m.id "
      "JOIN metric_label_name n ON n.id = l.metric_label_name_id JOIN metric_label_value v ON v.id = "
      "l.metric_label_value_id "
      "ORDER BY m.metric, n.name";
  MakeDatabase();
  for (const char* table :
       {"metric_basic_label (id INT AUTO_INCREMENT PRIMARY KEY, env VARCHAR(64), service VARCHAR(64), __name__ "
        "VARCHAR(64))",
        "metric (id INT AUTO_INCREMENT PRIMARY KEY, metric_basic_label_id INT, metric VARCHAR(700))",
        "metric_label_name (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(64))",
        "metric_label_value (id INT AUTO_INCREMENT PRIMARY KEY, value VARCHAR(64))",
        "metric_label (id INT AUTO_INCREMENT PRIMARY KEY, metric_id INT, metric_label_name_id INT, "
        "metric_label_value_id INT)"}) {
    database_->RunHere(format("CREATE TABLE {} CHARSET utf8mb4 AUTO_INCREMENT = 71", table));
  }
  model::SeriesBatch batch(model::Tenant(), 1);
  const model::Fingerprinter fingerprint("", model::Tenant());
  int id = 70;
  for (const char* instance : {"a:1", "b:1"}) {
    const model::Label labels[] = {
        {model::kMetricName, "up"}, {"env", "prod"}, {"instance", instance}, {"job", "node"}, {"service", "api"}};
    const model::Labels series = model::Labels::FromUnsorted(labels).value();
    batch.Add(fingerprint(series.canonical()), series.canonical());
    ++id;
    database_->RunHere("INSERT INTO metric_basic_label (env, service, __name__) VALUES ('prod', 'api', 'up')");
    database_->RunHere(
        format("INSERT INTO metric (metric_basic_label_id, metric) VALUES ({}, '{}')", id,
               R"(up{env="prod",instance=")" + std::string(instance) + R"(",job="node",service="api"})"));
    for (const auto& [name, value] : {std::pair("instance", instance), std::pair("job", "node")}) {
      database_->RunHere(format("INSERT INTO metric_label_name (name) VALUES ('{}')", name));
      database_->RunHere(format("INSERT INTO metric_label_value (value) VALUES ('{}')", value));
      database_->RunHere(
          format("INSERT INTO metric_label (metric_id, metric_label_name_id, metric_label_value_id) "
                 "SELECT {}, max(n.id), max(v.id) FROM metric_label_name n, metric_label_value v",
                 id));
    }
  }
  const auto theirs = database_->Ask(kJoin);
  EXPECT_THAT(theirs, testing::SizeIs(4));

  ASSERT_TRUE(AdoptLegacyMysqlTables(database_->options()));
  ASSERT_TRUE(Prepare());
  ASSERT_TRUE(database_->Open()->OpenStore()->Apply({&batch, 1}, {}));
  EXPECT_EQ(database_->Ask(kJoin), theirs);
}

TEST_F(MysqlSchemaTest, DoesNotOverwriteAnEarlierAdoption) {
  MakeDatabase();
  EXPECT_THAT(AdoptLegacyMysqlTables(database_->options()).value(), testing::IsEmpty());
  database_->RunHere("CREATE TABLE metric (id BIGINT PRIMARY KEY)");
  database_->RunHere("CREATE TABLE legacy_metric (id BIGINT PRIMARY KEY)");
  const Result<std::vector<std::string>> adopted = AdoptLegacyMysqlTables(database_->options());
  ASSERT_FALSE(adopted);
  EXPECT_THAT(adopted.error().message(), HasSubstr("legacy_metric"));
  database_->ExpectCount(0, "metric");
}

TEST_F(MysqlSchemaTest, PrintsTheSqlForAnAdministrator) {
  ASSERT_EQ(RunClient(MysqlSchemaText(database_->name(), "writer", {.if_new = "printed"})), 0);
  ASSERT_EQ(RunClient(MysqlSchemaText(database_->name(), "writer", {.if_new = "again"})), 0);  // does no harm
  database_->ExpectCount(1, "schema_version");
  // With the rights that it names, and no others.
  database_->MakeUser("writer", "a \"secret\" of ours", "SELECT, INSERT, UPDATE");
  database_->options().user = "writer";
  database_->options().password = "a \"secret\" of ours";
  EXPECT_EQ(SecretOf({.if_new = "random"}), "printed");
  const auto catalog = database_->Open();
  model::SeriesBatch batch = MakePodBatch("", 1000, 10, 1);
  batch.AddMetadata({"up", "gauge", "help", ""});
  const StreamPosition position[] = {{"metric-index", 0, 1}};
  ASSERT_TRUE(catalog->OpenStore()->Apply({&batch, 1}, position));
  EXPECT_EQ(ReadAll(*catalog->OpenReader()).size(), 10u);
}

TEST_F(MysqlSchemaTest, NamesTheOptionThatAPersonMustCorrect) {
  ASSERT_TRUE(Prepare());
  const auto refused = [&](auto change, const testing::Matcher<std::string>& message, Errc code = Errc::kInvalid) {
    MysqlOptions options = database_->options();
    change(options);
    const Status status = database_->Open(options)->Prepare();
    ExpectRefused(status, code, message);
    EXPECT_THAT(status.error().message(), testing::Not(HasSubstr("p4ssword")));
    const Result<ApplyResult> applied = database_->Open(options)->OpenStore()->Apply({}, {});
    ASSERT_FALSE(applied);
    EXPECT_NE(applied.error().code(), Errc::kInvalid);
  };
  database_->MakeUser("nobody", "right", "");
  database_->MakeUser("reader", "right", "SELECT");
  refused([](MysqlOptions& o) { o.user = "nobody", o.password = "p4ssword"; },
          AllOf(HasSubstr("mysql.password"), HasSubstr("\"nobody\"")));
  refused([](MysqlOptions& o) { o.user = "nobody", o.password = "right"; },
          AllOf(HasSubstr("mysql.db_name"), HasSubstr(database_->name()), HasSubstr("GRANT")));
  refused([](MysqlOptions& o) { o.port = 1; }, HasSubstr("127.0.0.1:1"), Errc::kUnavailable);
  refused([](MysqlOptions& o) { o.socket = "/nowhere/socket"; }, HasSubstr("/nowhere/socket"), Errc::kUnavailable);
  refused([](MysqlOptions& o) { o.tls.mode = "required"; }, HasSubstr("mysql.tls"), Errc::kUnavailable);
}

TEST_F(MysqlSchemaTest, GivesTheSqlForAnAdministratorIfItMayNotCreateTheDatabase) {
  database_->Run("CREATE OR REPLACE USER 'maker'@'%' IDENTIFIED BY 'right'");
  database_->Run("GRANT SELECT, INSERT ON *.* TO 'maker'@'%'");
  database_->options().user = "maker";
  database_->options().password = "right";
  ExpectRefused(Prepare(), Errc::kInvalid,
                AllOf(HasSubstr("mysql.db_name"), HasSubstr(MysqlDatabaseSql(database_->name()))));
  MakeDatabase();
  ExpectRefused(Prepare(), Errc::kInvalid, AllOf(HasSubstr("lacks rights"), HasSubstr("metric-index schema mysql")));
}

TEST_F(MysqlSchemaTest, CallsTheFatalHandlerIfTheDatabaseWasReplacedAndANewProcessFillsIt) {
  ASSERT_TRUE(Prepare());
  auto catalog = database_->Open();
  auto store = catalog->OpenStore();
  auto reader = catalog->OpenReader();
  const auto apply = [&](int64_t next_offset) {
    const model::SeriesBatch batch = MakePodBatch("", 1000, 5, static_cast<size_t>(next_offset));
    const StreamPosition position[] = {{"metric-index", 0, next_offset}};
    return store->Apply({&batch, 1}, position);
  };
  ASSERT_TRUE(apply(1));
  ASSERT_TRUE(apply(2));
  const std::string uuid = reader->State().value().uuid;
  database_->Run(format("DROP DATABASE `{}`", database_->name()));
  EXPECT_EQ(apply(3).error().code(), Errc::kUnavailable);
  EXPECT_THAT(database_->fatal_messages(), testing::IsEmpty());
  ASSERT_TRUE(Prepare());
  EXPECT_EQ(apply(3).error().code(), Errc::kCorrupt);
  EXPECT_FALSE(reader->State());
  EXPECT_THAT(database_->fatal_messages(), testing::Each(HasSubstr("was replaced while it was in use")));
  EXPECT_THAT(database_->fatal_messages(), testing::SizeIs(2));

  catalog = database_->Open();
  store = catalog->OpenStore();
  reader = catalog->OpenReader();
  EXPECT_EQ(store->Position("metric-index", 0).value(), std::nullopt);
  for (int64_t next = 1; next <= 3; ++next) EXPECT_EQ(apply(next).value().inserted.size(), 5u);
  database_->ExpectCount(15, "v_series");
  EXPECT_EQ(database_->AskOne("SELECT COUNT(*) FROM metric_label"),
            database_->AskOne("SELECT COUNT(*) FROM v_series_label"));
  EXPECT_NE(reader->State().value().uuid, uuid);
}

// Connections stay as they are, and a process that has stored no position has none to compare.
TEST_F(MysqlSchemaTest, CallsTheFatalHandlerIfTheDatabaseIsMadeAnewUnderItsConnections) {
  const auto catalog = database_->Open();
  ASSERT_TRUE(catalog->Prepare());
  const auto store = catalog->OpenStore();
  const auto reader = catalog->OpenReader();
  EXPECT_EQ(store->Position("metric-index", 0).value(), std::nullopt);
  ASSERT_TRUE(reader->State());
  MakeAnew();
  const model::SeriesBatch batch = MakePodBatch("", 1000, 5, 1);
  const StreamPosition position[] = {{"metric-index", 0, 1}};
  size_t calls = 0;
  const auto ends = [&](auto result) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), Errc::kCorrupt) << result.error().message();
    EXPECT_THAT(database_->fatal_messages(), testing::SizeIs(++calls));
    EXPECT_THAT(database_->fatal_messages(), testing::Each(HasSubstr("was replaced while it was in use")));
  };
  ends(store->Apply({&batch, 1}, position));
  ends(store->Position("metric-index", 0));
  ends(store->Checkpoint());
  ends(reader->State());
  for (const char* table : {"metric", "metric_seen", "metric_label", "stream_position"}) {
    database_->ExpectCount(0, table);
  }
}

TEST_F(MysqlSchemaTest, CallsTheFatalHandlerIfTheDatabaseIsMadeAnewBetweenPrepareAndTheFirstCall) {
  const auto catalog = database_->Open();
  ASSERT_TRUE(catalog->Prepare());
  MakeAnew();
  EXPECT_EQ(catalog->OpenReader()->State().error().code(), Errc::kCorrupt);
  const model::SeriesBatch batch = MakePodBatch("", 1000, 5, 1);
  EXPECT_EQ(catalog->OpenStore()->Apply({&batch, 1}, {}).error().code(), Errc::kCorrupt);
  EXPECT_THAT(database_->fatal_messages(), testing::Each(HasSubstr("was replaced while it was in use")));
  EXPECT_THAT(database_->fatal_messages(), testing::SizeIs(2));
  database_->ExpectCount(0, "metric");
}

// The activity of a series that has the same fingerprint in both.
TEST_F(MysqlSchemaTest, MovesNoTimesInADatabaseThatWasMadeAnew) {
  const auto catalog = database_->Open();
  ASSERT_TRUE(catalog->Prepare());
  const auto store = catalog->OpenStore();
  const model::SeriesBatch batch = MakePodBatch("", 1000, 5, 1);
  ASSERT_TRUE(store->Apply({&batch, 1}, {}));
  MakeAnew();
  ASSERT_TRUE(database_->Open()->OpenStore()->Apply({&batch, 1}, {}));
  const model::ActivityBatch activity{.seen_at_ms = 2000, .fingerprints = {batch[0].fingerprint}};
  EXPECT_EQ(store->ApplyActivity({&activity, 1}).error().code(), Errc::kCorrupt);
  EXPECT_THAT(database_->fatal_messages(), testing::ElementsAre(HasSubstr("was replaced while it was in use")));
  EXPECT_EQ(database_->AskOne("SELECT MAX(last_seen) FROM metric_seen"), "1000");
}

// What docs/migration.md says.
TEST_F(MysqlSchemaTest, GivesTheOldTablesTheirNamesBack) {
  MakeDatabase();
  for (const char* table :
       {"metric", "metric_basic_label", "metric_label", "metric_label_name", "metric_label_value"}) {
    database_->RunHere(format("CREATE TABLE {} (old INT)", table));
  }
  ASSERT_TRUE(AdoptLegacyMysqlTables(database_->options()));
  ASSERT_TRUE(Prepare());
  std::ifstream file(MI_SOURCE_DIR "/docs/migration.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const size_t drop = text.find("DROP VIEW");
  const size_t rename = text.find("RENAME TABLE", drop);
  ASSERT_NE(rename, std::string::npos);
  database_->RunHere(text.substr(drop, text.find(';', drop) - drop));
  database_->RunHere(text.substr(rename, text.find(';', rename) - rename));
  EXPECT_EQ(database_->AskOne("SELECT COUNT(old) FROM metric"), "0");
  EXPECT_EQ(database_->AskOne("SELECT COUNT(*) FROM new_schema_version"), "1");
}

TEST_F(MysqlSchemaTest, KeysRowsByHashesThatPeopleCanCompute) {
  ASSERT_TRUE(Prepare());
  const auto store = database_->Open()->OpenStore();
  model::SeriesBatch batch = MakeBatch(
      "acme", 1'600'000'000'123,
      {{{"__name__", "up"}, {"env", "pröd"}, {"job", "a"}}, {{"__name__", "up"}, {"service", "x"}, {"job", "a "}}});
  batch.AddMetadata({"up", "gauge", "", ""});
  batch.AddMetadata({"up", "gauge", "another text", ""});
  const StreamPosition position[] = {{"metric-index", 3, 17}};
  ASSERT_TRUE(store->Apply({&batch, 1}, position));
  const auto all_match = [&](const std::string& table, const std::string& key, uint64_t rows) {
    database_->ExpectCount(rows, table + " WHERE hash = UNHEX(LEFT(SHA2(" + key + ", 256), 32))");
    database_->ExpectCount(rows, table);
  };
  all_match("metric_label_name", "name", 1);
  all_match("metric_label_value", "value", 2);
  all_match("metric_basic_label",
            "CONCAT(LENGTH(tenant),':',tenant,',',LENGTH(env),':',env,',',LENGTH(service),':',service,',',"
            "LENGTH(__name__),':',__name__,',')",
            2);
  all_match(
      "metric_metadata",
      "CONCAT(LENGTH(tenant),':',tenant,',',LENGTH(metric_family),':',metric_family,',',IF(help = '', '', '1:1,'))", 2);
  all_match("stream_position", "CONCAT(LENGTH(stream),':',stream,',',LENGTH(partition_id),':',partition_id,',')", 1);
  EXPECT_EQ(database_->Ask("SELECT tenant, env, name, content, first_seen_utc FROM v_series WHERE env <> ''"),
            (std::vector<std::vector<std::string>>{
                {"acme", "pröd", "up", "up{env=\"pröd\",job=\"a\"}", "2020-09-13T12:26:40Z"}}));
}

TEST_F(MysqlSchemaTest, AnswersTheDocumentedQueries) {
  ASSERT_TRUE(Prepare());
  const auto store = database_->Open()->OpenStore();
  const model::SeriesBatch batch = MakePodBatch("acme", 1'700'000'000'000, 100, 1);
  ASSERT_TRUE(store->Apply({&batch, 1}, {}));
  const std::string document = ReadFile(MI_SOURCE_DIR "/docs/formats/sql.md");
  const std::string section = document.substr(document.find("## MySQL and MariaDB"));
  const std::string_view fence = "```sql\n";
  size_t queries = 0;
  for (size_t at = section.find(fence); at != std::string::npos; at = section.find(fence, at + 1), ++queries) {
    const size_t begin = at + fence.size();
    const std::string sql = section.substr(begin, section.find("```", begin) - begin);
    EXPECT_EQ(RunClient(format("USE `{}`;\n{}", database_->name(), sql)), 0) << sql;
  }
  EXPECT_GE(queries, 3u);
}

}  // namespace
}  // namespace mi::store
