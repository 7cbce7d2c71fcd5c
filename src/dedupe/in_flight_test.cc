#include "dedupe/in_flight.h"

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

// What a request was told, and how often.
struct Told {
  std::vector<Status> answers;
  std::shared_ptr<Waiter> waiter =
      std::make_shared<Waiter>([this](Status status) { answers.push_back(std::move(status)); });

  bool nothing() const { return answers.empty(); }
  bool success() const { return answers.size() == 1 && answers.front().has_value(); }
  bool error(std::string_view message) const {
    return answers.size() == 1 && !answers.front() && answers.front().error().message() == message;
  }
};

const Status kDurable;
Status Failed(std::string_view why) { return Fail(Errc::kUnavailable, std::string(why)); }

class InFlightTest : public ::testing::Test {
 protected:
  std::unique_ptr<InFlight> in_flight_ = InFlight::Create();
};

TEST_F(InFlightTest, OneRequestClaimsAllAndIsToldWhenTheLastIsSettled) {
  const auto series = SeriesRange(0, 3);
  Told told;
  EXPECT_THAT(in_flight_->Claim(series, told.waiter), ElementsAre(0, 1, 2));
  in_flight_->Settle(std::vector{series[2], series[0]}, kDurable);
  EXPECT_TRUE(told.nothing());
  in_flight_->Settle(std::vector{series[1]}, kDurable);
  EXPECT_TRUE(told.success());
  EXPECT_EQ(in_flight_->size(), 0);
}

TEST_F(InFlightTest, TwoRequestsRacingOnOneNewSeriesShareOnePublishAndBothWait) {
  Told first, second;
  EXPECT_THAT(in_flight_->Claim(std::vector{Series(1)}, first.waiter), ElementsAre(0));
  EXPECT_THAT(in_flight_->Claim(std::vector{Series(2), Series(1)}, second.waiter), ElementsAre(0));
  in_flight_->Settle(std::vector{Series(2)}, kDurable);
  EXPECT_TRUE(first.nothing() && second.nothing());
  in_flight_->Settle(std::vector{Series(1)}, kDurable);
  EXPECT_TRUE(first.success() && second.success());
}

TEST_F(InFlightTest, NothingToWaitForIsToldAtOnce) {
  Told told;
  EXPECT_THAT(in_flight_->Claim({}, told.waiter), IsEmpty());
  EXPECT_TRUE(told.success());
}

TEST_F(InFlightTest, ASeriesThatStandsTwiceIsClaimedOnce) {
  Told told;
  EXPECT_THAT(in_flight_->Claim(std::vector{Series(1), Series(2), Series(1)}, told.waiter), ElementsAre(0, 1));
  in_flight_->Settle(std::vector{Series(1), Series(2)}, kDurable);
  EXPECT_TRUE(told.success());
}

TEST_F(InFlightTest, TheFirstErrorReachesAllWhoWaitOnceEverythingIsSettled) {
  Told owner, other, bystander;
  in_flight_->Claim(SeriesRange(0, 3), owner.waiter);
  in_flight_->Claim(SeriesRange(0, 1), other.waiter);
  in_flight_->Claim(SeriesRange(2, 4), bystander.waiter);
  in_flight_->Settle(SeriesRange(0, 1), Failed("disk full"));
  EXPECT_TRUE(owner.nothing());
  EXPECT_TRUE(other.error("disk full"));
  in_flight_->Settle(SeriesRange(1, 2), Failed("later"));
  in_flight_->Settle(SeriesRange(2, 4), kDurable);
  EXPECT_TRUE(owner.error("disk full"));
  EXPECT_TRUE(bystander.success());
}

TEST_F(InFlightTest, WhatFailedCanBeClaimedAgain) {
  Told first, second;
  in_flight_->Claim(SeriesRange(0, 1), first.waiter);
  in_flight_->Settle(SeriesRange(0, 1), Failed("full"));
  EXPECT_THAT(in_flight_->Claim(SeriesRange(0, 1), second.waiter), ElementsAre(0));
}

TEST_F(InFlightTest, SettlingWhatNobodyClaimedDoesNothing) {
  in_flight_->Settle(SeriesRange(0, 10), kDurable);
  EXPECT_EQ(in_flight_->size(), 0);
}

TEST_F(InFlightTest, AWaiterMayClaimAgainFromItsCallback) {
  Told again;
  auto waiter = std::make_shared<Waiter>([&](const Status&) { in_flight_->Claim(SeriesRange(0, 1), again.waiter); });
  in_flight_->Claim(SeriesRange(0, 1), waiter);
  in_flight_->Settle(SeriesRange(0, 1), kDurable);
  EXPECT_EQ(in_flight_->size(), 1);
  in_flight_->Settle(SeriesRange(0, 1), kDurable);
  EXPECT_TRUE(again.success());
}

TEST_F(InFlightTest, ASeriesIsMarkedSeenOnlyWhenItsFlushSucceeded) {
  ManualClock clock;
  const auto seen = std::make_unique<SeenSet>(SeenOptions{}, clock);
  Told failed, durable;
  in_flight_->Claim(SeriesRange(0, 1), failed.waiter);
  SettlePublished(SeriesRange(0, 1), Failed("flush failed"), *seen, *in_flight_);
  EXPECT_TRUE(failed.error("flush failed"));
  EXPECT_EQ(Look(*seen, Series(0)), Seen::kUnknown);

  EXPECT_THAT(in_flight_->Claim(SeriesRange(0, 1), durable.waiter), ElementsAre(0));
  SettlePublished(SeriesRange(0, 1), kDurable, *seen, *in_flight_);
  EXPECT_TRUE(durable.success());
  EXPECT_EQ(Look(*seen, Series(0)), Seen::kKnown);
}

TEST_F(InFlightTest, ASeriesIsSeenBeforeItsWaitersAreTold) {
  ManualClock clock;
  const auto seen = std::make_unique<SeenSet>(SeenOptions{}, clock);
  bool seen_when_told = false;
  auto waiter = std::make_shared<Waiter>([&](const Status&) { seen_when_told = seen->Contains(Series(0)); });
  in_flight_->Claim(SeriesRange(0, 1), waiter);
  SettlePublished(SeriesRange(0, 1), kDurable, *seen, *in_flight_);
  EXPECT_TRUE(seen_when_told);
}

// Requests over the same new series on several threads, as a fleet starts: look up, claim, publish, settle.
TEST_F(InFlightTest, ManyRequestsAtOncePublishEachSeriesOnce) {
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
    for (const size_t index : in_flight_->Claim(unknown, std::make_shared<Waiter>([&](const Status& status) {
                                                  EXPECT_TRUE(status);
                                                  ++answered;
                                                }))) {
      mine.push_back(unknown[index]);
      mine_numbers.push_back(numbers[index]);
    }
    // Who looked up before another settled may claim again what is durable by now: looking once more is the cure.
    const auto again = Look(*seen, mine);
    for (size_t index = 0; index < mine.size(); ++index) {
      if (again[index] == Seen::kUnknown) ++published[mine_numbers[index]];
    }
    SettlePublished(mine, kDurable, *seen, *in_flight_);
  };
  std::vector<std::jthread> threads;
  for (size_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (size_t at = 0; at + kBatch <= kSeries; at += kBatch / 2) request((at + thread * 10) % (kSeries - kBatch));
    });
  }
  threads.clear();
  EXPECT_EQ(in_flight_->size(), 0);
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
