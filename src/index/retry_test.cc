#include "index/retry.h"

#include <memory>

namespace mi::index {
namespace {

using std::chrono::milliseconds;

class RetryTest : public ::testing::Test {
 protected:
  double StoreUp() { return metrics_->GetGauge("store_up", "").Value(); }

  const Error away_{Errc::kUnavailable, "away"};

  std::unique_ptr<telemetry::Logger> log_ = telemetry::Logger::Null();
  std::unique_ptr<telemetry::Metrics> metrics_ = telemetry::Metrics::Create();
  IndexMetrics index_metrics_{*metrics_, StoreFigures::kByWorker};
  StopSignal stop_;
  Retry store_{Backoff(milliseconds(1), milliseconds(100)), stop_, *log_, [](const Error&) {}, &index_metrics_};
  Retry stream_{Backoff(milliseconds(1), milliseconds(100)), stop_, *log_, [](const Error&) {}, nullptr};
};

TEST_F(RetryTest, ReportsTheFailureUntilTheNextSuccess) {
  store_.Failed("apply", away_);
  EXPECT_TRUE(store_.failing());
  EXPECT_EQ(store_.Health().error().message(), "apply: away");
  EXPECT_EQ(StoreUp(), 0);
  store_.Succeeded();
  EXPECT_FALSE(store_.failing());
  EXPECT_TRUE(store_.Health());
  EXPECT_EQ(StoreUp(), 1);
}

TEST_F(RetryTest, LeavesTheStoresMetricsAloneWhenTheStreamFails) {
  stream_.Failed("poll", away_);
  EXPECT_FALSE(stream_.Health());
  EXPECT_EQ(StoreUp(), 1);
}

TEST_F(RetryTest, DoublesThePauseUntilASuccess) {
  using testing::AllOf;
  using testing::Ge;
  using testing::Le;
  for (const int step_ms : {1, 2, 4, 8, 16, 32, 64, 100, 100}) {
    EXPECT_THAT(store_.Failed("apply", away_).count(), AllOf(Ge(step_ms / 2), Le(step_ms)));
  }
  store_.Succeeded();
  EXPECT_EQ(store_.Failed("apply", away_), milliseconds(1));
}

}  // namespace
}  // namespace mi::index
