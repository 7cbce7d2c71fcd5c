// Reading a real Kafka as a member of a group: positions, rebalances, and what other programs have written.
#include "stream/kafka/consumer.h"

#include <future>
#include <random>
#include <set>
#include <thread>

#include "stream/testing/kafka_service_test.h"

namespace mi::stream {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

std::string SeriesRecord(std::string_view name) {
  return format(R"({{"labels":[{{"name":"__name__","value":"{}"}}],"content":"{}{{}}"}})", name, name);
}

class KafkaConsumerTest : public KafkaServiceTest {
 protected:
  KafkaConsumerTest() : KafkaServiceTest("consumer") {}
  void Configure(const std::vector<std::string>& hosts) override {
    options_.kafka.hosts = hosts;
    options_.topics = {topic_};
    options_.group_id = topic_;
  }

  // Its session does not time out during a test, so others get its partitions only if it leaves the group.
  std::unique_ptr<KafkaConsumer> Open() { return Open(stored_.Lookup()); }
  std::unique_ptr<KafkaConsumer> Open(PositionLookup positions) {
    options_.kafka.librdkafka["session.timeout.ms"] = "300000";
    options_.kafka.librdkafka["heartbeat.interval.ms"] = "200";  // when it hears of a rebalance
    auto consumer = KafkaConsumer::Create(options_, deps_).value();
    EXPECT_TRUE(consumer->Start(std::move(positions)));
    return consumer;
  }
  std::unique_ptr<KafkaConsumer> OpenAndAwait(size_t partitions) {
    auto consumer = Open();
    EXPECT_TRUE(Eventually([&] {
      if (consumer->assigned() < partitions) Take(*consumer, /*max_series=*/1);
      return consumer->assigned() == partitions;
    }));
    return consumer;
  }
  void Write(std::string_view name, int32_t partition = 0) {
    bystander_->Write(topic_, {format("{}{{}}", name), SeriesRecord(name)}, partition);
  }
  // Polls once and stores the positions.
  std::vector<std::string> Take(KafkaConsumer& consumer, size_t max_series = 100'000) {
    const Result<Polled> polled = consumer.Poll(max_series, milliseconds(100));
    if (!polled) return {};
    stored_.Store(*polled);
    return Identities(polled->batches);
  }
  // Polls until there are `count` series.
  std::vector<std::string> TakeMany(KafkaConsumer& consumer, size_t count) {
    std::vector<std::string> all;
    EXPECT_TRUE(Eventually([&] {
      std::ranges::move(Take(consumer), std::back_inserter(all));
      return all.size() >= count;
    })) << all.size();
    return all;
  }

