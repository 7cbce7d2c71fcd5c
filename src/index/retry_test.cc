#include "index/retry.h"

#include <memory>

namespace mi::index {
namespace {

using std::chrono::milliseconds;

class RetryTest : public ::testing::Test {
 protected:
  double StoreUp() { return metrics_->GetGauge("store_up", "").Value(); }

  static constexpr Retry::Operation kApply{"apply", Retry::On::kStore};
  static constexpr Retry::Operation kPoll{"poll", Retry::On::kStream};
  const Error away_{Errc::kUnavailable, "away"};

  std::unique_ptr<telemetry::Logger> log_ = telemetry::Logger::Null();
  std::unique_ptr<telemetry::Metrics> metrics_ = telemetry::Metrics::Create();
  IndexMetrics index_metrics_{*metrics_, StoreFigures::kByWorker};
  StopSignal stop_;
  Retry retry_{milliseconds(1), milliseconds(100), stop_, index_metrics_, *log_};
};

TEST_F(RetryTest, KeepsFailuresOfTheStoreAndTheStreamApart) {
  retry_.Failed(kApply, away_);
  retry_.Failed(kPoll, away_);
  retry_.Succeeded(Retry::On::kStream);
  EXPECT_TRUE(retry_.is_store_away());
  EXPECT_FALSE(retry_.Health());
  EXPECT_EQ(StoreUp(), 0);
  retry_.Succeeded(Retry::On::kStore);
  EXPECT_FALSE(retry_.is_store_away());
  EXPECT_TRUE(retry_.Health());
  EXPECT_EQ(StoreUp(), 1);
}

TEST_F(RetryTest, DoublesThePauseUntilASuccess) {
  using testing::AllOf;
  using testing::Ge;
  using testing::Le;
  for (const int step_ms : {1, 2, 4, 8, 16, 32, 64, 100, 100}) {
    EXPECT_THAT(retry_.Failed(kApply, away_).count(), AllOf(Ge(step_ms / 2), Le(step_ms)));
  }
  EXPECT_EQ(retry_.Failed(kPoll, away_), milliseconds(1));
  retry_.Succeeded(Retry::On::kStore);
  EXPECT_EQ(retry_.Failed(kApply, away_), milliseconds(1));
}

}  // namespace
}  // namespace mi::index
