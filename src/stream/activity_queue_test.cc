#include "stream/activity_queue.h"

namespace mi::stream {
namespace {

model::ActivityBatch Batch(int64_t seen_at_ms, size_t count) {
  return {seen_at_ms, std::vector<model::Fingerprint>(count)};
}

class ActivityQueueTest : public testing::Test {
 protected:
  double dropped() { return metrics_->GetCounter("activity_dropped_total", "").Value(); }
  const std::unique_ptr<telemetry::Metrics> metrics_ = telemetry::Metrics::Create();
};

TEST_F(ActivityQueueTest, ReturnsWholeBatchesOldestFirst) {
  ActivityQueue queue(100, *metrics_);
  for (int64_t at : {1, 2, 3}) queue.PublishActivity(Batch(at, 10));
  const std::vector<model::ActivityBatch> taken = queue.Take(11);
  ASSERT_THAT(taken, testing::SizeIs(2));
  EXPECT_EQ(taken[0].seen_at_ms, 1);
  EXPECT_EQ(taken[1].seen_at_ms, 2);
  EXPECT_EQ(queue.size(), 10U);
  EXPECT_THAT(queue.Take(1), testing::SizeIs(1));
  EXPECT_THAT(queue.Take(1), testing::IsEmpty());
}

TEST_F(ActivityQueueTest, DropsAndCountsWhatDoesNotFit) {
  ActivityQueue queue(15, *metrics_);
  queue.PublishActivity(Batch(1, 10));
  queue.PublishActivity(Batch(2, 6));
  EXPECT_EQ(queue.size(), 10U);
  EXPECT_EQ(dropped(), 6);
  queue.PublishActivity(Batch(3, 5));
  EXPECT_EQ(queue.size(), 15U);
  queue.Take(1);
  queue.PublishActivity(Batch(4, 10));
  EXPECT_EQ(queue.size(), 15U);
  EXPECT_EQ(dropped(), 6);
}

TEST_F(ActivityQueueTest, KeepsNoEmptyBatches) {
  ActivityQueue queue(1, *metrics_);
  queue.PublishActivity(Batch(1, 0));
  EXPECT_THAT(queue.Take(1), testing::IsEmpty());
}

}  // namespace
}  // namespace mi::stream