  KafkaConsumerOptions options_;
  StoredPositions stored_;
};

TEST_F(KafkaConsumerTest, ReadsWhatTheGoServiceHasWritten) {
  bystander_->MakeTopic(topic_, 1);
  // The Go service can write such a record: another series' key, unsorted labels, wrong content, a missing value.
  bystander_->Write(topic_, {"down{}", R"({"labels":[{"name":"job","value":"api"},{"name":"__name__","value":"up"},)"
                                       R"({"name":"zone"}],"content":"down{}"})"});
  const auto consumer = Open();
  EXPECT_THAT(TakeMany(*consumer, 1), ElementsAre(R"(up{job="api"})"));
}

TEST_F(KafkaConsumerTest, MakesOneBatchPerTenantAndTime) {
  bystander_->MakeTopic(topic_, 1);
  const auto write = [&](std::string_view name, std::string_view rest) {
    bystander_->Write(topic_, {"k", format(R"({{"labels":[{{"name":"__name__","value":"{}"}}]{}}})", name, rest)});
  };
  write("a", R"(,"ts":1)");
  write("b", R"(,"ts":2)");
  write("c", R"(,"ts":1,"tenant":"x")");
  write("d", R"(,"ts":1)");
  const auto consumer = Open();
  std::vector<std::vector<std::string>> batches;
  ASSERT_TRUE(Eventually([&] {  // all in one poll: a poll that returned fewer is taken back
    const Polled polled = consumer->Poll(100, milliseconds(100)).value();
    batches.clear();
    for (const auto& batch : polled.batches) batches.push_back(Identities(batch));
    if (polled.series == 4) return true;
    EXPECT_TRUE(consumer->Rewind());
    return false;
  }));
  EXPECT_THAT(batches, ElementsAre(ElementsAre("a{}", "d{}"), ElementsAre("b{}"), ElementsAre("x|c{}")));
}

TEST_F(KafkaConsumerTest, SkipsTombstonesAndCountsThem) {
  bystander_->MakeTopic(topic_, 1);
  bystander_->Write(topic_, {"a{}", std::nullopt});
  bystander_->Write(topic_, {"b{}", std::nullopt});
  const auto consumer = Open();
  ASSERT_TRUE(Eventually([&] {
    Take(*consumer);
    return !stored_.all().empty() && stored_.all()[0].next_offset == 2;
  })) << "their position advances";
  EXPECT_EQ(deps_.metrics->GetCounter("kafka_tombstones_total", "").Value(), 2);
}

TEST_F(KafkaConsumerTest, WritesPoisonToTheDeadLettersWithKeyAndOrigin) {
  bystander_->MakeTopic(topic_, 4);
  Write("before", 2);
  bystander_->Write(topic_, {"its key", std::string("{\"labels\":[]\0", 13)}, 2);
  Write("after", 2);
  const auto consumer = Open();
  std::vector<PoisonRecord> poison;
  std::vector<std::string> series;
  ASSERT_TRUE(Eventually([&] {
    Polled polled = consumer->Poll(100, milliseconds(100)).value();
    std::ranges::move(polled.poison, std::back_inserter(poison));
    std::ranges::move(Identities(polled.batches), std::back_inserter(series));
    return poison.size() + series.size() == 3;
  }));
  EXPECT_THAT(series, ElementsAre("before{}", "after{}"));
  ASSERT_THAT(poison, SizeIs(1));
  EXPECT_EQ(poison[0].at, (StreamPosition{topic_, 2, 2}));
  ASSERT_TRUE(consumer->DeadLetter(poison[0]));
  const auto letters = bystander_->Read(DeadLetterTopic(topic_));
  ASSERT_THAT(letters, SizeIs(1));
  EXPECT_EQ(letters[0].key, "its key");
  EXPECT_EQ(letters[0].value, std::string("{\"labels\":[]\0", 13));
  EXPECT_THAT(letters[0].headers.at("reason"), HasSubstr("not JSON"));
  EXPECT_EQ(letters[0].headers.at("topic"), topic_);
  EXPECT_EQ(letters[0].headers.at("partition"), "2");
  EXPECT_EQ(letters[0].headers.at("offset"), "1");
}

TEST_F(KafkaConsumerTest, KnowsThePositionOfEachRecord) {
  bystander_->MakeTopic(topic_, 4);
  for (const char* name : {"a", "b"}) Write(name, 1);
  for (const char* name : {"c", "d"}) Write(name, 3);
  const auto consumer = Open();
  std::map<std::string, StreamPosition> stood;
  ASSERT_TRUE(Eventually([&] {
    const Polled polled = consumer->Poll(100, milliseconds(100)).value();
    for (size_t batch = 0; batch < polled.batches.size(); ++batch) {
      for (size_t i = 0; i < polled.batches[batch].size(); ++i) {
        stood[std::string(polled.batches[batch][i].labels.metric_name())] = polled.PositionOf(batch, i);
      }
    }
    return stood.size() == 4;
  }));
  EXPECT_THAT(
      stood,
      ElementsAre(testing::Pair("a", StreamPosition{topic_, 1, 1}), testing::Pair("b", StreamPosition{topic_, 1, 2}),
                  testing::Pair("c", StreamPosition{topic_, 3, 1}), testing::Pair("d", StreamPosition{topic_, 3, 2})));
}

TEST_F(KafkaConsumerTest, WritesRefusedRecordsSoThatTheyCanBeSentAgain) {
  bystander_->MakeTopic(topic_, 1);
  const auto consumer = OpenAndAwait(1);
  const auto refused = std::make_shared<const model::SeriesBatch>(MakeBatch("m", 1, 1'700'000'000'000, "team"));
  ASSERT_TRUE(consumer->DeadLetter({{topic_, 0, 8}, "for people", "too long", "", refused}));
  const auto letters = bystander_->Read(DeadLetterTopic(topic_));
  ASSERT_THAT(letters, SizeIs(1));
  EXPECT_EQ(letters[0].headers.at("offset"), "7");
  bystander_->Write(topic_, {letters[0].key, letters[0].value});
  EXPECT_THAT(TakeMany(*consumer, 1), ElementsAre(R"(team|m_0{job="contract"})"));
}

TEST_F(KafkaConsumerTest, CutsALetterThatIsTooLargeForTheTopic) {
  bystander_->MakeTopic(topic_, 1);
  const auto consumer = Open();
  const std::string bytes(3 << 20, 'x');
  ASSERT_TRUE(consumer->DeadLetter({{topic_, 0, 1}, bytes, "much", "key"}));
  const auto letters = bystander_->Read(DeadLetterTopic(topic_));
  ASSERT_THAT(letters, SizeIs(1));
  EXPECT_EQ(letters[0].value->size(), 65'536U);
  EXPECT_EQ(letters[0].headers.at("cut-from-bytes"), "3145728");
}

TEST_F(KafkaConsumerTest, CutsALetterThatIsTooLargeForASegment) {
  bystander_->MakeTopic(topic_, 1);
  bystander_->MakeTopic(DeadLetterTopic(topic_), 1, {{"segment.bytes", "1048576"}, {"max.message.bytes", "4194304"}});
  options_.kafka.librdkafka["message.max.bytes"] = "4194304";
  const auto consumer = Open();
  std::string bytes(2 << 20, 'x');
  std::minstd_rand random(1);  // it must not become small by compression
  for (char& c : bytes) c = static_cast<char>(random());
  ASSERT_TRUE(consumer->DeadLetter({{topic_, 0, 1}, bytes, "much", "key"}));
  const auto letters = bystander_->Read(DeadLetterTopic(topic_));
  ASSERT_THAT(letters, SizeIs(1));
  EXPECT_EQ(letters[0].value->size(), 65'536U);
}

TEST_F(KafkaConsumerTest, TriesAnAssignmentAgainWhenTheLookupFailed) {
  bystander_->MakeTopic(topic_, 1);
  for (const char* name : {"a", "b"}) Write(name);
  stored_.Set({{topic_, 0, 1}});
  const auto consumer = Open();
  int failures = 0;
  std::vector<std::string> series;
  ASSERT_TRUE(Eventually([&] {
    if (failures < 3) stored_.FailNext(Error(Errc::kUnavailable, "database is away"));
    const Result<Polled> polled = consumer->Poll(100, milliseconds(100));
    if (polled) {
      std::ranges::move(Identities(polled->batches), std::back_inserter(series));
    } else {
      EXPECT_EQ(polled.error().message(), "database is away");
      ++failures;
    }
    EXPECT_TRUE(failures >= 3 || series.empty());
    return !series.empty();
  }));
  EXPECT_THAT(series, ElementsAre("b{}")) << "from the store's position";
}

TEST_F(KafkaConsumerTest, DoesNotHoldUpTheGroupWhileTheLookupFails) {
  bystander_->MakeTopic(topic_, 2);
  bool away = false;
  const auto first = Open([&](const std::string&, int32_t) -> Result<std::optional<int64_t>> {
    if (away) return Fail(Errc::kUnavailable, "database is away");
    return std::nullopt;
  });
  away = true;
  ASSERT_TRUE(Eventually([&] { return !first->Poll(1, milliseconds(100)); })) << "nothing is assigned to it";
  const auto second = Open();
  EXPECT_TRUE(Eventually([&] {
    EXPECT_EQ(first->assigned(), 0U);
    (void)first->Poll(1, milliseconds(10));
    Take(*second, 1);
    return second->assigned() == 1;
  }));
  away = false;
  EXPECT_TRUE(Eventually([&] {
    (void)first->Poll(1, milliseconds(10));
    return first->assigned() == 1;
  }));
}

TEST_F(KafkaConsumerTest, GivesUpALetterWhenItIsWoken) {
  bystander_->MakeTopic(topic_, 1);
  options_.kafka.librdkafka["message.timeout.ms"] = "600000";
  const auto consumer = OpenAndAwait(1);
  const PoisonRecord letter{{topic_, 0, 1}, "bytes", "reason", "key"};
  ASSERT_TRUE(consumer->DeadLetter(letter));
  kafka_->Freeze();
  auto written = std::async(std::launch::async, [&] { return consumer->DeadLetter(letter); });
  consumer->Wake();
  const Status outcome = written.get();
  kafka_->Thaw();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code(), Errc::kUnavailable);
  EXPECT_TRUE(consumer->DeadLetter(letter)) << "the next one";
}

TEST_F(KafkaConsumerTest, ReturnsNothingOfARevokedPartition) {
  bystander_->MakeTopic(topic_, 4);
  const auto first = OpenAndAwait(4);
  for (int i = 0; i < 40; ++i) Write(format("m{}", i), i % 4);
  std::set<std::string> seen;
  const auto note = [&](const std::vector<std::string>& identities) {
    seen.insert(identities.begin(), identities.end());
  };
  note(Take(*first, 3));  // the rest is fetched but not polled
  const auto second = Open();
  ASSERT_TRUE(Eventually([&] {
    note(Take(*first, 1));
    note(Take(*second, 1));
    return first->assigned() == 2 && second->assigned() == 2;
  }));
  for (int i = 40; i < 80; ++i) Write(format("m{}", i), i % 4);
  std::set<int32_t> of_first;
  std::set<int32_t> of_second;
  const auto take = [&](KafkaConsumer& consumer, std::set<int32_t>& partitions) {
    const Polled polled = consumer.Poll(100, milliseconds(100)).value();
    stored_.Store(polled);
    for (const StreamPosition& next : polled.next) partitions.insert(next.partition);
    note(Identities(polled.batches));
  };
  ASSERT_TRUE(Eventually([&] {
    take(*first, of_first);
    take(*second, of_second);
    return seen.size() == 80;
  })) << seen.size();
  std::vector<int32_t> shared;
  std::ranges::set_intersection(of_first, of_second, std::back_inserter(shared));
  EXPECT_THAT(shared, IsEmpty());
  for (const StreamPosition& position : stored_.all()) EXPECT_EQ(position.next_offset, 20) << position.partition;
}

TEST_F(KafkaConsumerTest, LeavesTheGroupSoThatOthersContinueAtOnce) {
  bystander_->MakeTopic(topic_, 4);
  auto first = OpenAndAwait(4);
  const auto second = Open();
  ASSERT_TRUE(Eventually([&] {
    Take(*first);
    Take(*second);
    return second->assigned() == 2;
  }));
  first.reset();
  // Without leaving, its session would end long after this test.
  EXPECT_TRUE(Eventually([&] {
    Take(*second);
    return second->assigned() == 4;
  }));
}

TEST_F(KafkaConsumerTest, LeavesFetchedRecordsToOthers) {
  bystander_->MakeTopic(topic_, 4);
  for (int i = 0; i < 40; ++i) Write(format("m{}", i), i % 4);
  auto first = OpenAndAwait(4);
  ASSERT_TRUE(Eventually([&] { return first->CurrentLag().records >= 39; }));
  std::set<std::string> seen;
  const auto note = [&](const std::vector<std::string>& identities) {
    seen.insert(identities.begin(), identities.end());
  };
  note(TakeMany(*first, 1));
  first.reset();
  const auto second = Open();
  EXPECT_TRUE(Eventually([&] {
    note(Take(*second));
    return stored_.all().size() == 4 && std::ranges::all_of(stored_.all(), [](const StreamPosition& position) {
             return position.next_offset == 10;
           });
  })) << seen.size();
}

TEST_F(KafkaConsumerTest, LeavesInTimeWhenKafkaDoesNotAnswer) {
  bystander_->MakeTopic(topic_, 1);
  auto consumer = OpenAndAwait(1);
  Write("a");
  TakeMany(*consumer, 1);
  kafka_->Freeze();
  consumer->Release(stored_.all());
  std::promise<void> gone;
  std::jthread leaving([&] {
    consumer.reset();
    gone.set_value();
  });
  // Well within app.shutdown_timeout: it does not wait for an answer.
  EXPECT_EQ(gone.get_future().wait_for(std::chrono::seconds(6)), std::future_status::ready);
  kafka_->Thaw();
}

TEST_F(KafkaConsumerTest, BeginsAtTheNewestRecordOnlyForAGroupThatHasNoOffset) {
  options_.offset_type = "newest";
  bystander_->MakeTopic(topic_, 2);
  Write("old", 0);
  Write("old", 1);
  {
    const auto consumer = OpenAndAwait(2);
    EXPECT_EQ(consumer->CurrentLag().records, 0U);
  }
  // It ended before anything was stored; records that arrived since then are not skipped.
  Write("new", 0);
  Write("newer", 1);
  {
    const auto consumer = Open();
    EXPECT_THAT(TakeMany(*consumer, 2), UnorderedElementsAre("new{}", "newer{}"));
    consumer->Release(stored_.all());
  }
  // The database comes from a backup that knows one partition. The group is not new: the other is read from its
  // beginning.
  EXPECT_TRUE(Eventually([&] { return bystander_->Committed(topic_, topic_, 1) == 2; }));
  stored_.Set({{topic_, 0, 2}});
  const auto consumer = Open();
  EXPECT_THAT(TakeMany(*consumer, 2), ElementsAre("old{}", "newer{}"));
}

TEST_F(KafkaConsumerTest, DoesNotTreatAGroupAsNewThatAnotherProgramHasUsed) {
  options_.offset_type = "newest";
  bystander_->MakeTopic(topic_, 2);
  Write("old", 0);
  Write("old", 1);
  {
    // Committed by one whose positions are not in our store, such as the Go service.
    options_.offset_type = "oldest";
    const auto other = Open();
    EXPECT_THAT(TakeMany(*other, 2), SizeIs(2));
    other->Release(stored_.all());
    EXPECT_TRUE(Eventually([&] { return bystander_->Committed(topic_, topic_, 0) == 1; }));
  }
  stored_.Set({});
  options_.offset_type = "newest";
  const auto consumer = Open();
  EXPECT_THAT(TakeMany(*consumer, 2), ElementsAre("old{}", "old{}"));
}

TEST_F(KafkaConsumerTest, ReadsWhatIsLeftWhenItsOffsetHasExpired) {
  options_.offset_type = "newest";
  bystander_->MakeTopic(topic_, 1);
  for (const char* name : {"a", "b", "c"}) Write(name);
  bystander_->Forget(topic_, 0, 2);
  stored_.Set({{topic_, 0, 1}});
  const auto consumer = Open();
  EXPECT_THAT(TakeMany(*consumer, 1), ElementsAre("c{}"));
  EXPECT_TRUE(deps_.log->Has("but it begins at 2"));
}

TEST_F(KafkaConsumerTest, ReadsATopicFromItsBeginningThatWasCreatedAgain) {
  bystander_->MakeTopic(topic_, 1);
  for (const char* name : {"a", "b", "c"}) Write(name);
  {
    const auto consumer = Open();
    EXPECT_THAT(TakeMany(*consumer, 3), SizeIs(3));
  }
  bystander_->DeleteTopic(topic_);
  bystander_->MakeTopic(topic_, 1);
  Write("d");
  const auto consumer = Open();
  EXPECT_THAT(TakeMany(*consumer, 1), ElementsAre("d{}"));
  EXPECT_TRUE(deps_.log->Has("the topic was created again"));
  EXPECT_EQ(stored_.all()[0].next_offset, 1);
}

TEST_F(KafkaConsumerTest, CommitsWhatWasReleasedForToolsThatShowLag) {
  bystander_->MakeTopic(topic_, 1);
  for (const char* name : {"a", "b"}) Write(name);
  const auto consumer = Open();
  TakeMany(*consumer, 2);
  EXPECT_LT(bystander_->Committed(topic_, topic_), 0);
  consumer->Release(stored_.all());
  EXPECT_TRUE(Eventually([&] { return bystander_->Committed(topic_, topic_) == 2; }));
  // It does not commit offsets that it has not read.
  consumer->Release(std::vector<StreamPosition>{{topic_, 0, 7}, {"another", 0, 7}});
  EXPECT_EQ(bystander_->Committed(topic_, topic_), 2);
}

TEST_F(KafkaConsumerTest, ShowsTheLagOfEachPartition) {
  bystander_->MakeTopic(topic_, 2);
  auto consumer = OpenAndAwait(2);
  for (const char* name : {"a", "b", "c"}) Write(name, 1);
  const auto line = [&](int partition, int records) {
    if (consumer != nullptr) (void)consumer->CurrentLag();  // app::ShowIndexLag calls it before each rendering
    return deps_.metrics->Render().contains(
        format("kafka_lag_records{{partition=\"{}\",topic=\"{}\"}} {}\n", partition, topic_, records));
  };
  EXPECT_TRUE(Eventually([&] { return line(1, 3) && line(0, 0); })) << deps_.metrics->Render();
  TakeMany(*consumer, 3);
  EXPECT_TRUE(line(1, 3)) << "polled is not applied";
  Take(*consumer);
  EXPECT_TRUE(line(1, 0)) << deps_.metrics->Render();
  Write("d", 1);
  EXPECT_TRUE(Eventually([&] { return line(1, 1); }));
  consumer.reset();
  EXPECT_TRUE(line(1, 0)) << "another process reads it now";
}

TEST_F(KafkaConsumerTest, WaitsForATopicThatDoesNotExistYet) {
  options_.kafka.librdkafka["topic.metadata.refresh.interval.ms"] = "200";
  const auto consumer = Open();
  std::string why;
  ASSERT_TRUE(Eventually([&] {
    const Result<Polled> polled = consumer->Poll(1, milliseconds(100));
    if (!polled) why = polled.error().message();
    return !polled;
  }));
  EXPECT_THAT(why, HasSubstr("metric_store.consumer.topics"));
  bystander_->MakeTopic(topic_, 1);
  Write("a");
  EXPECT_THAT(TakeMany(*consumer, 1), ElementsAre("a{}"));
}

TEST_F(KafkaConsumerTest, ReportsThatKafkaIsAwayAndContinuesWhenItIsBack) {
  bystander_->MakeTopic(topic_, 1);
  const auto consumer = OpenAndAwait(1);
  kafka_->Kill();
  std::string why;
  ASSERT_TRUE(Eventually([&] {
    const Result<Polled> polled = consumer->Poll(1, milliseconds(100));
    if (!polled) why = polled.error().message();
    return !polled;
  }));
  EXPECT_THAT(why, HasSubstr("metric_store.consumer.hosts"));
  kafka_->Start();
  bystander_.emplace(kafka_->address());
  Write("a");
  EXPECT_THAT(TakeMany(*consumer, 1), ElementsAre("a{}"));
}

}  // namespace
}  // namespace mi::stream
