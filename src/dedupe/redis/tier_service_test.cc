// The tier over a real Redis. Each test has a database of its own there.
#include "dedupe/redis/tier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hiredis/hiredis.h>

#include <csignal>
#include <future>
#include <memory>
#include <thread>

#include "base/eventually.h"
#include "base/format.h"
#include "dedupe/testing/series.h"
#include "support/real_service.h"
#include "telemetry/testing/kept_log.h"

namespace mi::dedupe {
namespace {

using model::Fingerprint;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;
using testing::Series;
using testing::SeriesRange;

constexpr milliseconds kPatience = std::chrono::seconds(20);

struct FreeReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using RedisReply = std::unique_ptr<redisReply, FreeReply>;

// What people would type into redis-cli.
class Cli {
 public:
  explicit Cli(uint16_t port) : context_(redisConnect("127.0.0.1", port), redisFree) {}

  RedisReply operator()(const std::vector<std::string>& words) {
    std::vector<const char*> texts;
    std::vector<size_t> sizes;
    for (const std::string& word : words) texts.push_back(word.data()), sizes.push_back(word.size());
    RedisReply reply(static_cast<redisReply*>(
        redisCommandArgv(context_.get(), static_cast<int>(words.size()), texts.data(), sizes.data())));
    EXPECT_NE(reply, nullptr) << words[0] << ": " << context_->errstr;
    if (reply != nullptr && reply->type == REDIS_REPLY_ERROR) ADD_FAILURE() << words[0] << ": " << reply->str;
    return reply;
  }
  int64_t Integer(const std::vector<std::string>& words) { return (*this)(words)->integer; }

 private:
  std::unique_ptr<redisContext, decltype(&redisFree)> context_;
};

std::string KeyOf(Fingerprint fingerprint) {
  const std::array<char, 16> bytes = fingerprint.ToBytes();
  return "mi:" + std::string(bytes.data(), bytes.size());
}

class RedisTierTest : public ::testing::Test {
 protected:
  void SetUp() override {
    redis_ = RealService::Get("redis");
    if (redis_ == nullptr) GTEST_SKIP() << RealService::kMissing;
    std::signal(SIGPIPE, SIG_IGN);  // as in the service
    static uint64_t next_db = 0;
    options_ = {.port = redis_->port(), .db = ++next_db % 16, .timeout = std::chrono::seconds(10)};
    writes_.flush_interval = milliseconds(1);
    OpenCli()({"FLUSHDB"});
  }

  Cli OpenCli() {
    Cli cli(redis_->port());
    cli({"SELECT", format("{}", options_.db)});
    return cli;
  }

  std::unique_ptr<RedisTier> MakeTier() {
    return std::make_unique<RedisTier>(options_, writes_, RedisTier::Deps{*log_, *metrics_});
  }
  void Start() { tier_ = MakeTier(); }
  // Returns once the tier has reached Redis.
  void StartAndReach() {
    Start();
    ASSERT_TRUE(Eventually([&] { return tier_->Health().has_value(); })) << tier_->Health().error().message();
  }

  // For the next 500 ms a write is under way, so that further writes gather.
  void PauseWithAWriteUnderWay() {
    OpenCli()({"CLIENT", "PAUSE", "500", "ALL"});
    tier_->Remember(std::vector{Series(1'000'000)});
  }

  std::future<Result<std::vector<bool>>> Ask(std::vector<Fingerprint> series, size_t held_bytes = 0) {
    auto answer = std::make_shared<std::promise<Result<std::vector<bool>>>>();
    tier_->Lookup(std::move(series), held_bytes,
                  [answer](Result<std::vector<bool>> known) { answer->set_value(std::move(known)); });
    return answer->get_future();
  }
  // How many of the series the tier knows; -1 if it does not answer.
  int64_t Known(std::vector<Fingerprint> series) {
    const auto known = Ask(std::move(series)).get();
    return known ? std::ranges::count(*known, true) : -1;
  }
  bool KnowsEventually(const std::vector<Fingerprint>& series) {
    return Eventually([&] { return Known(series) == std::ssize(series); });
  }
  std::string HealthText() {
    const Status health = tier_->Health();
    return health ? "" : health.error().message();
  }
  double Metric(const std::string& name, const telemetry::MetricLabels& labels = {}) {
    return metrics_->GetCounter(name, "", labels).Value();
  }
  double Up() { return metrics_->GetGauge("redis_up", "").Value(); }

