#include "config/loader.h"

#include <sys/stat.h>

#include "config/print.h"
#include "config/testing/test_folder.h"

namespace mi::config {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string Message(const Result<Loaded>& loaded) { return loaded ? "loaded" : loaded.error().message(); }

class LoaderTest : public TestFolder {
 protected:
  // The value under `key` as `config show` prints it with its origin.
  static std::string Shown(const Loaded& loaded, std::string_view line_start) {
    const std::string text = PrintShow(loaded);
    const size_t at = text.find(line_start);
    return at == std::string::npos ? "absent" : text.substr(at, text.find('\n', at) - at);
  }
};

// ---- which value counts

TEST_F(LoaderTest, WithoutSourcesAllOptionsHaveTheirDefaults) {
  const auto loaded = Load({});
  ASSERT_TRUE(loaded) << Message(loaded);
  EXPECT_EQ(loaded->config, Config());
  EXPECT_THAT(loaded->origins, IsEmpty());
  EXPECT_EQ(loaded->file, std::nullopt);
}

TEST_F(LoaderTest, AnOptionMayBeCalledAFile) {
  const auto loaded = Load({.environment = {{"METRIC_INDEX_WEB_CONFIG_FILE", "/nowhere/web.yml"}}});
  ASSERT_TRUE(loaded) << Message(loaded);
  EXPECT_EQ(loaded->config.web.config_file, "/nowhere/web.yml");
}

TEST_F(LoaderTest, CommandLineWinsOverEnvironmentOverFileOverDefault) {
  const auto file = Write("a.yml", "app: {port: 1}\nlog: {level: warn, format: json, max_age: 1}\n");
  const auto loaded = Load({.file = file,
                            .environment = {{"METRIC_INDEX_LOG_FORMAT", "text"}, {"METRIC_INDEX_LOG_LEVEL", "error"}},
                            .command_line = {{"log.level", "debug"}}});
  ASSERT_TRUE(loaded) << Message(loaded);
  EXPECT_EQ(loaded->config.log.level, "debug");
  EXPECT_EQ(loaded->config.log.format, "text");
  EXPECT_EQ(loaded->config.log.max_age_days, 1U);
  EXPECT_EQ(loaded->config.log.max_size_mb, telemetry::LogOptions().max_size_mb);
  EXPECT_EQ(Shown(*loaded, "  level"), "  level: \"debug\"  # command line");
  EXPECT_EQ(Shown(*loaded, "  format"), "  format: \"text\"  # METRIC_INDEX_LOG_FORMAT");
  EXPECT_EQ(Shown(*loaded, "  max_age"), "  max_age: 1  # " + file + ":2");
  EXPECT_EQ(Shown(*loaded, "  max_size"), "  max_size: 200  # default");
}

TEST_F(LoaderTest, TheReferenceFileLoadsUnchanged) {
  const auto loaded = Check(MI_SOURCE_DIR "/tests/data/reference-config.yml");
  ASSERT_TRUE(loaded) << Message(loaded);
  Config want;
  want.app.role_type = Role::kConsumer;
  want.log.filename = "logs/metric-index.log";
  want.mysql.user = "root";
  want.mysql.password = "mypassword";
  want.mysql.max_open_conns = 200;
  want.mysql.max_idle_conns = 50;
  want.redis.pool_size = 3000;
  const std::vector<std::string> hosts = {"kafka-001:9092", "kafka-002:9092", "kafka-003:9092"};
  want.publisher.kafka.hosts = hosts;
  want.consumer.kafka.hosts = hosts;
  want.consumer.offset_type = "newest";
  want.remote_write[0].url = "http://127.0.0.1:8480/insert/1/prometheus/api/v1/write";
  want.remote_send.url = "http://127.0.0.1:4242/insert/1/opentsdb/api/put";
  EXPECT_EQ(loaded->config, want);
  EXPECT_THAT(loaded->warnings, ElementsAre(HasSubstr("nothing is passed on to it: enabled is false")));
}

TEST_F(LoaderTest, MisspellingsOfTheServiceBeforeAreUnderstood) {
  const auto loaded = LoadFromText(
      "app: {role_type: consummer}\n"
      "metric_store: {cache: {fulsh_interval: 7}, consummer: {hosts: ['a:1'], work_num: 3}}\n"
      "mysql: {dbname: other, max_idel_conns: 2}\n");
  ASSERT_TRUE(loaded) << Message(loaded);
  EXPECT_EQ(loaded->config.app.role_type, Role::kConsumer);
  EXPECT_EQ(loaded->config.redis_writes.flush_interval, std::chrono::seconds(7));
  EXPECT_EQ(loaded->config.app.work_num, 3U);
  EXPECT_EQ(loaded->config.mysql.db_name, "other");
  EXPECT_EQ(loaded->config.mysql.max_idle_conns, 2U);
  EXPECT_THAT(loaded->warnings, IsEmpty());
}

TEST_F(LoaderTest, TheCorrectSpellingWinsInAnyOrder) {
  auto f = [](std::string_view text) {
    const auto loaded = LoadFromText(text);
    ASSERT_TRUE(loaded) << Message(loaded);
    EXPECT_EQ(loaded->config.consumer.group_id, "right") << text;
    EXPECT_EQ(loaded->config.app.work_num, 5U) << text;
    EXPECT_EQ(loaded->config.mysql.db_name, "right") << text;
    EXPECT_THAT(loaded->warnings, ElementsAre(HasSubstr("'consumer' wins"), HasSubstr("'db_name' wins")));
  };
  f("metric_store: {consumer: {group_id: right}, consummer: {group_id: wrong, work_num: 5}}\n"
    "mysql: {db_name: right, dbname: wrong}\n");
  f("metric_store: {consummer: {group_id: wrong, work_num: 5}, consumer: {group_id: right}}\n"
    "mysql: {dbname: wrong, db_name: right}\n");
}

TEST_F(LoaderTest, NothingAfterTheColonMeansTheDefault) {
  const auto loaded = LoadFromText("app:\nlog:\n  level:\n  max_age: ~\nlibrdkafka:\nremote:\n  write:\n");
  ASSERT_TRUE(loaded) << Message(loaded);
  EXPECT_EQ(loaded->config, Config());
}

TEST_F(LoaderTest, SizesAndDurationsTakeUnits) {
  const auto loaded = LoadFromText(
      "receive: {max_body_bytes: 1.5MiB, max_series_bytes: 4096, answer_timeout: 20, idle_timeout: 1h30m}\n"
      "metric_store: {cache: {expire: 7d, flush_interval: 250ms}}\n");
  ASSERT_TRUE(loaded) << Message(loaded);
  EXPECT_EQ(loaded->config.receive.max_body_bytes, 3 * kMiB / 2);
  EXPECT_EQ(loaded->config.receive.series.max_series_bytes, 4 * kKiB);
  EXPECT_EQ(loaded->config.receive.answer_timeout, std::chrono::seconds(20));
  EXPECT_EQ(loaded->config.server.idle_timeout, std::chrono::minutes(90));
  EXPECT_EQ(loaded->config.redis_writes.expire, std::chrono::days(7));
  EXPECT_EQ(loaded->config.redis_writes.flush_interval, milliseconds(250));
}

TEST_F(LoaderTest, RemoteWriteIsOneSectionOrAListOfThem) {
  const auto one = LoadFromText("remote: {write: {enabled: true, url: 'http://a/w'}}\n");
  ASSERT_TRUE(one) << Message(one);
  ASSERT_EQ(one->config.remote_write.size(), 1U);
  EXPECT_EQ(one->config.remote_write[0].url, "http://a/w");
  const auto two = LoadFromText("remote:\n  write:\n    - url: http://a/w\n    - {url: 'https://b/w', enabled: yes}\n");
  ASSERT_TRUE(two) << Message(two);
  ASSERT_EQ(two->config.remote_write.size(), 2U);
  EXPECT_FALSE(two->config.remote_write[0].enabled);
  EXPECT_TRUE(two->config.remote_write[1].enabled);
  EXPECT_EQ(two->origins.at("remote.write[1].url"), "config:4");
  const auto none = LoadFromText("remote: {write: []}\n");
  ASSERT_TRUE(none) << Message(none);
  EXPECT_THAT(none->config.remote_write, IsEmpty());
}

TEST_F(LoaderTest, AcceptsAnyOptionOfLibrdkafkaUnderItsOwnName) {
  const auto file = Write("a.yml", "librdkafka:\n  linger.ms: 20\n  compression.codec: lz4\n");
  const auto loaded = Load({.file = file,
                            .environment = {{"METRIC_INDEX_LIBRDKAFKA_LINGER_MS", "30"}},
                            .command_line = {{"librdkafka.socket.nagle.disable", "true"}}});
  ASSERT_TRUE(loaded) << Message(loaded);
  EXPECT_EQ(loaded->config.librdkafka,
            (std::map<std::string, std::string>{
                {"linger.ms", "30"}, {"compression.codec", "lz4"}, {"socket.nagle.disable", "true"}}));
}

// ---- environment

TEST_F(LoaderTest, TheEnvironmentReachesEveryKindOfOption) {
  const auto loaded = Load({.environment = {{"METRIC_INDEX_RECEIVE_MAX_BODY_BYTES", "1MiB"},
                                            {"METRIC_INDEX_METRIC_STORE_PRODUCER_HOSTS", "a:1, b:2"},
                                            {"METRIC_INDEX_METRIC_STORE_CONSUMMER_WORK_NUM", "3"},
                                            {"METRIC_INDEX_MYSQL_TLS_MODE", "verify"},
                                            {"METRIC_INDEX_REMOTE_WRITE_URL", "http://a/w"},
                                            {"METRIC_INDEX_APP_LISTEN", ""},
                                            {"PATH", "/bin"}}});
  ASSERT_TRUE(loaded) << Message(loaded);
  EXPECT_EQ(loaded->config.receive.max_body_bytes, kMiB);
  EXPECT_THAT(loaded->config.publisher.kafka.hosts, ElementsAre("a:1", "b:2"));
  EXPECT_EQ(loaded->config.app.work_num, 3U);
  EXPECT_EQ(loaded->config.mysql.tls.mode, "verify");
  EXPECT_EQ(loaded->config.remote_write.at(0).url, "http://a/w");
}

TEST_F(LoaderTest, AFileCanHoldTheValueOfAVariable) {
  auto f = [&](std::string_view content, const std::string& want) {
    const auto loaded = Load({.environment = {{"METRIC_INDEX_MYSQL_PASSWORD_FILE", Write("secret", content)}}});
    ASSERT_TRUE(loaded) << Message(loaded);
    EXPECT_EQ(loaded->config.mysql.password, want);
  };
  f("p w", "p w");
  f("pw\n", "pw");
  f("pw\r\n", "pw");
  f(" pw ", " pw ");
}

TEST_F(LoaderTest, RefusesUnknownVariables) {
  auto f = [&](const std::map<std::string, std::string>& environment, std::string_view part) {
    const auto loaded = Load({.environment = environment});
    EXPECT_THAT(Message(loaded), HasSubstr(part));
  };
  f({{"METRIC_INDEX_APP_PROT", "1"}}, "METRIC_INDEX_APP_PROT: no such option (did you mean METRIC_INDEX_APP_PORT?)");
  f({{"METRIC_INDEX_QUITE_OTHER", "1"}}, "METRIC_INDEX_QUITE_OTHER: no such option");
  f({{"METRIC_INDEX_APP_PORT", "x"}}, "METRIC_INDEX_APP_PORT: app.port wants a whole number from 0 to 65535, is 'x'");
  f({{"METRIC_INDEX_MYSQL_PASSWORD", "a"}, {"METRIC_INDEX_MYSQL_PASSWORD_FILE", Write("s", "b")}},
    "METRIC_INDEX_MYSQL_PASSWORD_FILE: METRIC_INDEX_MYSQL_PASSWORD is set too");
  f({{"METRIC_INDEX_MYSQL_PASSWORD_FILE", Path("absent")}}, "absent: cannot be read: No such file or directory");
  f({{"METRIC_INDEX_MYSQL_PASSWORD_FILE", folder_.string()}}, "cannot be read: Is a directory");
}

TEST_F(LoaderTest, IgnoresVariablesOfAKubernetesService) {
  const auto loaded = Load({.environment = {{"METRIC_INDEX_SERVICE_HOST", "10.0.0.7"},
                                            {"METRIC_INDEX_SERVICE_PORT", "7001"},
                                            {"METRIC_INDEX_SERVICE_PORT_HTTP", "7001"},
                                            {"METRIC_INDEX_PORT", "tcp://10.0.0.7:7001"},
                                            {"METRIC_INDEX_PORT_7001_TCP", "tcp://10.0.0.7:7001"},
                                            {"METRIC_INDEX_PORT_7001_TCP_ADDR", "10.0.0.7"},
                                            {"METRIC_INDEX_MYSQL_PORT", "tcp://10.0.0.8:3306"}}});
  ASSERT_TRUE(loaded) << Message(loaded);
  EXPECT_EQ(loaded->config, Config());
}

TEST_F(LoaderTest, AVariableCannotSetOneOfSeveralTargets) {
  const auto file = Write("a.yml", "remote: {write: [{url: 'http://a/'}, {url: 'http://b/'}]}\n");
  EXPECT_THAT(Message(Load({.file = file, .environment = {{"METRIC_INDEX_REMOTE_WRITE_URL", "http://c/"}}})),
              HasSubstr("METRIC_INDEX_REMOTE_WRITE_URL: the file lists 2 of remote.write"));
}

// ---- which file

TEST_F(LoaderTest, GoEnvOrMetricIndexEnvChoosesTheFile) {
  auto f = [&](const std::map<std::string, std::string>& environment, std::string_view file, std::string_view mode) {
    const auto loaded = Load({.environment = environment, .folder = folder_.string()});
    ASSERT_TRUE(loaded) << Message(loaded);
    EXPECT_EQ(loaded->file, Path(file));
    EXPECT_EQ(loaded->config.app.mode, mode);
  };
  Write("conf/prod.yml", "app: {port: 1}");
  f({{"GO_ENV", "prod"}}, "conf/prod.yml", "prod");
  Write("config/prod.yml", "app: {port: 2}");
  f({{"METRIC_INDEX_ENV", "prod"}}, "config/prod.yml", "prod");
  Write("config/dev.yml", "app: {mode: prod}");
  f({{"GO_ENV", "dev"}, {"METRIC_INDEX_ENV", "dev"}}, "config/dev.yml", "dev");
  f({{"GO_ENV", "dev"}, {"METRIC_INDEX_APP_MODE", "prod"}}, "config/dev.yml", "prod");
}

TEST_F(LoaderTest, AMissingChosenFileIsAFault) {
  auto f = [&](const std::map<std::string, std::string>& environment, std::string_view part) {
    EXPECT_THAT(Message(Load({.environment = environment, .folder = folder_.string()})), HasSubstr(part));
  };
  f({{"GO_ENV", "prod"}}, "GO_ENV: is prod, but there is neither config/prod.yml nor conf/prod.yml in ");
  f({{"METRIC_INDEX_ENV", "staging"}}, "METRIC_INDEX_ENV: wants dev or prod, is 'staging'");
  f({{"GO_ENV", "staging"}}, "GO_ENV: wants dev or prod, is 'staging'");
  f({{"GO_ENV", "dev"}, {"METRIC_INDEX_ENV", "prod"}}, "METRIC_INDEX_ENV: is prod, but GO_ENV is dev");
}

TEST_F(LoaderTest, AnEmptySelectorChoosesNothingAndAForeignOneIsIgnoredWithConfig) {
  EXPECT_TRUE(Load({.environment = {{"GO_ENV", ""}}}));
  const auto loaded = Load({.file = Write("a.yml", "app: {port: 1}"), .environment = {{"GO_ENV", "staging"}}});
  ASSERT_TRUE(loaded) << Message(loaded);
  EXPECT_THAT(loaded->warnings, ElementsAre(HasSubstr("GO_ENV: wants dev or prod, is 'staging'; it does not count")));
}

TEST_F(LoaderTest, AnUnreadableFileIsReportedWithTheReason) {
  EXPECT_THAT(Message(Check(Path("absent.yml"))), HasSubstr("absent.yml: cannot be read: No such file or directory"));
  EXPECT_THAT(Message(Check(folder_.string())), HasSubstr("cannot be read: Is a directory"));
  ASSERT_EQ(mkfifo(Path("fifo.yml").c_str(), 0600), 0);
  EXPECT_THAT(Message(Check(Path("fifo.yml"))), HasSubstr("fifo.yml: cannot be read: a pipe"));
  EXPECT_THAT(Message(Check(Write("large.yml", std::string(kMaxFileBytes + 1, '#')))),
              HasSubstr("larger than 256 KiB"));
}

// ---- faults

TEST_F(LoaderTest, EachFaultHasItsLineAndTheNearestKey) {
  auto f = [](std::string_view text, std::string_view want) {
    EXPECT_EQ(Message(LoadFromText(text, "a.yml")), want) << text;
  };
  f("app:\n  prot: 1\n", "a.yml:2: unknown key 'app.prot' (did you mean 'app.port'?)");
  f("lgo: {}\n", "a.yml:1: unknown key 'lgo' (did you mean 'log'?)");
  f("app.port: 1\n", "a.yml:1: unknown key 'app.port', write 'app:' and 'port:' below it");
  f("remote:\n  write: []\n  write[0]: {url: 'http://a'}\n",
    "a.yml:3: unknown key 'remote.write[0]' (did you mean 'remote.write'?)");
  f("level: info\n", "a.yml:1: unknown key 'level' (did you mean 'log.level'?)");
  f("zzzzzz: 1\n", "a.yml:1: unknown key 'zzzzzz'");
  f("app: {port: abc}\n", "a.yml:1: app.port wants a whole number from 0 to 65535, is 'abc'");
  f("app: {port: 65536}\n", "a.yml:1: app.port wants a whole number from 0 to 65535, is '65536'");
  f("app: {port: -1}\n", "a.yml:1: app.port wants a whole number from 0 to 65535, is '-1'");
  f("app: {port: [1]}\n", "a.yml:1: app.port wants a whole number from 0 to 65535, is a list");
  f("app: {port: {a: 1}}\n", "a.yml:1: app.port wants a whole number from 0 to 65535, is a section");
  f("app: 5\n", "a.yml:1: app wants a section of keys, is text");
  f("log: {level: loud}\n", "a.yml:1: log.level wants one of debug, info, warn, error, is 'loud'");
  f("app: {role_type: boss}\n",
    "a.yml:1: app.role_type wants one of standalone, producer, consumer, query, all, is 'boss'");
  f("pprof: {enabled: maybe}\n", "a.yml:1: pprof.enabled wants true or false, is 'maybe'");
  f("receive: {max_body_bytes: 32MB}\n",
    "a.yml:1: receive.max_body_bytes wants bytes from 1KiB to 1GiB (as 1048576 or 1MiB), is '32MB'");
  f("receive: {idle_timeout: 5 parsecs}\n",
    "a.yml:1: receive.idle_timeout wants a duration from 1s to 1d (as 20s or 5m), is '5 parsecs'");
  f("metric_store:\n  producer:\n    hosts:\n      - kafka\n",
    "a.yml:4: metric_store.producer.hosts wants a list, each host:port, is 'kafka'");
  f("metric_store: {producer: {topic: 'a b'}}\n",
    "a.yml:1: metric_store.producer.topic wants a Kafka topic: 1 to 249 of a-z A-Z 0-9 . _ -, is 'a b'");
  f("app: {listen: here}\n",
    "a.yml:1: app.listen wants an address such as :7001, 127.0.0.1:7001 or [::]:7001, is 'here'");
  f("remote: {write: [{url: 'ftp://a'}]}\n",
    "a.yml:1: remote.write[0].url wants a URL that starts with http:// or https://, is 'ftp://a'");
  f("remote: {write: [5]}\n", "a.yml:1: remote.write wants a section in its list, has text");
  f("remote: {write: 5}\n", "a.yml:1: remote.write wants a section, or a list of them, is text");
  f("app:\n  port: 1\n  name: x\n  port: 2\n", "a.yml:4: key 'port' is here twice, first in line 2");
  f("app: &a {port: 1}\n", "a.yml:1: YAML anchors are not supported; write the value out where it is used");
  f("- 1\n", "a.yml:1: a configuration is a section of keys, this is a list");
  f("app: {port: 1}\n---\napp: {port: 2}\n", "a.yml:2: a second document begins here; a configuration is one");
  f("app:\n  port: 1\n name: x\n", "a.yml:3: not YAML: end of map not found");
  f("app: \"open\n", "a.yml:1: a quote is never closed\na.yml:1: app wants a section of keys, is text");
  f(std::string_view("app:\n  name: a\0b\n", 17),
    "a.yml:2: not text: a byte that is not UTF-8, or a control character");
  f("app:\n\n  name: \xff\n", "a.yml:3: not text: a byte that is not UTF-8, or a control character");
  f("librdkafka: {'a b': 1}\n", "a.yml:1: 'a b' is no name of a librdkafka option");
  f("librdkafka: [1]\n", "a.yml:1: librdkafka wants a section of options, is a list");
  f("librdkafka: {linger.ms: [1]}\n", "a.yml:1: librdkafka.linger.ms wants text, is a list");
  f("? [a]\n: 1\n", "a.yml:1: a key must be a word, is a list");
}

TEST_F(LoaderTest, AllFaultsAreListedInTheOrderOfTheFile) {
  const auto loaded = LoadFromText(
      "app: {port: x}\nlgo: {}\nlog:\n  level: loud\n  level: quiet\nreceive: {max_labels: 0}\nmysql: *a\n", "a.yml");
  EXPECT_EQ(Message(loaded),
            "a.yml:1: app.port wants a whole number from 0 to 65535, is 'x'\n"
            "a.yml:2: unknown key 'lgo' (did you mean 'log'?)\n"
            "a.yml:4: log.level wants one of debug, info, warn, error, is 'loud'\n"
            "a.yml:5: key 'level' is here twice, first in line 4\n"
            "a.yml:6: receive.max_labels wants a whole number from 1 to 4096, is '0'\n"
            "a.yml:7: YAML aliases are not supported; write the value out");
}

TEST_F(LoaderTest, AtMostAHundredFaultsAreListed) {
  std::string text;
  for (int i = 0; i < 150; ++i) text += "key" + std::to_string(i) + ": 1\n";
  const std::string message = Message(LoadFromText(text));
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 100);
  EXPECT_THAT(message, testing::EndsWith("\nand 50 more"));
}

