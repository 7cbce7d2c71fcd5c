// Publishing to a real Kafka that works, is away, is frozen, is full, or refuses.
#include "stream/kafka/publisher.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <set>

#include "stream/kafka/activity_consumer.h"
#include "stream/testing/kafka_service_test.h"

namespace mi::stream {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// Values that do not compress.
model::SeriesBatch MakeWideBatch(const std::vector<size_t>& sizes) {
  model::SeriesBatch batch;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const model::SeriesBatch one = MakeIncompressibleBatch(1, i);
    const std::string noise(one[0].labels.Get("v"));
    std::string value = format("{}:", i);
    while (value.size() < sizes[i]) value += noise;
    value.resize(sizes[i]);
    const model::Label labels[] = {{"v", value}};
    const model::Labels canonical = model::Labels::FromUnsorted(labels).value();
    batch.Add(model::Fingerprinter("", {})(canonical.canonical()), canonical.canonical());
  }
  return batch;
}

class KafkaPublisherTest : public KafkaServiceTest {
 protected:
  KafkaPublisherTest() : KafkaServiceTest("publisher") {}
  void Configure(const std::vector<std::string>& hosts) override {
    options_.kafka.hosts = hosts;
    options_.topic = topic_;
    options_.probe_interval = milliseconds(100);
  }

  void Create() {
    publisher_.reset();
    publisher_ = KafkaPublisher::Create(options_, deps_).value();
  }
  void CreateAndAwait() {
    Create();
    AwaitHealth();
  }
  void AwaitHealth() {
    ASSERT_TRUE(Eventually([&] { return publisher_->Health().has_value(); })) << publisher_->Health().error().message();
  }
  std::string Trouble() const {
    const Status health = publisher_->Health();
    return health ? "" : health.error().message();
  }
  std::set<std::string> Keys() {
    std::set<std::string> keys;
    for (const auto& record : bystander_->ReadAll(topic_)) keys.insert(record.key);
    return keys;
  }

  KafkaPublisherOptions options_;
  std::unique_ptr<KafkaPublisher> publisher_;
};

TEST_F(KafkaPublisherTest, WritesOneRecordPerSeriesUnderItsIdentity) {
  options_.new_topic_partitions = 1;
  CreateAndAwait();
  ASSERT_TRUE(PublishAndWait(*publisher_, MakeBatch("up", 2, 1'700'000'000'000, "team")).all_durable());
  const auto records = bystander_->Read(topic_);
  ASSERT_THAT(records, SizeIs(2));
  EXPECT_EQ(records[0].key, R"(team|up_0{job="contract"})");
  EXPECT_EQ(records[0].value, R"({"labels":[{"name":"__name__","value":"up_0"},{"name":"job","value":"contract"}],)"
                              R"("content":"up_0{job=\"contract\"}","tenant":"team","ts":1700000000000})");
}

TEST_F(KafkaPublisherTest, CreatesTheSeriesTopicCompactedAndTheActivityTopicWithRetention) {
  CreateAndAwait();
  const auto series = bystander_->client().ReadTopicSettings(topic_, kKafkaPatience).value();
  EXPECT_EQ(series.at("cleanup.policy"), "compact");
  const auto activity = bystander_->client().ReadTopicSettings(ActivityTopic(topic_), kKafkaPatience).value();
  EXPECT_EQ(activity.at("cleanup.policy"), "delete");
  EXPECT_EQ(bystander_->client().AskTopic(topic_, kKafkaPatience)->partitions, 4) << "the broker's num.partitions";
}

TEST_F(KafkaPublisherTest, WarnsAboutATopicThatIsNotCompactedAndLeavesItAsItIs) {
  bystander_->MakeTopic(topic_, 1, {{"cleanup.policy", "delete"}});
  CreateAndAwait();
  ASSERT_TRUE(PublishAndWait(*publisher_, MakeBatch("up", 1)).all_durable());
  EXPECT_EQ(bystander_->client().ReadTopicSettings(topic_, kKafkaPatience)->at("cleanup.policy"), "delete");
  EXPECT_TRUE(deps_.log->Has("Recommended: cleanup.policy=compact"));
}