  RealService* redis_ = nullptr;
  RedisOptions options_;
  RedisWriteOptions writes_;
  std::unique_ptr<telemetry::KeptLog> log_ = std::make_unique<telemetry::KeptLog>();
  std::unique_ptr<telemetry::Metrics> metrics_ = telemetry::Metrics::Create();
  std::unique_ptr<RedisTier> tier_;
};

TEST_F(RedisTierTest, TellsOneProducerWhatAnotherHasRemembered) {
  StartAndReach();
  tier_->Remember(SeriesRange(0, 10));
  ASSERT_TRUE(KnowsEventually(SeriesRange(0, 10)));
  const auto other = MakeTier();
  ASSERT_TRUE(Eventually([&] { return other->Health().has_value(); }));
  std::promise<Result<std::vector<bool>>> answer;
  other->Lookup({Series(100), Series(3), Series(101)}, 0, [&](auto known) { answer.set_value(std::move(known)); });
  EXPECT_EQ(answer.get_future().get(), (std::vector<bool>{false, true, false}));
}

TEST_F(RedisTierTest, WritesTheKeysThatAreDocumented) {
  StartAndReach();
  tier_->Remember(std::vector{Series(1)});
  ASSERT_TRUE(KnowsEventually({Series(1)}));
  Cli cli = OpenCli();
  const RedisReply value = cli({"GET", KeyOf(Series(1))});
  EXPECT_EQ(std::string_view(value->str, value->len), "1");
  EXPECT_EQ(cli.Integer({"DBSIZE"}), 1) << "the probe writes no key";
}

TEST_F(RedisTierTest, SpreadsTheLifetimesOfKeys) {
  writes_.expire = std::chrono::seconds(10'000);
  writes_.spread = std::chrono::seconds(4000);
  StartAndReach();
  const auto series = SeriesRange(0, 1000);
  tier_->Remember(series);
  ASSERT_TRUE(KnowsEventually(series));
  Cli cli = OpenCli();
  std::vector<int64_t> lives;
  lives.reserve(series.size());
  for (const Fingerprint& one : series) lives.push_back(cli.Integer({"TTL", KeyOf(one)}));
  EXPECT_THAT(lives, Each(AllOf(Ge(6000 - 60), Le(10'000))));
  const auto [shortest, longest] = std::ranges::minmax(lives);
  EXPECT_LT(shortest, 6500);
  EXPECT_GT(longest, 9500);
}

TEST_F(RedisTierTest, WritesKeysWithoutLifetimeIfIsexpireIsFalse) {
  writes_.expires = false;
  StartAndReach();
  tier_->Remember(SeriesRange(0, 1));
  ASSERT_TRUE(KnowsEventually(SeriesRange(0, 1)));
  EXPECT_EQ(OpenCli().Integer({"TTL", KeyOf(Series(0))}), -1);
}

TEST_F(RedisTierTest, TakesNewWriteOptionsWhileItRuns) {
  writes_.flush_interval = std::chrono::hours(1);
  writes_.flush_keys = 100'000;
  StartAndReach();
  PauseWithAWriteUnderWay();
  tier_->Remember(SeriesRange(0, 10));
  RedisWriteOptions changed = writes_;
  changed.expires = false;
  changed.flush_keys = 10;
  changed.workers = 2;
  tier_->Reconfigure(changed);
  tier_->Remember(SeriesRange(10, 20));
  ASSERT_TRUE(KnowsEventually(SeriesRange(0, 20)));
  EXPECT_EQ(OpenCli().Integer({"TTL", KeyOf(Series(0))}), -1);
  changed.workers = 8;
  tier_->Reconfigure(changed);
  tier_->Remember(SeriesRange(20, 1000));
  EXPECT_TRUE(KnowsEventually(SeriesRange(20, 1000)));
}

TEST_F(RedisTierTest, AnswersManyAndLargeLookupsInOrder) {
  writes_.flush_keys = 100;
  StartAndReach();
  tier_->Remember(SeriesRange(0, 20'000));
  ASSERT_TRUE(KnowsEventually(SeriesRange(0, 20'000)));
  std::vector<std::future<Result<std::vector<bool>>>> answers;
  answers.reserve(500);
  for (uint64_t i = 0; i < 500; ++i) answers.push_back(Ask({Series(i), Series(50'000 + i), Series(i + 1)}));
  EXPECT_EQ(Known(SeriesRange(10'000, 30'000)), 10'000);
  for (auto& answer : answers) EXPECT_EQ(answer.get(), (std::vector<bool>{true, false, true}));
  EXPECT_GE(Metric("redis_lookups_total", {{"result", "unknown"}}), 10'500);
}

// Blocks the only look-up thread, inside an answer, until `kept` is ready.
class RedisTierLookupQueueTest : public RedisTierTest {
 protected:
  void StartAndKeep(std::shared_future<void> kept) {
    options_.pool_size = 4;
    StartAndReach();
    std::promise<void> begun;
    auto is_kept = begun.get_future();
    tier_->Lookup({Series(1)}, 0, [&begun, kept](auto) {
      begun.set_value();
      kept.wait();
    });
    is_kept.wait();
  }
};

TEST_F(RedisTierLookupQueueTest, RefusesLateLookupsWithoutCallingRedisDown) {
  options_.timeout = std::chrono::seconds(2);
  std::promise<void> over;
  StartAndKeep(over.get_future().share());
  auto late = Ask(SeriesRange(0, 10));
  const auto is_late = steady_clock::now() + options_.timeout;
  std::this_thread::sleep_until(is_late);
  auto in_time = Ask(SeriesRange(0, 10));
  over.set_value();
  EXPECT_EQ(late.get().error().code(), Errc::kOverloaded);
  EXPECT_TRUE(in_time.get()) << "only the late one is refused";
  EXPECT_TRUE(tier_->Health()) << HealthText();
  EXPECT_EQ(Metric("redis_errors_total"), 0);
}

TEST_F(RedisTierLookupQueueTest, BoundsTheSeriesThatWait) {
  std::promise<void> over;
  StartAndKeep(over.get_future().share());
  auto most = Ask(SeriesRange(0, 1'000'000));
  EXPECT_EQ(Ask(SeriesRange(0, 1)).get().error().code(), Errc::kOverloaded);
  over.set_value();
  EXPECT_TRUE(most.get());
  EXPECT_EQ(Known(SeriesRange(0, 10)), 0) << "there is room again";
  EXPECT_TRUE(tier_->Health()) << HealthText();
}

TEST_F(RedisTierLookupQueueTest, BoundsTheMemoryThatWaits) {
  std::promise<void> over;
  StartAndKeep(over.get_future().share());
  auto large = Ask(SeriesRange(0, 1), 100 << 20);  // a look-up that is alone always fits
  EXPECT_EQ(Ask(SeriesRange(0, 1), 1).get().error().code(), Errc::kOverloaded);
  over.set_value();
  EXPECT_TRUE(large.get());
  EXPECT_TRUE(Ask(SeriesRange(0, 1), 64 << 20).get()) << "there is room again";
}

TEST_F(RedisTierTest, OpensNoMoreConnectionsThanThePoolMayHold) {
  options_.pool_size = 5;
  writes_.workers = 1000;
  writes_.flush_keys = 10;
  StartAndReach();
  Cli cli = OpenCli();
  for (uint64_t at = 0; at < 5000; at += 10) tier_->Remember(SeriesRange(at, at + 10));
  ASSERT_TRUE(KnowsEventually(SeriesRange(0, 5000)));
  const RedisReply clients = cli({"CLIENT", "LIST"});
  const std::string list(clients->str, clients->len);
  EXPECT_LE(std::ranges::count(list, '\n'), 5 + 1) << list;  // and the one of redis-cli
}

TEST_F(RedisTierTest, KnowsNothingAfterFlushdb) {
  StartAndReach();
  tier_->Remember(SeriesRange(0, 10));
  ASSERT_TRUE(KnowsEventually(SeriesRange(0, 10)));
  OpenCli()({"FLUSHDB"});
  EXPECT_EQ(Known(SeriesRange(0, 10)), 0);
  tier_->Remember(SeriesRange(0, 10));
  EXPECT_TRUE(KnowsEventually(SeriesRange(0, 10)));
}

TEST_F(RedisTierTest, FailsAtOnceWhileRedisIsAwayAndWritesWhatWaitedOnceItIsBack) {
  StartAndReach();
  EXPECT_EQ(Up(), 1);
  redis_->Kill();
  ASSERT_TRUE(Eventually([&] { return !tier_->Health().has_value(); }));
  EXPECT_EQ(Up(), 0);
  EXPECT_THAT(HealthText(), HasSubstr("redis.host"));
  tier_->Remember(SeriesRange(0, 100));
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(Known(SeriesRange(0, 10)), -1);
  EXPECT_GE(Metric("redis_errors_total"), 1);
  EXPECT_EQ(Metric("redis_lookups_total", {{"result", "error"}}), 10'000);
  redis_->Start();
  EXPECT_TRUE(KnowsEventually(SeriesRange(0, 100)));
  EXPECT_EQ(Metric("redis_dropped_total"), 0);
}

TEST_F(RedisTierTest, AnswersWithinTheTimeoutWhileRedisIsFrozen) {
  options_.timeout = milliseconds(300);
  StartAndReach();
  redis_->Freeze();
  std::vector<std::future<Result<std::vector<bool>>>> answers;
  answers.reserve(200);
  for (uint64_t i = 0; i < 200; ++i) answers.push_back(Ask(SeriesRange(i, i + 100)));
  tier_->Remember(SeriesRange(0, 100));
  for (auto& answer : answers) EXPECT_FALSE(answer.get());
  // Redis does not move before Thaw(), so nobody waited for it. It stays down, however often it is probed.
  const double errors = Metric("redis_errors_total");
  ASSERT_TRUE(Eventually([&] { return Metric("redis_errors_total") >= errors + 2; }));
  EXPECT_EQ(Known(SeriesRange(0, 1)), -1);
  redis_->Thaw();
  EXPECT_TRUE(KnowsEventually(SeriesRange(0, 100)));
}

TEST_F(RedisTierTest, ReconnectsWhenRedisHasClosedAnIdleConnection) {
  StartAndReach();
  ASSERT_EQ(Known(SeriesRange(0, 1)), 0);
  for (int i = 0; i < 20; ++i) {
    OpenCli()({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
    EXPECT_EQ(Known(SeriesRange(0, 1)), 0);
  }
}

TEST_F(RedisTierTest, BoundsTheWritesThatWaitWhileRedisIsAway) {
  options_.port = 1;  // nobody listens there
  writes_.workers = 1;
  Start();
  const auto series = SeriesRange(0, 100'000);
  for (int i = 0; i < 11; ++i) tier_->Remember(series);
  EXPECT_GE(Metric("redis_dropped_total"), 99'000) << "except a pipeline that a thread has already taken";
  tier_.reset();
  EXPECT_EQ(Metric("redis_dropped_total"), 1'100'000);
}

TEST_F(RedisTierTest, ReducesItsConnectionsWhileRedisIsAwayAndDropsNothing) {
  writes_.flush_keys = 10;
  writes_.workers = 8;
  StartAndReach();
  redis_->Kill();
  ASSERT_TRUE(Eventually([&] { return !tier_->Health().has_value(); }));
  for (uint64_t at = 0; at < 1000; at += 10) tier_->Remember(SeriesRange(at, at + 10));
  RedisWriteOptions changed = writes_;
  changed.workers = 1;
  tier_->Reconfigure(changed);  // returns at once, although surplus threads wait for Redis
  redis_->Start();
  EXPECT_TRUE(KnowsEventually(SeriesRange(0, 1000)));
  Cli cli = OpenCli();
  const auto connections = [&] {
    const RedisReply clients = cli({"CLIENT", "LIST"});
    return std::ranges::count(std::string_view(clients->str, clients->len), '\n');
  };
  EXPECT_TRUE(Eventually([&] { return connections() <= 1 + 4 + 1 + 1; }))
      << connections();  // probe, look-ups, writes, cli
  changed.workers = 8;
  tier_->Reconfigure(changed);
  tier_->Remember(SeriesRange(1000, 2000));
  EXPECT_TRUE(KnowsEventually(SeriesRange(1000, 2000)));
  EXPECT_EQ(Metric("redis_dropped_total"), 0);
}

TEST_F(RedisTierTest, DrainsTheWritesAlsoWhileALookupIsUnderWay) {
  writes_.flush_interval = std::chrono::hours(1);
  writes_.flush_keys = 100'000;
  StartAndReach();
  Cli cli = OpenCli();
  cli({"CLIENT", "PAUSE", "500", "ALL"});  // delays the replies to the look-up and to the writes
  tier_->Remember(SeriesRange(0, 1500));
  auto asked = Ask(SeriesRange(0, 10));
  tier_->Drain(kPatience);
  tier_->Stop();
  EXPECT_FALSE(asked.get());
  EXPECT_EQ(Metric("redis_dropped_total"), 0);
  EXPECT_EQ(OpenCli().Integer({"DBSIZE"}), 1500);
}

TEST_F(RedisTierTest, DoesNotWaitForAPipelineToFillWhileNoneIsUnderWay) {
  writes_.flush_interval = std::chrono::hours(1);
  writes_.flush_keys = 100'000;
  StartAndReach();
  for (uint64_t i = 0; i < 100; ++i) tier_->Remember(SeriesRange(i, i + 1));
  EXPECT_TRUE(KnowsEventually(SeriesRange(0, 100)));
}

TEST_F(RedisTierTest, DrainsTheWritesThatWait) {
  writes_.flush_interval = std::chrono::hours(1);
  writes_.flush_keys = 100'000;
  StartAndReach();
  PauseWithAWriteUnderWay();
  tier_->Remember(SeriesRange(0, 1500));
  tier_->Drain(kPatience);
  tier_->Stop();
  EXPECT_EQ(OpenCli().Integer({"DBSIZE"}), 1501);
  EXPECT_EQ(Metric("redis_dropped_total"), 0);
  EXPECT_EQ(Known({Series(1)}), -1) << "looked up after the stop";
  tier_->Remember(SeriesRange(0, 7));
  EXPECT_EQ(Metric("redis_dropped_total"), 7);
}

TEST_F(RedisTierTest, StopsInTimeWhileRedisIsFrozen) {
  options_.timeout = std::chrono::minutes(1);
  StartAndReach();
  redis_->Freeze();
  tier_->Remember(SeriesRange(0, 10));
  auto asked = Ask(SeriesRange(0, 10));
  tier_->Drain(milliseconds(50));
  tier_->Stop();
  EXPECT_FALSE(asked.get());
  redis_->Thaw();
  EXPECT_EQ(Metric("redis_dropped_total"), 10);
}

TEST_F(RedisTierTest, ReportsRefusedWritesAndGoesOnWithLookups) {
  StartAndReach();
  Cli cli = OpenCli();
  cli({"CONFIG", "SET", "maxmemory", "1"});
  tier_->Remember(SeriesRange(0, 10));
  EXPECT_TRUE(Eventually([&] { return HealthText().find("OOM") != std::string::npos; })) << HealthText();
  EXPECT_EQ(Metric("redis_dropped_total"), 10);
  EXPECT_EQ(Known(SeriesRange(0, 10)), 0);
  cli({"CONFIG", "SET", "maxmemory", "0"});
  tier_->Remember(SeriesRange(0, 10));
  EXPECT_TRUE(KnowsEventually(SeriesRange(0, 10)));
  EXPECT_TRUE(Eventually([&] { return tier_->Health().has_value(); }));
}

TEST_F(RedisTierTest, ConnectsOverAUnixSocket) {
  options_.host = redis_->directory() + "/socket";
  options_.port = 1;
  StartAndReach();
  tier_->Remember(SeriesRange(0, 10));
  EXPECT_TRUE(KnowsEventually(SeriesRange(0, 10)));
}

TEST_F(RedisTierTest, UsesItsDatabaseOnly) {
  StartAndReach();
  tier_->Remember(SeriesRange(0, 10));
  ASSERT_TRUE(KnowsEventually(SeriesRange(0, 10)));
  tier_.reset();
  options_.db = (options_.db + 8) % 16;
  OpenCli()({"FLUSHDB"});
  StartAndReach();
  EXPECT_EQ(Known(SeriesRange(0, 10)), 0);
}

// One node that has every slot: each single key works, and keys of several slots do not.
TEST_F(RedisTierTest, RefusesARedisClusterOnceAndStaysDown) {
  redis_->Stop();
  setenv("MI_REDIS_CLUSTER", "yes", 1);
  redis_->Start();
  unsetenv("MI_REDIS_CLUSTER");
  const auto is_refused_with_db = [&](uint64_t db) {
    options_.db = db;
    Start();
    ASSERT_TRUE(Eventually([&] { return HealthText().find("Redis Cluster") != std::string::npos; })) << HealthText();
    EXPECT_EQ(tier_->Health().error().code(), Errc::kInvalid);
    EXPECT_THAT(HealthText(), HasSubstr("redis.host"));
    tier_->Remember(SeriesRange(0, 100));
    const double errors = Metric("redis_errors_total");
    EXPECT_TRUE(Eventually([&] {
      EXPECT_EQ(Known(SeriesRange(0, 10)), -1);
      EXPECT_EQ(Up(), 0);
      return Metric("redis_errors_total") >= errors + 3;
    }));
    EXPECT_EQ(log_->Count("redis"), 1);
    tier_.reset();
    log_ = std::make_unique<telemetry::KeptLog>();
  };
  is_refused_with_db(0);  // no node has the slots yet
  Cli(redis_->port())({"CLUSTER", "ADDSLOTSRANGE", "0", "16383"});
  ASSERT_TRUE(Eventually([&] {
    const RedisReply info = Cli(redis_->port())({"CLUSTER", "INFO"});
    return std::string_view(info->str, info->len).contains("cluster_state:ok");
  }));
  is_refused_with_db(0);
  is_refused_with_db(1);
  redis_->Stop();
  redis_->Start();
}

TEST_F(RedisTierTest, NamesTheOptionOfAMissingDatabase) {
  options_.db = 4711;
  Start();
  EXPECT_TRUE(Eventually([&] { return HealthText().find("redis.db") != std::string::npos; })) << HealthText();
  EXPECT_EQ(tier_->Health().error().code(), Errc::kInvalid);
}

TEST_F(RedisTierTest, NamesTheOptionOfAWrongOrMissingPasswordAndRecoversOnceItIsRight) {
  {
    Cli cli = OpenCli();
    cli({"CONFIG", "SET", "requirepass", "right"});
    for (const char* password : {"", "wrong"}) {
      options_.password = password;
      Start();
      EXPECT_TRUE(Eventually([&] { return HealthText().find("redis.password") != std::string::npos; })) << HealthText();
      EXPECT_EQ(tier_->Health().error().code(), Errc::kInvalid);
      EXPECT_EQ(HealthText().find("wrong invalid"), std::string::npos);
      EXPECT_EQ(Known(SeriesRange(0, 1)), -1);
    }
    cli({"CONFIG", "SET", "requirepass", "wrong"});  // the password of the last tier
    EXPECT_TRUE(Eventually([&] { return tier_->Health().has_value(); })) << HealthText();
    cli({"CONFIG", "SET", "requirepass", ""});
  }
  options_.password = "needless";
  Start();
  EXPECT_TRUE(Eventually([&] { return HealthText().find("redis.password") != std::string::npos; })) << HealthText();
}

TEST_F(RedisTierTest, NeedsNoMoreThanTheDocumentedAclPermissions) {
  Cli cli = OpenCli();
  cli({"ACL", "SETUSER", "index", "on", ">secret", "~mi:*", "+mget", "+set", "+select", "resetchannels"});
  options_.username = "index";
  options_.password = "secret";
  StartAndReach();
  tier_->Remember(SeriesRange(0, 10));
  EXPECT_TRUE(KnowsEventually(SeriesRange(0, 10)));

  cli({"ACL", "SETUSER", "index", "-set"});
  tier_->Remember(SeriesRange(10, 20));
  EXPECT_TRUE(Eventually([&] { return HealthText().find("redis.username") != std::string::npos; })) << HealthText();
  EXPECT_EQ(Known(SeriesRange(0, 10)), 10) << "it may still look up";

  tier_.reset();
  options_.password = "wrong";
  Start();
  EXPECT_TRUE(Eventually([&] { return HealthText().find("redis.password") != std::string::npos; })) << HealthText();
  cli({"ACL", "DELUSER", "index"});
}

}  // namespace
}  // namespace mi::dedupe
