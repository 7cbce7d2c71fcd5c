// Reading whole topics once, from a real Kafka.
#include "stream/kafka/replay.h"

#include <set>

#include "stream/testing/kafka_service_test.h"

namespace mi::stream {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class KafkaReplayTest : public KafkaServiceTest {
 protected:
  KafkaReplayTest() : KafkaServiceTest("replay") {}
  void Configure(const std::vector<std::string>& hosts) override {
    options_.kafka.hosts = hosts;
    options_.topics = {topic_};
  }
  void Write(std::string_view name, int32_t partition) {
    bystander_->Write(topic_,
                      {format("{}{{}}", name), format(R"({{"labels":[{{"name":"__name__","value":"{}"}}]}})", name)},
                      partition);
  }
  std::unique_ptr<KafkaReplay> Open() {
    auto replay = KafkaReplay::Create(options_, deps_).value();
    EXPECT_TRUE(Eventually([&] { return replay->Start({}).has_value(); }));  // a new topic is not available at once
    return replay;
  }
  // As `metric-index replay` does.
  std::vector<std::string> ReadToTheEnd(KafkaReplay& replay) {
    std::vector<std::string> all;
    while (!replay.finished()) {
      const Result<Polled> polled = replay.Poll(7, milliseconds(100));
      if (!polled) continue;
      positions_.Store(*polled);
      std::ranges::move(Identities(polled->batches), std::back_inserter(all));
    }
    return all;
  }

  KafkaReplayOptions options_;
  StoredPositions positions_;
};

TEST_F(KafkaReplayTest, ReadsAllPartitionsUpToTheirEndAtTheStart) {
  bystander_->MakeTopic(topic_, 4);
  for (int i = 0; i < 40; ++i) Write(format("m{}", i), i % 3);  // one partition stays empty
  const auto replay = Open();
  EXPECT_FALSE(replay->finished());
  EXPECT_EQ(replay->totals().total, 40U);
  EXPECT_EQ(replay->CurrentLag().records, 40U);
  const std::vector<std::string> all = ReadToTheEnd(*replay);
  EXPECT_THAT(std::set(all.begin(), all.end()), SizeIs(40));
  EXPECT_THAT(all, SizeIs(40));
  EXPECT_EQ(replay->totals().read, 40U);
  ASSERT_TRUE(replay->Poll(1, milliseconds(0)));
  EXPECT_EQ(replay->CurrentLag().records, 0U);
  // The positions are the topic's own, so a group that finds them in the store continues there.
  ASSERT_THAT(positions_.all(), SizeIs(3));
  for (const StreamPosition& position : positions_.all()) {
    EXPECT_EQ(position.stream, topic_);
    EXPECT_EQ(position.next_offset, bystander_->End(topic_, position.partition));
  }
  EXPECT_LT(bystander_->Committed("metric-index-replay", topic_), 0) << "it is no member of a group";
}

TEST_F(KafkaReplayTest, EndsAlthoughRecordsKeepArriving) {
  bystander_->MakeTopic(topic_, 1);
  Write("a", 0);
  const auto replay = Open();
  Write("b", 0);
  EXPECT_EQ(replay->totals().total, 1U);
  const std::vector<std::string> all = ReadToTheEnd(*replay);
  ASSERT_GE(all.size(), 1U);
  EXPECT_EQ(all[0], "a{}");
  EXPECT_EQ(replay->totals().read, 1U);
}

TEST_F(KafkaReplayTest, FinishesAtOnceWithAnEmptyTopic) {
  bystander_->MakeTopic(topic_, 4);
  EXPECT_TRUE(Open()->finished());
}

TEST_F(KafkaReplayTest, ReadsFromATimeOn) {
  bystander_->MakeTopic(topic_, 2);
  Write("old", 0);
  Write("old", 1);
  const int64_t old = deps_.clock.NowMs();
  ASSERT_TRUE(Eventually([&] { return deps_.clock.NowMs() > old; }));
  options_.from_ms = deps_.clock.NowMs();
  Write("new", 0);
  const auto replay = Open();
  EXPECT_EQ(replay->totals().total, 1U);
  EXPECT_THAT(ReadToTheEnd(*replay), ElementsAre("new{}"));
  options_.from_ms = deps_.clock.NowMs() + 3'600'000;
  EXPECT_TRUE(Open()->finished());
}

TEST_F(KafkaReplayTest, StartsAfterTheRecordsThatHaveExpired) {
  bystander_->MakeTopic(topic_, 1);
  for (const char* name : {"a", "b", "c"}) Write(name, 0);
  bystander_->Forget(topic_, 0, 2);
  EXPECT_THAT(ReadToTheEnd(*Open()), ElementsAre("c{}"));
  bystander_->Forget(topic_, 0, 3);
  EXPECT_TRUE(Open()->finished());
}

TEST_F(KafkaReplayTest, ContinuesAfterKafkaWasAway) {
  bystander_->MakeTopic(topic_, 1);
  for (int i = 0; i < 20; ++i) Write(format("m{}", i), 0);
  const auto replay = Open();
  std::vector<std::string> first = Identities(replay->Poll(1, kKafkaPatience)->batches);
  kafka_->Kill();
  kafka_->Start();
  for (std::string& identity : ReadToTheEnd(*replay)) first.push_back(std::move(identity));
  EXPECT_THAT(first, SizeIs(20));
}

TEST_F(KafkaReplayTest, ReportsThatATopicDoesNotExist) {
  const auto replay = KafkaReplay::Create(options_, deps_).value();
  const Status started = replay->Start({});
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), Errc::kInvalid);
  EXPECT_THAT(started.error().message(), HasSubstr("metric_store.consumer.topics"));
  EXPECT_FALSE(replay->finished());
}

}  // namespace
}  // namespace mi::stream
