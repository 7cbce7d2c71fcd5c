// The contract of publishers and consumers, over a real Kafka.
#include "stream/testing/kafka_service_test.h"

namespace mi::stream {
namespace {

class KafkaUnderTest final : public StreamUnderTest {
 public:
  explicit KafkaUnderTest(const std::string& address) : address_(address), bystander_(address) { Restart(); }

  SeriesPublisher& publisher() override { return *publisher_; }
  SeriesConsumer& consumer() override { return *consumer_; }
  void Restart() override {
    consumer_.reset();
    publisher_.reset();
    const KafkaOptions kafka{.hosts = {address_}, .librdkafka = {}, .identity_secret = {}};
    KafkaPublisherOptions publishing{.kafka = kafka, .topic = topic_};
    publishing.new_topic_partitions = 1;  // the contract requires one order
    publisher_ = KafkaPublisher::Create(publishing, deps_).value();
    EXPECT_TRUE(Eventually([&] { return publisher_->Health().has_value(); })) << publisher_->Health().error().message();
    consumer_ = KafkaConsumer::Create({.kafka = kafka, .topics = {topic_}, .group_id = topic_}, deps_).value();
  }
  void StopPublishing() override { publisher_->Stop(); }
  void AppendPoison(const std::string& bytes) override { bystander_.Write(topic_, {"key", bytes}); }
  std::vector<std::pair<std::string, std::string>> DeadLetters() override {
    std::vector<std::pair<std::string, std::string>> letters;
    for (const auto& letter : bystander_.Read(DeadLetterTopic(topic_))) {
      letters.emplace_back(letter.value.value(), letter.headers.at("reason"));
    }
    return letters;
  }
  std::optional<int64_t> End() override { return bystander_.End(topic_); }
  void BeginReading() override {
    while (consumer_->assigned() == 0) EXPECT_TRUE(consumer_->Poll(1, std::chrono::milliseconds(100)));
  }
  bool SeesTimesOfUnread() override { return false; }

 private:
  const std::string address_;
  const std::string topic_ = KafkaName("contract");
  KafkaTestDeps deps_;
  KafkaBystander bystander_;
  std::unique_ptr<KafkaPublisher> publisher_;
  std::unique_ptr<KafkaConsumer> consumer_;
};

std::unique_ptr<StreamUnderTest> MakeKafka() {
  const RealService* kafka = RealService::Get("kafka");
  if (kafka != nullptr) return std::make_unique<KafkaUnderTest>(kafka->address());
  std::cout << RealService::kMissing << '\n';
  return nullptr;
}

INSTANTIATE_TEST_SUITE_P(Kafka, StreamContract, testing::Values(ContractCase{"Kafka", MakeKafka}), CaseName);

}  // namespace
}  // namespace mi::stream
