#include "stream/testing/fake_stream.h"

#include "stream/testing/contract_test.h"

namespace mi::stream {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class FakeUnderTest final : public StreamUnderTest {
 public:
  SeriesPublisher& publisher() override { return *publisher_; }
  SeriesConsumer& consumer() override { return *consumer_; }
  void Restart() override {
    publisher_ = stream_.OpenPublisher();
    consumer_ = stream_.OpenConsumer();
  }
  void StopPublishing() override { stream_.FailAlways(FakeCall::kPublish, Error(Errc::kUnavailable, "stopped")); }
  void AppendPoison(const std::string& bytes) override { stream_.AppendPoison(bytes, "cannot be decoded"); }
  std::vector<std::pair<std::string, std::string>> DeadLetters() override {
    std::vector<std::pair<std::string, std::string>> letters;
    for (const PoisonRecord& record : stream_.dead_letters()) letters.emplace_back(record.bytes, record.reason);
    return letters;
  }

 private:
  FakeStream stream_;
  std::unique_ptr<SeriesPublisher> publisher_ = stream_.OpenPublisher();
  std::unique_ptr<SeriesConsumer> consumer_ = stream_.OpenConsumer();
};

INSTANTIATE_TEST_SUITE_P(Fake, StreamContract,
                         testing::Values(ContractCase{"Fake", [] { return std::make_unique<FakeUnderTest>(); }}),
                         CaseName);

TEST(FakeStream, FailsTheScriptedCall) {
  FakeStream stream;
  const auto publisher = stream.OpenPublisher();
  stream.Fail(FakeCall::kPublish, 2, Error(Errc::kUnavailable, "gone"));
  EXPECT_TRUE(PublishAndWait(*publisher, MakeBatch("a", 2)).all_durable());
  EXPECT_THAT(PublishAndWait(*publisher, MakeBatch("b", 2)).failures, SizeIs(2));
  EXPECT_TRUE(PublishAndWait(*publisher, MakeBatch("c", 2)).all_durable());
  EXPECT_THAT(stream.published(), SizeIs(2));
}

TEST(FakeStream, HoldsBatchesUntilTheyAreAcknowledged) {
  FakeStream stream;
  const auto publisher = stream.OpenPublisher();
  bool durable = false;
  stream.HoldAcknowledgements();
  publisher->Publish(std::make_shared<const model::SeriesBatch>(MakeBatch("a", 1)),
                     [&](const PublishResult& result) { durable = result.all_durable(); });
  stream.AwaitHeld(1);
  EXPECT_FALSE(durable);
  EXPECT_THAT(stream.published(), IsEmpty());
  stream.Acknowledge();
  EXPECT_TRUE(durable);
  EXPECT_THAT(stream.published(), SizeIs(1));
}

TEST(FakeStream, AcceptsAPartOfABatch) {
  FakeStream stream;
  const auto publisher = stream.OpenPublisher();
  stream.TakeOnly(2, Error(Errc::kOverloaded, "queue is full"));
  const PublishResult result = PublishAndWait(*publisher, MakeBatch("a", 3));
  ASSERT_THAT(result.failures, SizeIs(1));
  EXPECT_EQ(result.failures[0].index, 2U);
  EXPECT_EQ(Identities(*stream.published().at(0)), Identities(MakeBatch("a", 2)));
}

TEST(FakeStream, FailsTheHeldBatches) {
  FakeStream stream;
  const auto publisher = stream.OpenPublisher();
  size_t failures = 0;
  stream.HoldAcknowledgements();
  publisher->Publish(std::make_shared<const model::SeriesBatch>(MakeBatch("a", 2)),
                     [&](const PublishResult& result) { failures = result.failures.size(); });
  stream.FailHeld(Error(Errc::kUnavailable, "stopping"));
  EXPECT_EQ(failures, 2U);
  EXPECT_THAT(stream.published(), IsEmpty());
}

}  // namespace
}  // namespace mi::stream