// Reads the broker's log on disk: a client does not tell with which codec a batch came.
TEST_F(KafkaPublisherTest, CompressesWithSnappyWhichOldClientsCanRead) {
  bystander_->MakeTopic(topic_, 1);
  CreateAndAwait();
  ASSERT_TRUE(PublishAndWait(*publisher_, MakeBatch("a_rather_long_name_that_repeats", 1'000)).all_durable());
  const auto segment =
      std::filesystem::path(kafka_->directory()) / "data" / (topic_ + "-0") / "00000000000000000000.log";
  std::ifstream in(segment, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(in), {});
  const auto big_endian = [&](size_t at, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i) value = value << 8U | static_cast<unsigned char>(bytes.at(at + i));
    return value;
  };
  constexpr size_t kLengthAt = 8;  // of a record batch: base offset, length, epoch, magic, checksum, attributes
  constexpr size_t kMagicAt = 16;
  constexpr size_t kAttributesAt = 21;
  constexpr uint64_t kSnappy = 2;
  size_t batches = 0;
  for (size_t at = 0; at < bytes.size(); at += 12 + big_endian(at + kLengthAt, 4)) {
    ASSERT_EQ(big_endian(at + kMagicAt, 1), 2U);
    // A single record can be smaller uncompressed.
    if (12 + big_endian(at + kLengthAt, 4) > 400) {
      EXPECT_EQ(big_endian(at + kAttributesAt, 2) & 7U, kSnappy);
    }
    ++batches;
  }
  EXPECT_GE(batches, 1U);
  EXPECT_LT(bytes.size(), 1'000U * 100) << "of 190 kB of values";
}

TEST_F(KafkaPublisherTest, FailsAtOnceWhileKafkaIsAwayAndRecoversByItself) {
  options_.kafka.librdkafka["message.timeout.ms"] = "3000";
  CreateAndAwait();
  std::set<std::string> acknowledged;
  const auto publish = [&](const std::string& name) {
    const PublishResult result = PublishAndWait(*publisher_, MakeBatch(name, 20));
    const std::vector<std::string> identities = Identities(MakeBatch(name, 20));
    std::set<size_t> failed;
    for (const auto& failure : result.failures) {
      EXPECT_EQ(failure.error.code(), Errc::kUnavailable) << failure.error.message();
      failed.insert(failure.index);
    }
    for (size_t i = 0; i < identities.size(); ++i) {
      if (!failed.contains(i)) acknowledged.insert(identities[i]);
    }
    return failed.empty();
  };
  ASSERT_TRUE(publish("before"));

  // In flight when the broker stops answering: its outcome is unknown.
  kafka_->Freeze();
  EXPECT_FALSE(publish("frozen"));
  kafka_->Kill();
  ASSERT_TRUE(Eventually([&] { return !publisher_->Health(); }));
  EXPECT_THAT(Trouble(), HasSubstr("metric_store.producer.hosts"));
  for (int i = 0; i < 100; ++i) {
    bool answered = false;
    publisher_->Publish(std::make_shared<const model::SeriesBatch>(MakeBatch("away", 1)),
                        [&](const PublishResult& result) {
                          answered = true;
                          EXPECT_THAT(result.failures, SizeIs(1));
                        });
    ASSERT_TRUE(answered) << "nothing is queued for a broker that is away";
  }
  kafka_->Start();
  AwaitHealth();
  EXPECT_TRUE(Eventually([&] { return publish("after"); }));
  EXPECT_THAT(Keys(), testing::IsSupersetOf(acknowledged));
}

TEST_F(KafkaPublisherTest, BecomesHealthyWhenKafkaStarts) {
  kafka_->Kill();
  Create();
  EXPECT_THAT(PublishAndWait(*publisher_, MakeBatch("early", 2)).failures, SizeIs(2));
  EXPECT_TRUE(Eventually([&] { return Trouble().contains("Connection refused"); })) << Trouble();
  EXPECT_THAT(Trouble(), HasSubstr("metric_store.producer.hosts"));
  kafka_->Start();
  AwaitHealth();
  EXPECT_TRUE(PublishAndWait(*publisher_, MakeBatch("late", 2)).all_durable());
}

TEST_F(KafkaPublisherTest, FailsOnlyTheRecordsThatAFullQueueDidNotAccept) {
  options_.kafka.librdkafka["queue.buffering.max.messages"] = "100";
  options_.kafka.librdkafka["message.timeout.ms"] = "60000";
  CreateAndAwait();
  kafka_->Freeze();
  std::promise<PublishResult> promise;
  auto answer = promise.get_future();
  model::SeriesBatch batch = MakeBatch("m", 150);
  batch.AddMetadata({.family = "m", .type = "gauge", .help = "", .unit = ""});
  publisher_->Publish(std::make_shared<const model::SeriesBatch>(std::move(batch)),
                      [&](PublishResult result) { promise.set_value(std::move(result)); });
  kafka_->Thaw();
  const PublishResult result = answer.get();
  ASSERT_THAT(result.failures, SizeIs(50));
  for (size_t i = 0; i < result.failures.size(); ++i) {
    EXPECT_EQ(result.failures[i].index, 100 + i);
    EXPECT_EQ(result.failures[i].error.code(), Errc::kOverloaded);
  }
  EXPECT_THAT(result.failures[0].error.message(), HasSubstr("librdkafka.queue.buffering.max.messages"));
  EXPECT_EQ(result.metadata_failure.value().code(), Errc::kOverloaded);
  EXPECT_THAT(Keys(), SizeIs(100));
  EXPECT_EQ(deps_.metrics->GetCounter("stream_published_total", "").Value(), 100);
  EXPECT_EQ(deps_.metrics->GetCounter("stream_publish_errors_total", "", {{"reason", "queue"}}).Value(), 1);
}

TEST_F(KafkaPublisherTest, RefusesOnlyTheRecordThatIsTooLargeForTheTopic) {
  bystander_->MakeTopic(topic_, 1, {{"max.message.bytes", "10000"}});
  CreateAndAwait();
  ASSERT_TRUE(Eventually([&] { return deps_.log->Has("accepts at most 9.8 KiB per batch"); }));
  AwaitHealth();
  // Together far more than the topic accepts per batch, and one record that is too large alone.
  std::vector<size_t> sizes(100, 1'000);
  sizes[7] = 20'000;
  const PublishResult result = PublishAndWait(*publisher_, MakeWideBatch(sizes));
  ASSERT_THAT(result.failures, SizeIs(1));
  EXPECT_EQ(result.failures[0].index, 7U);
  EXPECT_EQ(result.failures[0].error.code(), Errc::kTooLarge);
  EXPECT_THAT(result.failures[0].error.message(),
              AllOf(HasSubstr("librdkafka.message.max.bytes"), HasSubstr("max.message.bytes of topic")));
  EXPECT_THAT(Keys(), SizeIs(99));
}

TEST_F(KafkaPublisherTest, IsFatalWhenTheTopicIsChangedToAcceptLess) {
  bystander_->MakeTopic(topic_, 1);
  CreateAndAwait();
  ASSERT_TRUE(PublishAndWait(*publisher_, MakeWideBatch({3'000})).all_durable());
  bystander_->SetTopic(topic_, {{"max.message.bytes", "5000"}});
  const std::vector<size_t> sizes(20, 1'000);
  EXPECT_TRUE(Eventually([&] {
    const PublishResult result = PublishAndWait(*publisher_, MakeWideBatch(sizes));
    for (const auto& failure : result.failures) EXPECT_EQ(failure.error.code(), Errc::kUnavailable);
    return !deps_.FatalMessage().empty();
  }));
  EXPECT_THAT(deps_.FatalMessage(), AllOf(HasSubstr("4.9 KiB"), HasSubstr("max.message.bytes")));
  EXPECT_FALSE(publisher_->Health());
  // The restart adopts the limit.
  CreateAndAwait();
  EXPECT_TRUE(PublishAndWait(*publisher_, MakeWideBatch(sizes)).all_durable());
}

TEST_F(KafkaPublisherTest, NamesTheOptionsForALimitThatItMayNotRead) {
  options_.admin_timeout = milliseconds(0);  // the question for the limit fails
  options_.kafka.librdkafka["compression.codec"] = "none";
  bystander_->MakeTopic(topic_, 1, {{"max.message.bytes", "10000"}});
  CreateAndAwait();
  ASSERT_TRUE(Eventually([&] { return deps_.log->Has("read the settings of topic"); }));
  std::vector<size_t> sizes(40, 1'000);
  sizes[7] = 20'000;
  PublishResult result = PublishAndWait(*publisher_, MakeWideBatch(sizes));
  ASSERT_FALSE(result.failures.empty());
  EXPECT_EQ(result.failures[0].error.code(), Errc::kUnavailable);
  EXPECT_THAT(result.failures[0].error.message(),
              AllOf(HasSubstr("max.message.bytes"), HasSubstr("librdkafka.batch.size")));

  options_.kafka.librdkafka["batch.size"] = "9000";
  CreateAndAwait();
  result = PublishAndWait(*publisher_, MakeWideBatch(sizes));
  ASSERT_THAT(result.failures, SizeIs(1));
  EXPECT_EQ(result.failures[0].index, 7U);
  EXPECT_EQ(result.failures[0].error.code(), Errc::kTooLarge);
  EXPECT_THAT(result.failures[0].error.message(), HasSubstr("max.message.bytes"));
}

TEST_F(KafkaPublisherTest, SupportsSaslOverTls) {
  std::ifstream(kafka_->directory() + "/sasl_port") >> options_.kafka.hosts[0];
  options_.kafka.hosts[0] = "127.0.0.1:" + options_.kafka.hosts[0];
  auto& librdkafka = options_.kafka.librdkafka;
  librdkafka = {{"security.protocol", "sasl_ssl"},
                {"ssl.ca.location", kafka_->directory() + "/tls.pem"},
                {"sasl.mechanisms", "PLAIN"},
                {"sasl.username", "plain"},
                {"sasl.password", "secret"}};
  CreateAndAwait();
  EXPECT_TRUE(PublishAndWait(*publisher_, MakeBatch("up", 1)).all_durable());

  librdkafka["sasl.password"] = "wrong";
  Create();
  EXPECT_TRUE(Eventually([&] { return Trouble().contains("sasl.password"); })) << Trouble();
  EXPECT_THAT(Trouble(), HasSubstr("Invalid username or password"));

  librdkafka["sasl.password"] = "secret";
  librdkafka.erase("ssl.ca.location");
  Create();
  EXPECT_TRUE(Eventually([&] { return Trouble().contains("librdkafka.ssl."); })) << Trouble();

  librdkafka["ssl.ca.location"] = kafka_->directory() + "/tls.pem";
  librdkafka["sasl.mechanisms"] = "SCRAM-SHA-512";
  librdkafka["sasl.username"] = "scram";
  Create();
  if (rd_kafka_version() >= 0x020601ff) {
    AwaitHealth();
  } else {
    EXPECT_TRUE(Eventually([&] { return Trouble().contains("needs librdkafka 2.6.1"); })) << Trouble();
  }
}

TEST_F(KafkaPublisherTest, NamesAnOptionThatLibrdkafkaDoesNotAccept) {
  const auto why = [&](const std::string& name, const std::string& value) {
    options_.kafka.librdkafka = {{name, value}};
    EXPECT_FALSE(CheckKafkaOptions(options_.kafka.librdkafka));
    const auto publisher = KafkaPublisher::Create(options_, deps_);
    return publisher ? "" : publisher.error().message();
  };
  EXPECT_THAT(why("linger.msec", "5"), HasSubstr("librdkafka.linger.msec: No such configuration property"));
  EXPECT_THAT(why("linger.ms", "soon"), HasSubstr("librdkafka.linger.ms"));
  EXPECT_TRUE(CheckKafkaOptions({{"linger.ms", "5"}, {"fetch.min.bytes", "1"}}));
}

TEST_F(KafkaPublisherTest, StopsInTimeWhenKafkaDoesNotAnswer) {
  options_.stop_timeout = milliseconds(200);
  options_.kafka.librdkafka["message.timeout.ms"] = "600000";
  CreateAndAwait();
  kafka_->Freeze();
  std::optional<PublishResult> answer;
  publisher_->Publish(std::make_shared<const model::SeriesBatch>(MakeBatch("m", 3)),
                      [&](PublishResult result) { answer = std::move(result); });
  EXPECT_FALSE(publisher_->Flush(milliseconds(50)));
  publisher_->Stop();
  ASSERT_TRUE(answer);
  EXPECT_THAT(answer->failures, SizeIs(3));
  kafka_->Thaw();
}

TEST_F(KafkaPublisherTest, CarriesActivityToConsumersWithTheSameSecret) {
  options_.activity_delay = milliseconds(0);
  options_.kafka.identity_secret = "ours";
  CreateAndAwait();
  const std::vector<model::Fingerprint> seen = {{1, 2}, {3, 4}};
  publisher_->PublishActivity({1'700'000'000'123, seen});
  ASSERT_TRUE(publisher_->Flush(kKafkaPatience));

  KafkaPublisherOptions foreign = options_;
  foreign.kafka.identity_secret = "theirs";
  const auto stranger = KafkaPublisher::Create(foreign, deps_).value();
  ASSERT_TRUE(Eventually([&] { return stranger->Health().has_value(); }));
  stranger->PublishActivity({1'700'000'000'123, {{5, 6}}});
  ASSERT_TRUE(stranger->Flush(kKafkaPatience));

  ActivityQueue queue(1'000, *deps_.metrics);
  const auto consumer =
      KafkaActivityConsumer::Create({.kafka = options_.kafka, .topics = {topic_}, .group_id = topic_}, deps_, queue)
          .value();
  consumer->Start();
  telemetry::Counter& refused = deps_.metrics->GetCounter("activity_refused_records_total", "", {{"reason", "secret"}});
  ASSERT_TRUE(Eventually([&] { return queue.size() == 2 && refused.Value() == 1; }));
  const auto batches = queue.Take(100);
  ASSERT_THAT(batches, SizeIs(1));
  EXPECT_EQ(batches[0].seen_at_ms, 1'700'000'000'000);
  EXPECT_EQ(batches[0].fingerprints, seen);
}

TEST_F(KafkaPublisherTest, KeepsActivityInKafkaWhileTheQueueIsFull) {
  options_.activity_delay = milliseconds(0);
  CreateAndAwait();
  constexpr size_t kRecords = 20;
  for (uint64_t i = 0; i < kRecords; ++i) {
    publisher_->PublishActivity({1'000, {{i, i}, {i, i + 1'000}}});
    ASSERT_TRUE(publisher_->Flush(kKafkaPatience));
  }
  ActivityQueue queue(4, *deps_.metrics);
  const auto consumer =
      KafkaActivityConsumer::Create({.kafka = options_.kafka, .topics = {topic_}, .group_id = topic_}, deps_, queue)
          .value();
  consumer->Start();
  std::set<model::Fingerprint> taken;
  EXPECT_TRUE(Eventually([&] {
    EXPECT_LE(queue.size(), 4U);
    for (const auto& batch : queue.Take(4)) taken.insert(batch.fingerprints.begin(), batch.fingerprints.end());
    return taken.size() == 2 * kRecords;
  }));
  EXPECT_EQ(deps_.metrics->GetCounter("activity_dropped_total", "").Value(), 0);
}

TEST_F(KafkaPublisherTest, AFullActivityQueueHoldsUpNoOtherMemberOfTheGroup) {
  options_.activity_delay = milliseconds(0);
  bystander_->MakeTopic(ActivityTopic(topic_), 8);
  CreateAndAwait();
  std::set<model::Fingerprint> published;
  const auto publish = [&](uint64_t i) {
    publisher_->PublishActivity({1'000, {{i, i}}});
    published.insert({i, i});
    ASSERT_TRUE(publisher_->Flush(kKafkaPatience));
  };
  ActivityQueue full(1, *deps_.metrics);
  const KafkaConsumerOptions options{.kafka = options_.kafka, .topics = {topic_}, .group_id = topic_};
  const auto first = KafkaActivityConsumer::Create(options, deps_, full).value();
  first->Start();
  for (uint64_t i = 0; i < 40; ++i) publish(i);
  ASSERT_TRUE(Eventually([&] { return full.size() == 1; }));

  ActivityQueue roomy(1'000, *deps_.metrics);
  const auto second = KafkaActivityConsumer::Create(options, deps_, roomy).value();
  second->Start();
  uint64_t next = 40;
  EXPECT_TRUE(Eventually([&] {
    publish(next++);
    return roomy.size() > 0;
  }));
  std::set<model::Fingerprint> taken;
  EXPECT_TRUE(Eventually([&] {
    for (ActivityQueue* queue : {&full, &roomy}) {
      for (const auto& batch : queue->Take(1)) taken.insert(batch.fingerprints.begin(), batch.fingerprints.end());
    }
    return taken == published;
  })) << "nothing is lost";
}

TEST_F(KafkaPublisherTest, DropsAndCountsTooMuchActivity) {
  options_.max_activity_fingerprints = 3;
  options_.activity_delay = std::chrono::hours(1);
  CreateAndAwait();
  publisher_->PublishActivity({1, {{1, 1}, {2, 2}}});
  publisher_->PublishActivity({1, {{3, 3}, {4, 4}}});
  EXPECT_EQ(deps_.metrics->GetCounter("activity_dropped_total", "").Value(), 2);
  publisher_->Stop();  // sends what was collected
  size_t bytes = 0;
  for (const auto& record : bystander_->ReadAll(ActivityTopic(topic_))) bytes += record.value->size();
  EXPECT_EQ(bytes, 21U + 2 * 16);
}

// librdkafka's mock cluster, whose answers are scripted.
class KafkaMockTest : public testing::Test {
 protected:
  KafkaMockTest() {
    cluster_ = rd_kafka_mock_cluster_new(owner_->handle(), 1);
    options_.kafka.hosts = {rd_kafka_mock_cluster_bootstraps(cluster_)};
    options_.probe_interval = milliseconds(50);
    options_.admin_timeout = milliseconds(200);  // the mock does not answer that request
    rd_kafka_mock_topic_create(cluster_, "metric-index", 1, 1);
    rd_kafka_mock_topic_create(cluster_, "metric-index-activity", 1, 1);
  }
  ~KafkaMockTest() override {
    publisher_.reset();
    rd_kafka_mock_cluster_destroy(cluster_);
  }
  void Create() { publisher_ = KafkaPublisher::Create(options_, deps_).value(); }
  bool PublishesOne() { return PublishAndWait(*publisher_, MakeBatch("m", 1)).all_durable(); }

  KafkaTestDeps deps_;
  const std::unique_ptr<KafkaClient> owner_ = KafkaClient::Create({.type = RD_KAFKA_PRODUCER}, {}, deps_).value();
  rd_kafka_mock_cluster_t* cluster_ = nullptr;
  KafkaPublisherOptions options_;
  std::unique_ptr<KafkaPublisher> publisher_;
};

constexpr int16_t kProduce = 0;
constexpr int16_t kInitProducerId = 22;

TEST_F(KafkaMockTest, ReportsAnErrorThatEndsTheProducerAndAnswersWhatIsInFlight) {
  rd_kafka_mock_push_request_errors(cluster_, kInitProducerId, 1, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED);
  Create();
  EXPECT_TRUE(Eventually([&] {
    EXPECT_FALSE(PublishesOne());
    return !deps_.FatalMessage().empty();
  }));
  EXPECT_THAT(deps_.FatalMessage(), HasSubstr("ACLs"));
  EXPECT_FALSE(publisher_->Health());
  EXPECT_TRUE(publisher_->Flush(kKafkaPatience));
}

TEST_F(KafkaMockTest, ShowsForAWhileThatAWriteWasDenied) {
  Create();
  ASSERT_TRUE(Eventually([&] { return PublishesOne(); }));
  rd_kafka_mock_push_request_errors(cluster_, kProduce, 1, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
  EXPECT_FALSE(PublishesOne());
  const Status health = publisher_->Health();
  ASSERT_FALSE(health);
  EXPECT_THAT(health.error().message(), HasSubstr("the broker's ACLs"));
  EXPECT_TRUE(Eventually([&] { return PublishesOne(); })) << "who may again is not kept from it";
}

TEST_F(KafkaMockTest, RepeatsARecordWhenTheBrokerAsksForIt) {
  Create();
  ASSERT_TRUE(Eventually([&] { return PublishesOne(); }));
  rd_kafka_mock_push_request_errors(cluster_, kProduce, 3, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
                                    RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT);
  EXPECT_TRUE(PublishesOne());
}

}  // namespace
}  // namespace mi::stream
