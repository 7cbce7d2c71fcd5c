#include "receive/publish_once.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/format.h"
#include "codec/testing/request_encoder.h"
#include "dedupe/testing/fake_shared_tier.h"
#include "net/testing/fake_request.h"
#include "receive/testing/up_series.h"
#include "receive/write_handler.h"
#include "stream/testing/fake_stream.h"

namespace mi::receive {
namespace {

using codec::WireSeries;
using model::Fingerprint;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint64_t kConfirmAfterS = 1000;

// A producer with its local table and the shared tier.
class PublishOnceTest : public testing::Test {
 protected:
  explicit PublishOnceTest(uint64_t activity_interval_s = 1U << 30) : activity_interval_s_(activity_interval_s) {}

  net::FakeAnswer Send(const std::vector<WireSeries>& series) {
    codec::RequestEncoder encoder(codec::Schema::kV1);
    for (const WireSeries& one : series) encoder.Add(one);
    return SendBody(codec::Compress(codec::Compression::kSnappy, encoder.Finish()));
  }
  net::FakeAnswer SendBody(std::string body) {
    net::FakeRequest request("POST", "/api/v1/write", std::move(body));
    return net::Ask(handler_, request);
  }
  int StatusOf(const std::vector<WireSeries>& series) { return Send(series).Take().status; }

  Fingerprint PrintOf(const std::string& instance) {
    const model::Tenant tenant;
    const std::vector<model::Label> labels = {{"__name__", "up"}, {"instance", instance}};
    return model::Fingerprinter("", tenant)(model::Labels::FromUnsorted(labels)->view().canonical());
  }
  std::vector<std::string> published() const {
    std::vector<std::string> instances;
    for (const auto& batch : stream_.published()) {
      for (size_t i = 0; i < batch->size(); ++i) instances.emplace_back((*batch)[i].labels.Get("instance"));
    }
    return instances;
  }