TEST_F(LoaderTest, RefusesConflictingOptions) {
  auto f = [](std::string_view text, std::string_view part) {
    EXPECT_THAT(Message(LoadFromText(text, "a.yml")), HasSubstr(part)) << text;
  };
  f("metric_store:\n  cache:\n    expire: 100\n    dist_interval: 100\n",
    "a.yml:4: metric_store.cache.dist_interval is 100s; it must be below metric_store.cache.expire, 100s");
  f("metric_store:\n  cache:\n    expire: 100\n", "a.yml:3: metric_store.cache.dist_interval is 4d");
  f("catalog: {activity_interval: 2d}\n", "a.yml:1: metric_store.cache.idle_expire is 1d");
  f("catalog: {activity_interval: 60}\nmetric_store: {cache: {cleanup_interval: 1801}}\n",
    "a.yml:2: metric_store.cache.cleanup_interval is 1801s; it cannot be above 30 times catalog.activity_interval, 1m");
  f("receive: {max_value_bytes: 128KiB}\n",
    "receive.max_value_bytes is 128KiB; it cannot be above receive.max_series_bytes");
  f("receive: {max_buffered_bytes: 63MiB}\n",
    "receive.max_buffered_bytes is 63MiB; it must be 0, or at least twice receive.max_body_bytes, 64MiB");
  f("receive: {max_series_bytes: 4096, max_decoded_bytes: 1024}\n", "a.yml:1: receive.max_series_bytes is 4KiB");
  f("mysql: {max_open_conns: 2}\n", "mysql.max_idle_conns is 8; it cannot be above mysql.max_open_conns, 2");
  f("mysql: {tls: {cert: a.pem}}\n", "a.yml:1: mysql.tls.cert needs the other of");
  f("app: {role_type: producer}\n", "a.yml:1: metric_store.producer.hosts is empty; role producer needs the Kafka");
  f("app: {role_type: consumer}\n", "a.yml:1: metric_store.consumer.hosts is empty; role consumer needs the Kafka");
  const std::string consumer = "app: {role_type: consumer}\nmetric_store: {consumer: {hosts: ['a:1'], work_num: 15}}\n";
  f(consumer,
    "a.yml:2: mysql.max_open_conns is 16; role consumer needs one for each of metric_store.consumer.work_num, 15, and "
    "2 "
    "more");
  f(consumer + "mysql: {max_open_conns: 9}\n",
    "a.yml:3: mysql.max_open_conns is 9; role consumer needs one for each of metric_store.consumer.work_num, 15, and 2 "
    "more");
  f("remote: {write: {enabled: true}}\n", "a.yml:1: remote.write[0].enabled is true, but there is no url");
}

