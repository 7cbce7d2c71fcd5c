// What a database does to those who write into it: killed, cut, frozen, full, read-only. Whatever it is, the rows are
// exact in the end, and no position is ahead of its data.
#include <thread>

#include "base/eventually.h"
#include "store/testing/mysql_fault_test.h"

namespace mi::store {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(MysqlFaultTest, SurvivesAServerThatIsKilledUnderLoad) {
  Open();
  Load load(*catalog_, 3, ApplyAtLast);
  for (int kill = 0; kill < 3; ++kill) {
    load.AwaitMore(4);
    server_->Kill();
    EXPECT_EQ(catalog_->Health().error().code(), Errc::kUnavailable);
    server_->Start();
  }
  load.Finish();
  EXPECT_TRUE(catalog_->Health());
  ExpectExactRows(Load::kSeries);
  EXPECT_EQ(database_->Ask("SELECT DISTINCT first_seen, last_seen FROM v_series"),
            (std::vector<std::vector<std::string>>{{"1000", "1002"}}));
}

TEST_F(MysqlFaultTest, SurvivesConnectionsThatAreCutUnderLoad) {
  Open();
  Load load(*catalog_, 3, ApplyAtLast);
  const auto person = database_->Connect();
  const auto& away = database_->metrics().GetCounter("store_errors_total", "", {{"kind", "away"}});
  // A cut between two calls is not noticed: the connection is renewed.
  for (int cut = 0; cut < 12 || away.Value() < 1; ++cut) {
    load.AwaitMore(2);
    for (const auto& row : database_->Ask(format("SELECT id FROM information_schema.processlist WHERE db = '{}' AND "
                                                 "id <> CONNECTION_ID()",
                                                 database_->name()))) {
      (void)person->Exec("KILL " + row[0]);  // it may have gone by itself, and `person` is one of them
    }
  }
  load.Finish();
  ExpectExactRows(Load::kSeries);
}

TEST_F(MysqlFaultTest, AppliesNothingIfItsConnectionIsCutDuringATransaction) {
  Open();
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  auto person = HoldPosition();
  Result<ApplyResult> result = ApplyResult();
  std::jthread applier([&] { result = Apply(MakePodBatch("", 2000, 30, 1), 2); });
  AwaitLockWait();  // all but the position is written
  std::vector<std::vector<std::string>> busy;
  ASSERT_TRUE(Eventually([&] {  // a busy server may leave out the database's name
    busy =
        database_->Ask(format("SELECT id FROM information_schema.processlist WHERE db = '{}' AND command <> 'Sleep' "
                              "AND id <> CONNECTION_ID()",
                              database_->name()));
    return !busy.empty();
  }));
  for (const auto& row : busy) database_->Run("KILL " + row[0]);
  applier.join();
  ASSERT_FALSE(result);  // kOverloaded if this took long
  EXPECT_THAT(result.error().message(), HasSubstr("127.0.0.1"));
  person.reset();
  ExpectExactRows(10);
  EXPECT_EQ(store_->Position("metric-index", 0).value(), 1);
  EXPECT_THAT(Apply(MakePodBatch("", 2000, 30, 1), 2).value().inserted, SizeIs(20));
  ExpectExactRows(30);
}

TEST_F(MysqlFaultTest, TimesOutOnAFrozenServerAndContinuesWhenItRuns) {
  database_->options().longest_transaction = std::chrono::seconds(2);
  database_->options().connect_timeout = std::chrono::seconds(2);
  Open();
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  server_->Freeze();
  // Fewer series at once might have been fast enough.
  ExpectFails(Apply(MakePodBatch("", 2000, 20, 1), 2), Errc::kOverloaded, HasSubstr("127.0.0.1"));
  // A new connection gets no greeting, either, and that has nothing to do with the series.
  ExpectFails(Apply(MakePodBatch("", 2000, 20, 1), 2), Errc::kUnavailable, HasSubstr("127.0.0.1"));
  EXPECT_FALSE(catalog_->Health());
  server_->Thaw();
  ApplyAtLast(*store_, MakePodBatch("", 2000, 20, 1), 2, 0);
  ExpectExactRows(20);
  EXPECT_EQ(store_->Position("metric-index", 0).value(), 2);
}

TEST_F(MysqlFaultTest, IsUnavailableWhileTheServerIsReadOnly) {
  ASSERT_NO_FATAL_FAILURE(Open());
  database_->MakeUser("writer", "", "SELECT, INSERT, UPDATE");  // root may write all the same
  MysqlOptions options = database_->options();
  options.user = "writer";
  const auto catalog = database_->Open(options);
  const auto store = catalog->OpenStore();
  ASSERT_TRUE(ApplyBy(*store, MakePodBatch("", 1000, 10, 1), 1));
  database_->Run("SET GLOBAL read_only = 1");
  ExpectFails(ApplyBy(*store, MakePodBatch("", 2000, 20, 1), 2), Errc::kUnavailable,
              AllOf(HasSubstr("read-only"), HasSubstr("mysql.host")));
  EXPECT_THAT(ReadAll(*catalog->OpenReader()), SizeIs(10));
  EXPECT_TRUE(catalog->Prepare());  // nothing is to be written
  database_->Run("SET GLOBAL read_only = 0");
  ASSERT_TRUE(ApplyBy(*store, MakePodBatch("", 2000, 20, 1), 2));
  ExpectExactRows(20);
}

TEST_F(MysqlFaultTest, IsOverloadedWhileTheServersDiskIsFull) {
  Open();
  for (const auto& [number, kind] : {std::pair("1114", "HY000"), std::pair("1021", "HY000")}) {
    database_->RunHere(
        format("CREATE TRIGGER full BEFORE INSERT ON metric_label FOR EACH ROW SIGNAL SQLSTATE '{}' SET "
               "MYSQL_ERRNO = {}, MESSAGE_TEXT = 'full'",
               kind, number));
    ExpectFails(Apply(MakePodBatch("", 1000, 10, 1), 1), Errc::kOverloaded, HasSubstr(number));
    database_->RunHere("DROP TRIGGER full");
    database_->ExpectCount(0, "metric");
  }
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  ExpectExactRows(10);
}

TEST_F(MysqlFaultTest, StoreUpIsZeroWhileTheServerAnswersButRefusesWrites) {
  Open();
  const auto& up = database_->metrics().GetGauge("store_up", "");
  const auto errors = [this](const char* kind) {
    return database_->metrics().GetCounter("store_errors_total", "", {{"kind", kind}}).Value();
  };
  EXPECT_EQ(up.Value(), 1);
  database_->RunHere(
      "CREATE TRIGGER full BEFORE INSERT ON metric_label FOR EACH ROW SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114, "
      "MESSAGE_TEXT = 'full'");
  ASSERT_FALSE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  EXPECT_TRUE(catalog_->Health());
  EXPECT_EQ(up.Value(), 0);
  EXPECT_EQ(errors("disk_full"), 1);
  // Another store's success says nothing of this one's.
  const auto other = catalog_->OpenStore();
  ASSERT_TRUE(other->Apply({}, {}));
  EXPECT_EQ(up.Value(), 0);
  database_->RunHere("DROP TRIGGER full");
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  EXPECT_EQ(up.Value(), 1);
  // A record that is refused is not the database's fault.
  const model::SeriesBatch not_utf8 = MakeBatch("", 1, {{{"__name__", "m"}, {"a", "\xff"}}});
  EXPECT_EQ(other->Apply({&not_utf8, 1}, {}).error().code(), Errc::kInvalid);
  EXPECT_EQ(up.Value(), 1);
}

TEST_F(MysqlFaultTest, RefusesOnlyARowThatIsLargerThanThePacket) {
  const std::string before = database_->Connect(false) ? "16777216" : "";
  database_->Run("SET GLOBAL max_allowed_packet = 65536");
  Open();
  const model::SeriesBatch large = MakeBatch("", 1, {{{"__name__", "m"}, {"a", std::string(100'000, 'x')}}});
  const model::SeriesBatch fitting = MakeBatch("", 1,
                                               {{{"__name__", "m"}, {"a", std::string(20'000, 'x')}},
                                                {{"__name__", "m"}, {"a", std::string(20'000, 'y')}},
                                                {{"__name__", "m"}, {"a", std::string(20'000, 'z')}},
                                                {{"__name__", "m"}, {"a", std::string(20'000, 'z') + " "}}});
  ExpectFails(Apply(large, 1), Errc::kTooLarge, AllOf(HasSubstr("max_allowed_packet"), HasSubstr("64 KiB")));
  EXPECT_THAT(Apply(fitting, 1).value().inserted, SizeIs(4));
  database_->Run("SET GLOBAL max_allowed_packet = " + before);
  EXPECT_THAT(catalog_->OpenStore()->Apply({&fitting, 1}, {}).value().inserted, IsEmpty());
}

TEST_F(MysqlFaultTest, RefusesAServerWhosePacketsAreTooSmallForAnyStatement) {
  Open();
  const auto person = database_->Connect(false);
  ASSERT_TRUE(person->Exec("SET GLOBAL max_allowed_packet = 2048"));
  ExpectFails(catalog_->OpenStore()->Apply({}, {}), Errc::kUnavailable,
              AllOf(HasSubstr("max_allowed_packet"), HasSubstr("2 KiB"), HasSubstr("16 KiB")));
  ASSERT_TRUE(person->Exec("SET GLOBAL max_allowed_packet = 16777216"));
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
}

TEST_F(MysqlFaultTest, IsUnavailableWhileAllConnectionsAreInUse) {
  database_->options().max_open_conns = 1;
  database_->options().max_idle_conns = 0;
  database_->options().connect_timeout = std::chrono::seconds(1);
  Open();
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  // The server notices the end of a connection a moment later. While it is busy it may also leave out the database's
  // name, so one count may be too low.
  const auto connections_become = [this](const std::string& count) {
    return Eventually([&] {
      return database_->AskOne(format("SELECT COUNT(*) FROM information_schema.processlist WHERE db = '{}' AND id <> "
                                      "CONNECTION_ID()",
                                      database_->name())) == count;
    });
  };
  EXPECT_TRUE(connections_become("0"));
  const auto reader = catalog_->OpenReader();
  Result<ApplyResult> result = ApplyResult();
  ASSERT_TRUE(reader->ReadSeries(0, [&](const StoredSeries&) {
    result = Apply(MakePodBatch("", 2000, 20, 1), 2);
    EXPECT_TRUE(connections_become("1"));
    return false;
  }));
  ExpectFails(result, Errc::kUnavailable, HasSubstr("mysql.max_open_conns"));
  ASSERT_TRUE(Apply(MakePodBatch("", 2000, 20, 1), 2));
}

TEST_F(MysqlFaultTest, ConnectsThroughAUnixSocketAndWithTls) {
  Open();
  MysqlOptions options = database_->options();
  options.host = "nowhere.invalid";
  options.port = 1;
  options.socket = server_->directory() + "/socket";
  EXPECT_TRUE(database_->Open(options)->Health());

  const std::string pem = server_->directory() + "/tls";
  ASSERT_EQ(
      std::system(format("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext "
                         "subjectAltName=IP:127.0.0.1 -keyout '{0}.key' -out '{0}.crt' 2>/dev/null && "
                         "chmod 644 '{0}.key' && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=other "
                         "-keyout '{0}-other.key' -out '{0}-other.crt' 2>/dev/null",
                         pem)
                      .c_str()),
      0);
  setenv("MI_MARIADB_ARGS", format("--ssl-cert={0}.crt --ssl-key={0}.key --ssl-ca={0}.crt", pem).c_str(), 1);
  server_->Stop();
  server_->Start();
  unsetenv("MI_MARIADB_ARGS");
  const auto cipher = [&](const std::string& mode, const std::string& ca) {
    MysqlOptions tls = database_->options();
    tls.tls = {.mode = mode, .ca = ca};
    const MysqlFaultListener nobody;
    MysqlConnection connection(tls, MysqlConnection::Purpose::kServe, nobody);
    if (const Status opened = connection.Open(); !opened) return opened.error().message();
    MysqlStatement* select =
        connection
            .Query("SELECT variable_value FROM information_schema.session_status WHERE variable_name = 'ssl_cipher'")
            .value();
    EXPECT_TRUE(select->Fetch().value());
    return std::string(select->Text(0));
  };
  EXPECT_EQ(cipher("off", ""), "");
  EXPECT_THAT(cipher("required", ""), HasSubstr("AES"));
  EXPECT_THAT(cipher("verify", pem + ".crt"), HasSubstr("AES"));
  EXPECT_THAT(cipher("verify", pem + "-other.crt"), HasSubstr("mysql.tls"));
  server_->Stop();
  server_->Start();
  EXPECT_THAT(cipher("required", ""), HasSubstr("mysql.tls"));
}

}  // namespace
}  // namespace mi::store