  const uint64_t activity_interval_s_;
  ManualClock clock_;
  std::unique_ptr<telemetry::Metrics> registry_ = telemetry::Metrics::Create();
  ReceiveMetrics metrics_{*registry_};
  // The activity window never ends, so no sample is the first of its window.
  std::unique_ptr<dedupe::SeenSet> seen_ = std::make_unique<dedupe::SeenSet>(
      dedupe::SeenOptions{.activity_interval_s = activity_interval_s_, .confirm_after_s = kConfirmAfterS}, clock_);
  std::unique_ptr<dedupe::SeenSet> seen_metadata_ = std::make_unique<dedupe::SeenSet>(dedupe::SeenOptions{}, clock_);
  dedupe::Claims claims_;
  stream::FakeStream stream_;
  std::unique_ptr<stream::SeriesPublisher> publisher_ = stream_.OpenPublisher();
  stream::FakeActivity activity_;
  dedupe::FakeSharedTier tier_;
  Live<ReceiveOptions> options_{ReceiveOptions{}};
  PublishOnce publish_once_{{*seen_, *seen_metadata_, claims_, *publisher_, metrics_, clock_, &tier_}};
  MemoryBudget memory_{uint64_t{1} << 30};
  LongWork long_work_{{.threads = 1}};
  WriteHandler handler_{
      {{*seen_, *seen_metadata_, activity_, clock_, metrics_}, publish_once_, options_, long_work_, memory_, nullptr}};
};

TEST_F(PublishOnceTest, PublishesUnknownSeriesAndTellsTheTierWhenTheyAreDurable) {
  stream_.HoldAcknowledgements();
  auto answer = Send({Up("a")});
  EXPECT_FALSE(tier_.Knows(PrintOf("a")));
  stream_.Acknowledge();
  EXPECT_EQ(answer.Take().status, 204);
  EXPECT_TRUE(tier_.Knows(PrintOf("a")));
  EXPECT_THAT(published(), ElementsAre("a"));
}

TEST_F(PublishOnceTest, DoesNotPublishSeriesThatTheTierKnows) {
  tier_.Know({PrintOf("b")});
  EXPECT_EQ(StatusOf({Up("a"), Up("b"), Up("c")}), 204);
  EXPECT_THAT(published(), ElementsAre("a", "c"));
  EXPECT_EQ(metrics_.known.Value(), 1);
  EXPECT_EQ(metrics_.fresh.Value(), 2);
  EXPECT_EQ(claims_.size(), 0U);
}

TEST_F(PublishOnceTest, RemembersWhatTheTierAnswered) {
  tier_.Know({PrintOf("a")});
  EXPECT_EQ(StatusOf({Up("a")}), 204);
  EXPECT_EQ(StatusOf({Up("a")}), 204);
  EXPECT_THAT(tier_.asked(), ElementsAre(PrintOf("a")));
  EXPECT_THAT(published(), IsEmpty());
}

TEST_F(PublishOnceTest, RemembersTheAliasesOfSeriesThatTheTierKnows) {
  const WireSeries unsorted{.labels = {{"instance", "a"}, {"__name__", "up"}}, .samples = {{1, 1}}};
  tier_.Know({PrintOf("a"), PrintOf("b")});
  for (int i = 0; i < 2; ++i) EXPECT_EQ(StatusOf({unsorted, Up("b")}), 204);
  EXPECT_EQ(seen_->stats().alias_entries, 2U);
  EXPECT_THAT(published(), IsEmpty());
}

TEST_F(PublishOnceTest, PublishesEverythingWhileTheTierIsAway) {
  tier_.Know({PrintOf("a")});
  tier_.SetAway(true);
  EXPECT_EQ(StatusOf({Up("a"), Up("b")}), 204);
  EXPECT_THAT(published(), ElementsAre("a", "b"));
}

TEST_F(PublishOnceTest, AsksTheTierOnceForASeriesOfTwoRequests) {
  tier_.HoldAnswers();
  auto first = Send({Up("a")});
  auto second = Send({Up("a"), Up("b")});
  EXPECT_THAT(tier_.asked(), ElementsAre(PrintOf("a"), PrintOf("b")));
  EXPECT_FALSE(first.arrived() || second.arrived());
  tier_.Release();
  EXPECT_EQ(first.Take().status, 204);
  EXPECT_EQ(second.Take().status, 204);
  EXPECT_THAT(published(), ElementsAre("a", "b"));
}

TEST_F(PublishOnceTest, TellsTheTierOnlyDurableSeries) {
  stream_.TakeOnly(1, Error(Errc::kOverloaded, "full"));
  EXPECT_EQ(StatusOf({Up("a"), Up("b")}), 503);
  EXPECT_TRUE(tier_.Knows(PrintOf("a")));
  EXPECT_FALSE(tier_.Knows(PrintOf("b")));
}

TEST_F(PublishOnceTest, PublishesMetadataEvenIfTheTierKnowsAllSeries) {
  tier_.Know({PrintOf("a")});
  codec::RequestEncoder encoder(codec::Schema::kV1);
  encoder.Add(Up("a"));
  encoder.AddMetadata({.family = "up", .type = "gauge", .help = "Whether it is up.", .unit = ""});
  EXPECT_EQ(SendBody(codec::Compress(codec::Compression::kSnappy, encoder.Finish())).Take().status, 204);
  ASSERT_EQ(stream_.published().size(), 1U);
  EXPECT_EQ(stream_.published()[0]->size(), 0U);
  EXPECT_EQ(stream_.published()[0]->metadata().size(), 1U);
}

TEST_F(PublishOnceTest, ConfirmsOldEntriesInTheBackground) {
  EXPECT_EQ(StatusOf({Up("a")}), 204);
  clock_.Advance(std::chrono::seconds(2 * kConfirmAfterS));
  tier_.HoldAnswers();
  EXPECT_EQ(StatusOf({Up("a")}), 204) << "does not wait for the tier";
  EXPECT_THAT(tier_.asked(), ElementsAre(PrintOf("a"), PrintOf("a")));
  tier_.Release();
  EXPECT_EQ(StatusOf({Up("a")}), 204);
  EXPECT_EQ(tier_.asked().size(), 2U) << "was confirmed";
  EXPECT_THAT(published(), ElementsAre("a"));
}

TEST_F(PublishOnceTest, PublishesAgainWhatTheTierHasForgotten) {
  EXPECT_EQ(StatusOf({Up("a"), Up("b")}), 204);
  tier_.Forget(PrintOf("a"));
  clock_.Advance(std::chrono::seconds(2 * kConfirmAfterS));
  EXPECT_EQ(StatusOf({Up("a"), Up("b")}), 204);
  EXPECT_THAT(published(), ElementsAre("a", "b", "a"));
  EXPECT_TRUE(tier_.Knows(PrintOf("a")));
  EXPECT_EQ(metrics_.republished.Value(), 1);
  EXPECT_EQ(metrics_.fresh.Value(), 2);
  EXPECT_EQ(claims_.size(), 0U);
}

// Here a window ends before an entry is old, as in a fleet.
class PublishOnceWindowTest : public PublishOnceTest {
 protected:
  PublishOnceWindowTest() : PublishOnceTest(kConfirmAfterS / 2) {}
};

TEST_F(PublishOnceWindowTest, ConfirmsUnsortedSeriesToo) {
  const WireSeries unsorted{.labels = {{"instance", "a"}, {"__name__", "up"}}, .samples = {{1, 1}}};
  const auto send = [&] { EXPECT_EQ(StatusOf({Up("sorted"), unsorted}), 204); };
  send();
  tier_.Forget(PrintOf("a"));
  clock_.Advance(std::chrono::seconds(2 * kConfirmAfterS));
  for (int i = 0; i < 3; ++i) send();  // the first one speaks of its new window
  EXPECT_THAT(published(), ElementsAre("sorted", "a", "a"));
}

TEST_F(PublishOnceTest, KeepsOldEntriesWhileTheTierIsAway) {
  EXPECT_EQ(StatusOf({Up("a")}), 204);
  tier_.SetAway(true);
  clock_.Advance(std::chrono::seconds(2 * kConfirmAfterS));
  EXPECT_EQ(StatusOf({Up("a")}), 204);
  EXPECT_THAT(published(), ElementsAre("a"));
  tier_.SetAway(false);
  tier_.Forget(PrintOf("a"));
  clock_.Advance(std::chrono::seconds(2 * kConfirmAfterS));
  EXPECT_EQ(StatusOf({Up("a")}), 204);
  EXPECT_THAT(published(), ElementsAre("a", "a")) << "was old again";
}

}  // namespace
}  // namespace mi::receive