TEST_F(LoaderTest, RefusesOptionsOfLibrdkafkaThatBreakAPromise) {
  auto f = [](std::string_view option, std::string_view part) {
    EXPECT_THAT(Message(LoadFromText("librdkafka: {" + std::string(option) + "}\n")), HasSubstr(part)) << option;
  };
  f("acks: 1", "librdkafka.acks cannot be '1': an answer means that the brokers have it (only all|-1)");
  f("request.required.acks: 0", "librdkafka.request.required.acks cannot be '0'");
  f("enable.idempotence: false", "librdkafka.enable.idempotence cannot be 'false'");
  f("enable.auto.commit: true", "librdkafka.enable.auto.commit cannot be 'true'");
  f("partition.assignment.strategy: cooperative-sticky", "cooperative-sticky loses partitions");
  f("bootstrap.servers: a", "librdkafka.bootstrap.servers cannot be set");
  f("group.id: a", "librdkafka.group.id cannot be set");
  f("delivery.report.only.error: true", "librdkafka.delivery.report.only.error cannot be 'true': an answer means");
  f("test.mock.num.brokers: 3", "librdkafka.test.mock.num.brokers cannot be '3': an answer means");
  f("transactional.id: a", "librdkafka.transactional.id cannot be set: publishing is not transactional");
  f("group.instance.id: a", "librdkafka.group.instance.id cannot be set: the workers of a process");
  f("partitioner: random", "librdkafka.partitioner cannot be 'random': records of a series belong into one partition");
  f("message.timeout.ms: 0", "librdkafka.message.timeout.ms cannot be 0, which is no limit");
  f("queue.buffering.max.messages: 0", "no queue is unbounded");
  EXPECT_TRUE(LoadFromText("librdkafka: {partitioner: murmur2_random, message.timeout.ms: 1000}\n"));
  EXPECT_TRUE(LoadFromText("librdkafka: {acks: all, enable.idempotence: true}\n"));
}

