#include "dedupe/seen_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <unordered_map>

#include "dedupe/testing/series.h"

namespace mi::dedupe {
namespace {

using model::Fingerprint;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::AliasOf;
using testing::AliasRange;
using testing::CountKnownAliases;
using ::testing::Each;
using testing::kMany;
using testing::Look;
using testing::Series;
using testing::SeriesRange;

class SeenSetTest : public ::testing::Test {
 protected:
  std::unique_ptr<SeenSet> Make(SeenOptions options = {}) { return std::make_unique<SeenSet>(options, clock_); }

  ManualClock clock_;
};

TEST_F(SeenSetTest, KnowsWhatWasInsertedAndNothingElse) {
  const auto seen = Make();
  const auto in = SeriesRange(0, 5000);
  EXPECT_EQ(seen->Insert(in), 5000);
  EXPECT_THAT(Look(*seen, in), Each(Seen::kKnown));
  EXPECT_THAT(Look(*seen, SeriesRange(5000, 10'000)), Each(Seen::kUnknown));
  EXPECT_EQ(seen->stats().entries, 5000);
}

TEST_F(SeenSetTest, InsertingTwiceIsTheSameAsOnce) {
  const auto seen = Make();
  const auto in = SeriesRange(0, 100);
  EXPECT_EQ(seen->Insert(in), 100);
  EXPECT_EQ(seen->Insert(in), 100);
  EXPECT_EQ(seen->stats().entries, 100);
}

TEST_F(SeenSetTest, ForgetsTheGivenSeriesAndKeepsAllOthers) {
  const auto seen = Make();
  const auto in = SeriesRange(0, 50'000);
  seen->Insert(in);
  std::vector<Fingerprint> forgotten;
  std::vector<Fingerprint> kept;
  for (size_t i = 0; i < in.size(); ++i) (i % 3 == 0 ? forgotten : kept).push_back(in[i]);
  seen->Forget(forgotten);
  seen->Forget(SeriesRange(50'000, 50'100));  // unknown ones
  EXPECT_EQ(seen->stats().entries, kept.size());
  EXPECT_THAT(Look(*seen, forgotten), Each(Seen::kUnknown));
  EXPECT_THAT(Look(*seen, kept), Each(Seen::kKnown));
  EXPECT_EQ(seen->Insert(forgotten), forgotten.size());
  EXPECT_THAT(Look(*seen, in), Each(Seen::kKnown));
}

TEST_F(SeenSetTest, ForgetsAtAnyMomentOfAGrowth) {
  const auto seen = Make();
  for (uint64_t i = 0; i < 20'000; ++i) {
    seen->Insert(std::vector{Series(i)});
    if (i % 2 == 0) continue;
    seen->Forget(std::vector{Series(i - 1)});
    ASSERT_EQ(Look(*seen, Series(i - 1)), Seen::kUnknown) << i;
    ASSERT_EQ(Look(*seen, Series(i)), Seen::kKnown) << i;
  }
  EXPECT_EQ(seen->stats().entries, 10'000);
}

TEST_F(SeenSetTest, ForgetsEveryAliasWithASeries) {
  const auto seen = Make();
  seen->Insert(SeriesRange(0, 10));
  seen->RememberAliases(AliasRange(0, 10));
  EXPECT_EQ(CountKnownAliases(*seen, 0, 10), 10U);
  seen->Forget(std::vector{Series(1)});
  EXPECT_EQ(CountKnownAliases(*seen, 0, 10), 0U);
  seen->RememberAliases(AliasRange(0, 10));
  EXPECT_EQ(CountKnownAliases(*seen, 0, 10), 9U) << "a forgotten series has no alias";
}

TEST_F(SeenSetTest, AcceptsAFingerprintOfZeros) {
  const auto seen = Make();
  EXPECT_EQ(Look(*seen, Fingerprint{}), Seen::kUnknown);
  seen->Insert(std::vector{Fingerprint{}});
  EXPECT_EQ(Look(*seen, Fingerprint{}), Seen::kKnown);
}

TEST_F(SeenSetTest, SeriesWithTheSameLowerHalfAreDifferent) {
  const auto seen = Make();
  seen->Insert(std::vector{Fingerprint{.hi = 1ULL << 60, .lo = 7}});
  EXPECT_EQ(Look(*seen, Fingerprint{.hi = 2ULL << 60, .lo = 7}), Seen::kUnknown);
}

TEST_F(SeenSetTest, ReportsTheFirstActivityOfEachWindowOnce) {
  const auto seen = Make();
  const auto in = SeriesRange(0, 1000);
  seen->Insert(in);
  for (int window = 0; window < 600; ++window) {  // the one-byte clock wraps around twice
    clock_.Advance(seconds(3600));
    ASSERT_THAT(Look(*seen, in), Each(Seen::kKnownNewWindow)) << window;
    ASSERT_THAT(Look(*seen, in), Each(Seen::kKnown)) << window;
  }
}

TEST_F(SeenSetTest, WindowsOfDifferentSeriesBeginAtDifferentTimes) {
  const auto seen = Make();
  const auto in = SeriesRange(0, 6000);
  seen->Insert(in);
  for (int minute = 0; minute < 60; ++minute) {
    clock_.Advance(minutes(1));
    const auto answers = Look(*seen, in);
    EXPECT_NEAR(std::ranges::count(answers, Seen::kKnownNewWindow), 100, 60) << minute;
  }
}

TEST_F(SeenSetTest, StaleMarkersAreNotAnActivity) {
  const auto seen = Make();
  seen->Insert(std::vector{Series(1)});
  clock_.Advance(hours(2));
  EXPECT_EQ(Look(*seen, Series(1), Touch::kStale), Seen::kKnown);
  EXPECT_EQ(Look(*seen, Series(1), Touch::kActive), Seen::kKnownNewWindow);
  EXPECT_EQ(Look(*seen, Series(2), Touch::kStale), Seen::kUnknown);
}

TEST_F(SeenSetTest, ContainsMovesNoClock) {
  const auto seen = Make();
  seen->Insert(std::vector{Series(1)});
  clock_.Advance(hours(1));
  EXPECT_TRUE(seen->Contains(Series(1)));
  EXPECT_FALSE(seen->Contains(Series(2)));
  EXPECT_EQ(Look(*seen, Series(1)), Seen::kKnownNewWindow);
}

TEST_F(SeenSetTest, AClockThatIsSetBackMakesNoEntryOldAndReportsNoWindowTwice) {
  const auto seen = Make();
  const auto in = SeriesRange(0, 1000);
  seen->Insert(in);
  clock_.Advance(hours(5));
  EXPECT_THAT(Look(*seen, in), Each(Seen::kKnownNewWindow));
  clock_.Advance(hours(-3));
  EXPECT_THAT(Look(*seen, in), Each(Seen::kKnown));
  seen->Sweep();
  EXPECT_EQ(seen->stats().entries, 1000);
  clock_.Advance(hours(3));
  EXPECT_THAT(Look(*seen, in), Each(Seen::kKnown));
}

TEST_F(SeenSetTest, IdleEntriesLeaveAtMostTwoWindowsAfterTheirExpiry) {
  const auto seen = Make({.activity_interval_s = 3600, .idle_expire_s = 86'400});
  const auto in = SeriesRange(0, 1000);
  seen->Insert(in);
  clock_.Advance(hours(24) - seconds(1));
  seen->Sweep();
  EXPECT_EQ(seen->stats().entries, 1000);
  clock_.Advance(hours(2) + seconds(1));
  seen->Sweep();
  EXPECT_EQ(seen->stats().entries, 0);
  EXPECT_THAT(Look(*seen, in), Each(Seen::kUnknown));
}

TEST_F(SeenSetTest, ActivityKeepsAnEntryAndStaleMarkersDoNot) {
  const auto seen = Make();
  seen->Insert(std::vector{Series(1), Series(2)});
  for (int hour = 0; hour < 30; ++hour) {
    clock_.Advance(hours(1));
    Look(*seen, Series(1), Touch::kActive);
    Look(*seen, Series(2), Touch::kStale);
    seen->Sweep();
  }
  EXPECT_TRUE(seen->Contains(Series(1)));
  EXPECT_FALSE(seen->Contains(Series(2)));
}

TEST_F(SeenSetTest, AnExpiryBeyondTheClocksRangeIsLimited) {
  const auto seen = Make({.activity_interval_s = 60, .idle_expire_s = 86'400});
  seen->Insert(std::vector{Series(1)});
  clock_.Advance(minutes(198));
  seen->Sweep();
  EXPECT_TRUE(seen->Contains(Series(1)));
  clock_.Advance(minutes(2));
  seen->Sweep();
  EXPECT_FALSE(seen->Contains(Series(1)));
}

TEST_F(SeenSetTest, AnExpiryOfZeroMeansNever) {
  const auto seen = Make({.idle_expire_s = 0});
  seen->Insert(std::vector{Series(1)});
  for (int hour = 0; hour < 300; ++hour) {
    clock_.Advance(hours(1));
    seen->Sweep();
  }
  EXPECT_EQ(Look(*seen, Series(1)), Seen::kKnownNewWindow);
}

TEST_F(SeenSetTest, AnEntryFromTheStoreHasTheAgeOfItsLastSeen) {
  const auto seen = Make();
  const int64_t now_ms = clock_.NowMs();
  const auto insert = [&](uint64_t number, int64_t hours_ago) {
    seen->Insert(Series(number), now_ms - hours_ago * 3'600'000);
  };
  insert(1, 0), insert(2, 20), insert(3, 30), insert(4, 30'000), insert(5, -1000);
  seen->Insert(Series(6), INT64_MIN);
  EXPECT_EQ(Look(*seen, Series(1)), Seen::kKnown);
  seen->Sweep();
  const auto contains = [&](uint64_t number) { return seen->Contains(Series(number)); };
  EXPECT_TRUE(contains(1) && contains(2) && contains(5));
  EXPECT_FALSE(contains(3) || contains(4) || contains(6));
  EXPECT_EQ(Look(*seen, Series(2)), Seen::kKnownNewWindow);
}

TEST_F(SeenSetTest, AnOldSightingDoesNotAgeAnEntry) {
  const auto seen = Make();
  seen->Insert(std::vector{Series(1)});
  seen->Insert(Series(1), clock_.NowMs() - 100 * 3'600'000LL);
  EXPECT_EQ(Look(*seen, Series(1)), Seen::kKnown);
}

TEST_F(SeenSetTest, NeverAsksForAConfirmationWithoutASharedTier) {
  const auto seen = Make({.idle_expire_s = 0, .confirm_after_s = 0});
  seen->Insert(std::vector{Series(1)});
  clock_.Advance(hours(1000));
  Look(*seen, Series(1));
  EXPECT_EQ(Look(*seen, Series(1)), Seen::kKnown);
}

TEST_F(SeenSetTest, AsksForConfirmationsSpreadOverTheLastQuarter) {
  const auto seen = Make({.activity_interval_s = 1 << 20, .confirm_after_s = 1800});
  const auto in = SeriesRange(0, 4000);
  seen->Insert(in);
  const auto asked = [&](seconds by) {
    clock_.Advance(by);
    const auto answers = Look(*seen, in, Touch::kStale);
    return std::ranges::count(answers, Seen::kKnownConfirm);
  };
  EXPECT_EQ(asked(seconds(1349)), 0);
  EXPECT_NEAR(asked(seconds(225)), 2000, 600);
  EXPECT_NEAR(asked(seconds(270)), 2000, 600);
  EXPECT_EQ(asked(seconds(0)), 0);
}

TEST_F(SeenSetTest, AsksForAConfirmationOnceAndAgainIfItGotLost) {
  const auto seen = Make({.activity_interval_s = 1 << 20, .confirm_after_s = 1800});
  seen->Insert(std::vector{Series(1)});
  clock_.Advance(seconds(1850));
  EXPECT_EQ(Look(*seen, Series(1), Touch::kStale), Seen::kKnownConfirm);
  clock_.Advance(seconds(1300));
  EXPECT_EQ(Look(*seen, Series(1), Touch::kStale), Seen::kKnown);
  clock_.Advance(seconds(550));
  EXPECT_EQ(Look(*seen, Series(1), Touch::kStale), Seen::kKnownConfirm);
}

TEST_F(SeenSetTest, AConfirmedEntryIsYoungAgain) {
  const auto seen = Make({.activity_interval_s = 1 << 20, .confirm_after_s = 1800});
  seen->Insert(std::vector{Series(1)});
  clock_.Advance(seconds(1300));
  seen->Confirm(std::vector{Series(1), Series(2)});
  clock_.Advance(seconds(1300));
  EXPECT_EQ(Look(*seen, Series(1), Touch::kStale), Seen::kKnown);
  EXPECT_FALSE(seen->Contains(Series(2)));
}

TEST_F(SeenSetTest, AsksForAConfirmationHoweverOldTheEntryIs) {
  for (const int hours_unseen : {1, 2, 3, 5}) {
    const auto seen = Make({.activity_interval_s = 1 << 20, .confirm_after_s = 1800});
    seen->Insert(std::vector{Series(1)});
    for (int minute = 0; minute < hours_unseen * 60; ++minute) {
      clock_.Advance(minutes(1));
      seen->Sweep();
    }
    EXPECT_EQ(Look(*seen, Series(1), Touch::kStale), Seen::kKnownConfirm) << hours_unseen;
  }
}

TEST_F(SeenSetTest, ANewConfirmAgeRestartsTheClocks) {
  const auto seen = Make({.activity_interval_s = 1 << 20, .confirm_after_s = 0});
  seen->Insert(std::vector{Series(1)});
  clock_.Advance(hours(10));
  seen->Reconfigure({.confirm_after_s = 600});
  EXPECT_EQ(Look(*seen, Series(1), Touch::kStale), Seen::kKnown);
  clock_.Advance(seconds(620));
  EXPECT_EQ(Look(*seen, Series(1), Touch::kStale), Seen::kKnownConfirm);
}

TEST_F(SeenSetTest, RefusesAndCountsInsertsAboveMaxSeries) {
  const auto seen = Make({.max_series = 100});
  EXPECT_EQ(seen->Insert(SeriesRange(0, 150)), 100);
  EXPECT_EQ(seen->Insert(SeriesRange(0, 100)), 100);
  EXPECT_EQ(seen->stats().entries, 100);
  EXPECT_EQ(seen->stats().refused_inserts, 50);
  seen->Reconfigure({.max_series = 120});
  EXPECT_EQ(seen->Insert(SeriesRange(100, 150)), 20);
}

TEST_F(SeenSetTest, ReusesTheRoomOfIdleEntries) {
  const auto seen = Make({.max_series = 1000});
  seen->Insert(SeriesRange(0, 1000));
  clock_.Advance(hours(30));
  EXPECT_EQ(seen->Insert(SeriesRange(1000, 2000)), 0);
  seen->Sweep();
  EXPECT_EQ(seen->Insert(SeriesRange(1000, 2000)), 1000);
}

TEST_F(SeenSetTest, AnAliasIsNoFingerprint) {
  const auto seen = Make();
  seen->Insert(SeriesRange(0, 10));
  seen->RememberAliases(AliasRange(0, 10));
  EXPECT_EQ(Look(*seen, AliasOf(1)), Seen::kUnknown);
  std::vector<uint32_t> unknown = {7};
  seen->FindUnknown(std::vector{AliasOf(1), Series(1), AliasOf(2), AliasOf(10)}, unknown);
  EXPECT_THAT(unknown, ::testing::ElementsAre(7, 1, 3)) << "appended";
  EXPECT_EQ(seen->stats().entries, 10U);
  EXPECT_EQ(seen->stats().alias_entries, 10U);
}

// So no activity is missed: at any time, an alias answers only if its series would answer kKnown.
TEST_F(SeenSetTest, AliasesEndBeforeTheWindowOfTheirSeries) {
  const auto seen = Make();
  constexpr size_t kCount = 1000;
  seen->Insert(SeriesRange(0, kCount));
  size_t answered = 0;
  size_t looked_up = 0;
  for (int minute = 0; minute < 180; ++minute) {
    seen->Sweep();
    for (uint64_t number = 0; number < kCount; ++number) {
      const bool known = CountKnownAliases(*seen, number, number + 1) == 1;
      const Seen answer = Look(*seen, Series(number));
      if (known) EXPECT_EQ(answer, Seen::kKnown) << number << " after " << minute << " minutes";
      (known ? answered : looked_up) += 1;
      seen->RememberAliases(AliasRange(number, number + 1));
    }
    clock_.Advance(minutes(1));
  }
  // Once when its window ends, and at most once more in the hundredth of a window before.
  EXPECT_GE(looked_up, 3 * kCount);
  EXPECT_LE(looked_up, 180 * kCount / 15);
  EXPECT_EQ(seen->stats().alias_entries, kCount);
}

TEST_F(SeenSetTest, AliasesEndBeforeTheConfirmationOfTheirSeriesIsDue) {
  const auto seen = Make({.confirm_after_s = 1800});
  constexpr size_t kCount = 500;
  seen->Insert(SeriesRange(0, kCount));
  size_t confirmed = 0;
  size_t answered = 0;
  for (int minute = 0; minute < 120; ++minute) {
    seen->Sweep();
    for (uint64_t number = 0; number < kCount; ++number) {
      const bool known = CountKnownAliases(*seen, number, number + 1) == 1;
      const Seen answer = Look(*seen, Series(number));
      if (known) EXPECT_EQ(answer, Seen::kKnown) << number << " after " << minute << " minutes";
      answered += known ? 1 : 0;
      confirmed += answer == Seen::kKnownConfirm ? 1 : 0;
      seen->RememberAliases(AliasRange(number, number + 1));
    }
    clock_.Advance(minutes(1));
  }
  EXPECT_GE(confirmed, 3 * kCount);
  EXPECT_GE(answered, 100 * kCount);
}

TEST_F(SeenSetTest, AliasesEndWhenConfirmationsBegin) {
  const auto seen = Make();
  seen->Insert(SeriesRange(0, 10));
  seen->RememberAliases(AliasRange(0, 10));
  seen->Reconfigure({.confirm_after_s = 60});
  EXPECT_EQ(CountKnownAliases(*seen, 0, 10), 0U);
}

// Their clock would turn, and they would look new.
TEST_F(SeenSetTest, AliasesThatNobodySweepsAreNotBelieved) {
  const auto seen = Make();
  seen->Insert(SeriesRange(0, 100));
  seen->RememberAliases(AliasRange(0, 100));
  for (int minute = 0; minute < 10 * 60; ++minute) {
    clock_.Advance(minutes(1));
    if (minute > 60) EXPECT_EQ(CountKnownAliases(*seen, 0, 100), 0U) << minute;
  }
  seen->Sweep();
  EXPECT_EQ(seen->stats().alias_entries, 0U);
  seen->RememberAliases(AliasRange(0, 100));
  EXPECT_GT(CountKnownAliases(*seen, 0, 100), 90U);
}

TEST_F(SeenSetTest, AliasesAreNotBelievedWhileTheClockIsSetBack) {
  const auto seen = Make();
  clock_.Advance(hours(1000));
  seen->Sweep();
  seen->Insert(SeriesRange(0, 100));
  seen->RememberAliases(AliasRange(0, 100));
  clock_.Advance(-hours(500));
  EXPECT_EQ(CountKnownAliases(*seen, 0, 100), 0U);
  seen->Sweep();
  EXPECT_EQ(seen->stats().alias_entries, 0U);
}

TEST_F(SeenSetTest, AliasesAreAtMostTwiceAsManyAsTheTableHasSlots) {
  const auto seen = Make();
  seen->Insert(SeriesRange(0, 10'000));
  const uint64_t slots = 64 * 384;
  std::vector<SeenSet::Alias> aliases;
  for (uint64_t i = 0; i < 100'000; ++i) aliases.push_back({AliasOf(i), Series(i % 10'000)});
  seen->RememberAliases(aliases);
  EXPECT_GT(seen->stats().alias_entries, 2 * slots - slots / 10);
  EXPECT_LE(seen->stats().alias_entries, 2 * slots);
}

TEST_F(SeenSetTest, GrowsAndShrinksWithinItsBytesPerEntry) {
  const auto seen = Make();
  for (uint64_t number = 0; number < kMany; number += 10'000) seen->Insert(SeriesRange(number, number + 10'000));
  EXPECT_THAT(Look(*seen, SeriesRange(0, kMany)), Each(Seen::kKnown));
  seen->Sweep();
  EXPECT_LE(seen->stats().bytes, 20 * kMany + (2 << 20));
  clock_.Advance(hours(23));
  Look(*seen, SeriesRange(0, 10'000));
  clock_.Advance(hours(3));
  seen->Sweep();
  EXPECT_EQ(seen->stats().entries, 10'000);
  EXPECT_LE(seen->stats().bytes, 3 << 20);
  EXPECT_THAT(Look(*seen, SeriesRange(10'000, 100'000)), Each(Seen::kUnknown));
}

TEST_F(SeenSetTest, RefusesKeysThatWereMadeToCollideInsteadOfGrowing) {
  const auto seen = Make();
  std::vector<Fingerprint> meeting;
  for (uint64_t number = 1; number <= 10'000; ++number) meeting.push_back({.hi = 0, .lo = number});
  EXPECT_LT(seen->Insert(meeting), 1000);
  EXPECT_LE(seen->stats().bytes, 3 << 20);
  EXPECT_GT(seen->stats().refused_inserts, 9000);
  EXPECT_GT(seen->Insert(SeriesRange(0, 10'000)), 9'950);  // all except those of the full page
}

TEST_F(SeenSetTest, FillingAShardInKeyOrderLosesNothingEvenIfAPageIsFullEarly) {
  const auto seen = Make();
  SeenEntries entries{.at_s = clock_.NowSeconds()};
  const auto put_evenly = [&](uint64_t count, uint64_t from, uint64_t to) {
    for (uint64_t at = 0; at < count; ++at) entries.keys.push_back(from + (to - from) / count * at + 1);
  };
  constexpr uint64_t kFirstPage = UINT64_MAX / 80;  // of the 80 pages that this shard has then
  put_evenly(450, 0, kFirstPage);
  put_evenly(20'000, kFirstPage, UINT64_MAX);
  entries.active.assign(entries.keys.size(), 1);
  seen->FillShard(0, entries);
  EXPECT_EQ(seen->stats().entries, 20'450);
  EXPECT_EQ(seen->stats().refused_inserts, 0);
}

// The reference is a plain map, without clocks of a byte, lines and generations.
TEST_F(SeenSetTest, AgreesWithAPlainMap) {
  std::mt19937_64 random(7);
  const SeenOptions options{.activity_interval_s = 600, .idle_expire_s = 7200};
  const auto seen = Make(options);
  std::unordered_map<Fingerprint, int64_t> model;  // the window of the last activity
  const auto window = [&](Fingerprint f) {
    const uint64_t phase = (uint64_t{static_cast<uint32_t>(f.lo)} * 600) >> 32;
    return (clock_.NowSeconds() + static_cast<int64_t>(phase)) / 600;
  };
  const auto any = [&] { return Series(random() % 60'000); };
  for (int step = 0; step < 3000; ++step) {
    clock_.Advance(seconds(random() % 60));
    std::vector<Fingerprint> batch(random() % 300);
    std::ranges::generate(batch, any);
    if (random() % 3 == 0) {
      ASSERT_EQ(seen->Insert(batch), batch.size());
      for (const Fingerprint f : batch) model[f] = window(f);
    } else {
      const Touch touch = random() % 4 == 0 ? Touch::kStale : Touch::kActive;
      const auto answers = Look(*seen, batch, touch);
      for (size_t index = 0; index < batch.size(); ++index) {
        const auto known = model.find(batch[index]);
        Seen expected = known == model.end() ? Seen::kUnknown : Seen::kKnown;
        if (expected == Seen::kKnown && touch == Touch::kActive && known->second < window(batch[index])) {
          known->second = window(batch[index]);
          expected = Seen::kKnownNewWindow;
        }
        ASSERT_EQ(answers[index], expected) << step;
      }
    }
    if (random() % 20 == 0) {
      seen->Sweep();
      std::erase_if(model, [&](const auto& entry) { return window(entry.first) - entry.second >= 7200 / 600 + 1; });
    }
    ASSERT_EQ(seen->stats().entries, model.size()) << step;
  }
}

}  // namespace
}  // namespace mi::dedupe
