// What the tests over a real Kafka begin with.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "stream/kafka_testing.h"
#include "support/real_service.h"

namespace mi::stream {

// A real Kafka, with a topic of the test's own.
class KafkaServiceTest : public testing::Test {
 protected:
  explicit KafkaServiceTest(std::string_view what) : topic_(KafkaName(what)) {}
  void SetUp() override {
    kafka_ = RealService::Get("kafka");
    if (kafka_ == nullptr) GTEST_SKIP() << RealService::kMissing;
    bystander_.emplace(kafka_->address());
    Configure({kafka_->address()});
  }
  virtual void Configure(const std::vector<std::string>& hosts) = 0;

  RealService* kafka_ = nullptr;
  const std::string topic_;
  KafkaTestDeps deps_;
  std::optional<KafkaBystander> bystander_;
};

}  // namespace mi::stream