TEST_F(LoaderTest, RefusesUnknownFlags) {
  EXPECT_EQ(Message(Load({.command_line = {{"app.lisen", ":1"}}})),
            "command line: unknown key 'app.lisen' (did you mean 'app.listen'?)");
  EXPECT_EQ(Message(Load({.command_line = {{"app.role_type", "x"}}})),
            "command line: app.role_type wants one of standalone, producer, consumer, query, all, is 'x'");
  EXPECT_EQ(Message(Load({.command_line = {{"librdkafka", "x"}}})),
            "command line: librdkafka needs the name of an option: librdkafka.linger.ms");
  EXPECT_EQ(Message(Load({.command_line = {{"remote.write[1].url", "http://a"}}})),
            "command line: unknown key 'remote.write[1].url' (did you mean 'remote.write.url'?)");
}

TEST_F(LoaderTest, ReportsTheFaultsOfAllSources) {
  const auto file = Write("a.yml", "app: {port: x}\n");
  EXPECT_THAT(
      Message(Load({.file = file, .environment = {{"METRIC_INDEX_LOG_LEVEL", "y"}}, .command_line = {{"a", "b"}}})),
      AllOf(HasSubstr("app.port"), HasSubstr("METRIC_INDEX_LOG_LEVEL"), HasSubstr("command line")));
}

