#include "dedupe/claims.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "dedupe/testing/series.h"

namespace mi::dedupe {
namespace {

using model::Fingerprint;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::Look;
using testing::Series;
using testing::SeriesRange;

// The outcomes that a waiter reported.
struct Told {
  std::vector<Status> answers;
  std::shared_ptr<Waiter> waiter =
      std::make_shared<Waiter>([this](Waiter::Outcome outcome) { answers.push_back(std::move(outcome.status)); });

  bool nothing() const { return answers.empty(); }
  bool success() const { return answers.size() == 1 && answers.front().has_value(); }
  bool error(std::string_view message) const {
    return answers.size() == 1 && !answers.front() && answers.front().error().message() == message;
  }
};

const Status kDurable;
Status Failed(std::string_view why) { return Fail(Errc::kUnavailable, std::string(why)); }

class ClaimsTest : public ::testing::Test {
 protected:
  Claims claims_;
};

TEST_F(ClaimsTest, CallBackWhenTheLastSeriesIsSettled) {
  const auto series = SeriesRange(0, 3);
  Told told;
  EXPECT_THAT(claims_.Claim(series, told.waiter), ElementsAre(0, 1, 2));
  claims_.Settle(std::vector{series[2], series[0]}, kDurable);
  EXPECT_TRUE(told.nothing());
  claims_.Settle(std::vector{series[1]}, kDurable);
  EXPECT_TRUE(told.success());
  EXPECT_EQ(claims_.size(), 0);
}

TEST_F(ClaimsTest, ASeriesOfTwoRequestsIsClaimedOnceAndBothWait) {
  Told first, second;
  EXPECT_THAT(claims_.Claim(std::vector{Series(1)}, first.waiter), ElementsAre(0));
  EXPECT_THAT(claims_.Claim(std::vector{Series(2), Series(1)}, second.waiter), ElementsAre(0));
  claims_.Settle(std::vector{Series(2)}, kDurable);
  EXPECT_TRUE(first.nothing() && second.nothing());
  claims_.Settle(std::vector{Series(1)}, kDurable);
  EXPECT_TRUE(first.success() && second.success());
}

TEST_F(ClaimsTest, WithoutSeriesTheCallbackRunsAtOnce) {
  Told told;
  EXPECT_THAT(claims_.Claim({}, told.waiter), IsEmpty());
  EXPECT_TRUE(told.success());
}

TEST_F(ClaimsTest, ASeriesThatOccursTwiceIsClaimedOnce) {
  Told told;
  EXPECT_THAT(claims_.Claim(std::vector{Series(1), Series(2), Series(1)}, told.waiter), ElementsAre(0, 1));
  claims_.Settle(std::vector{Series(1), Series(2)}, kDurable);
  EXPECT_TRUE(told.success());
}

TEST_F(ClaimsTest, TheFirstErrorIsReportedToAllWhoWait) {
  Told owner, other, bystander;
  claims_.Claim(SeriesRange(0, 3), owner.waiter);
  claims_.Claim(SeriesRange(0, 1), other.waiter);
  claims_.Claim(SeriesRange(2, 4), bystander.waiter);
  claims_.Settle(SeriesRange(0, 1), Failed("disk full"));
  EXPECT_TRUE(owner.nothing());
  EXPECT_TRUE(other.error("disk full"));
  claims_.Settle(SeriesRange(1, 2), Failed("later"));
  claims_.Settle(SeriesRange(2, 4), kDurable);
  EXPECT_TRUE(owner.error("disk full"));
  EXPECT_TRUE(bystander.success());
}

TEST_F(ClaimsTest, AFailedSeriesCanBeClaimedAgain) {
  Told first, second;
  claims_.Claim(SeriesRange(0, 1), first.waiter);
  claims_.Settle(SeriesRange(0, 1), Failed("full"));
  EXPECT_THAT(claims_.Claim(SeriesRange(0, 1), second.waiter), ElementsAre(0));
}

TEST_F(ClaimsTest, SettlingAnUnclaimedSeriesDoesNothing) {
  claims_.Settle(SeriesRange(0, 10), kDurable);
  EXPECT_EQ(claims_.size(), 0);
}

TEST_F(ClaimsTest, AnErrorWorthRepeatingWinsAndRefusedSeriesAreNamed) {
  const Status too_large = Fail(Errc::kTooLarge, "too large");
  Waiter::Outcome outcome;
  const auto waiter = std::make_shared<Waiter>([&](Waiter::Outcome told) { outcome = std::move(told); });
  waiter->Expect(1);  // metadata, say
  claims_.Claim(SeriesRange(0, 2), waiter);
  claims_.Settle(std::vector{Series(1)}, too_large);
  claims_.Settle(std::vector{Series(0)}, Failed("away"));
  EXPECT_TRUE(outcome.status && outcome.refused.empty()) << "not called yet";
  waiter->Settle(too_large);
  EXPECT_EQ(outcome.status, Failed("away"));
  ASSERT_EQ(outcome.refused.size(), 2U);
  EXPECT_EQ(outcome.refused[0].series, Series(1));
  EXPECT_EQ(outcome.refused[1].series, std::nullopt);
}

TEST_F(ClaimsTest, AWaiterThatGivesUpIsCalledOnceAndItsClaimsGoOn) {
  Told first, second;
  claims_.Claim(SeriesRange(0, 1), first.waiter);
  claims_.Claim(SeriesRange(0, 1), second.waiter);
  first.waiter->GiveUp(Error(Errc::kUnavailable, "too late"));
  EXPECT_TRUE(first.error("too late"));
  EXPECT_EQ(claims_.size(), 1U);
  claims_.Settle(SeriesRange(0, 1), kDurable);
  second.waiter->GiveUp(Error(Errc::kUnavailable, "too late"));
  EXPECT_TRUE(first.error("too late"));
  EXPECT_TRUE(second.success());
}

TEST_F(ClaimsTest, ACallbackMayClaimAgain) {
  Told again;
  auto waiter =
      std::make_shared<Waiter>([&](const Waiter::Outcome&) { claims_.Claim(SeriesRange(0, 1), again.waiter); });
  claims_.Claim(SeriesRange(0, 1), waiter);
  claims_.Settle(SeriesRange(0, 1), kDurable);
  EXPECT_EQ(claims_.size(), 1);
  claims_.Settle(SeriesRange(0, 1), kDurable);
  EXPECT_TRUE(again.success());
}

TEST_F(ClaimsTest, ASeriesIsMarkedSeenOnlyIfItIsDurable) {
  ManualClock clock;
  const auto seen = std::make_unique<SeenSet>(SeenOptions{}, clock);
  Told failed, durable;
  claims_.Claim(SeriesRange(0, 1), failed.waiter);
  SettlePublished(SeriesRange(0, 1), Failed("flush failed"), *seen, claims_);
  EXPECT_TRUE(failed.error("flush failed"));
  EXPECT_EQ(Look(*seen, Series(0)), Seen::kUnknown);

  EXPECT_THAT(claims_.Claim(SeriesRange(0, 1), durable.waiter), ElementsAre(0));
  SettlePublished(SeriesRange(0, 1), kDurable, *seen, claims_);
  EXPECT_TRUE(durable.success());
  EXPECT_EQ(Look(*seen, Series(0)), Seen::kKnown);
}

TEST_F(ClaimsTest, ASeriesIsSeenBeforeItsWaitersAreCalled) {
  ManualClock clock;
  const auto seen = std::make_unique<SeenSet>(SeenOptions{}, clock);
  bool seen_when_told = false;
  auto waiter = std::make_shared<Waiter>([&](const Waiter::Outcome&) { seen_when_told = seen->Contains(Series(0)); });
  claims_.Claim(SeriesRange(0, 1), waiter);
  SettlePublished(SeriesRange(0, 1), kDurable, *seen, claims_);
  EXPECT_TRUE(seen_when_told);
}

// Several threads send the same new series, as when a fleet starts: look up, claim, publish, settle.
TEST_F(ClaimsTest, ConcurrentRequestsPublishEachSeriesOnce) {
  ManualClock clock;
  const auto seen = std::make_unique<SeenSet>(SeenOptions{}, clock);
  constexpr size_t kSeries = 20'000;
  constexpr size_t kBatch = 100;
  std::vector<std::atomic<int>> published(kSeries);
  std::atomic<size_t> answered = 0;
  const auto request = [&](size_t begin) {
    const auto series = SeriesRange(begin, begin + kBatch);
    std::vector<Fingerprint> unknown;
    std::vector<size_t> numbers;
    const auto answers = Look(*seen, series);
    for (size_t index = 0; index < kBatch; ++index) {
      if (answers[index] != Seen::kUnknown) continue;
      unknown.push_back(series[index]);
      numbers.push_back(begin + index);
    }
    std::vector<Fingerprint> mine;
    std::vector<size_t> mine_numbers;
    for (const size_t index : claims_.Claim(unknown, std::make_shared<Waiter>([&](const Waiter::Outcome& outcome) {
                                              EXPECT_TRUE(outcome.status);
                                              ++answered;
                                            }))) {
      mine.push_back(unknown[index]);
      mine_numbers.push_back(numbers[index]);
    }
    // Between the lookup and the claim, another thread may have settled: so what was claimed is looked up again.
    const auto again = Look(*seen, mine);
    for (size_t index = 0; index < mine.size(); ++index) {
      if (again[index] == Seen::kUnknown) ++published[mine_numbers[index]];
    }
    SettlePublished(mine, kDurable, *seen, claims_);
  };
  std::vector<std::jthread> threads;
  for (size_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (size_t at = 0; at + kBatch <= kSeries; at += kBatch / 2) request((at + thread * 10) % (kSeries - kBatch));
    });
  }
  threads.clear();
  EXPECT_EQ(claims_.size(), 0);
  EXPECT_EQ(answered, 4 * (kSeries / (kBatch / 2) - 1));
  uint64_t publishes = 0;
  for (const auto& times : published) {
    ASSERT_LE(times, 1);
    publishes += static_cast<uint64_t>(times);
  }
  EXPECT_EQ(publishes, seen->stats().entries);
}

}  // namespace
}  // namespace mi::dedupe