// ---- secrets

TEST_F(LoaderTest, WarnsOfABlockingQueueThatIsSmallerThanABody) {
  auto f = [](std::string_view text, std::string_view warning) {
    const auto loaded = LoadFromText(text);
    ASSERT_TRUE(loaded) << Message(loaded);
    EXPECT_EQ(loaded->warnings, warning.empty() ? std::vector<std::string>() : std::vector{std::string(warning)});
  };
  f("remote: {write: {enabled: true, url: 'http://a', when_full: block, queue_bytes: 1MiB}}\n",
    "remote.write[0].queue_bytes is 1MiB: a request above it is dropped although when_full is block; "
    "receive.max_body_bytes is 32MiB");
  f("remote: {write: {enabled: true, url: 'http://a', when_full: block}}\n", "");
  f("remote: {write: {enabled: true, url: 'http://a', queue_bytes: 1MiB}}\n", "");
}

TEST_F(LoaderTest, NoFaultHoldsASecret) {
  auto f = [](std::string_view text) { EXPECT_THAT(Message(LoadFromText(text)), Not(HasSubstr("hunter"))) << text; };
  f("mysql: {password: [hunter2]}\n");
  f("mysql: {password: \"hunter\\n2\"}\n");
  f("mysql: {password: \"\\hunter2\"}\n");
  f("remote: {send: {url: 'http://me:hunter2@host/w?token=hunter2'}}\n");
  f("remote: {write: {url: 'me:hunter2@host:1'}}\n");
  f("remote: {write: [{url: 'http://host:99999/w?token=hunter2'}]}\n");
  f("mysql: {password: !hunter2}\n");
  f("mysql: {password: *hunter2}\n");
  f("mysql: {password: &hunter2 x}\n");
  f("mysql: {password: %hunter2}\n");
  f("mysql:\n  password: hunter2: x\n");
  f("redis:\n  password: hunter2\n  pasword: hunter3\n");
  f("redis: {password: {a: hunter2}, port: x}\n");
  const auto loaded = Load({.environment = {{"METRIC_INDEX_MYSQL_PASSWORD", "hunter\n2"}}});
  EXPECT_THAT(Message(loaded), HasSubstr("METRIC_INDEX_MYSQL_PASSWORD: mysql.password wants text on one line"));
  EXPECT_THAT(Message(loaded), Not(HasSubstr("hunter")));
}

TEST_F(LoaderTest, ShowMasksSecrets) {
  const auto loaded = LoadFromText(
      "mysql: {password: hunter2}\nredis: {password: hunter2}\nidentity: {secret: hunter2}\n"
      "librdkafka: {sasl.password: hunter2, ssl.key.pem: hunter2, sasl.username: me}\n"
      "remote: {write: {url: 'http://host/w?token=hunter2'}, send: {url: 'http://host:1/p#hunter2'}}\n");
  ASSERT_TRUE(loaded) << Message(loaded);
  const std::string shown = PrintShow(*loaded);
  EXPECT_THAT(shown, Not(HasSubstr("hunter2")));
  EXPECT_THAT(shown, HasSubstr("password: \"***\""));
  EXPECT_THAT(shown, HasSubstr("\"sasl.username\": \"me\""));
  EXPECT_THAT(shown, HasSubstr("url: \"http://host/w?***\""));
  EXPECT_THAT(PrintShow(Loaded()), HasSubstr("password: \"\"  # default"));
}

}  // namespace
}  // namespace mi::config
