// What holds while several threads look up, insert, sweep and copy. Also runs under ThreadSanitizer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "dedupe/seen_set.h"
#include "dedupe/testing/series.h"

namespace mi::dedupe {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using testing::AliasRange;
using testing::CountKnownAliases;
using ::testing::Each;
using testing::Look;
using ::testing::Ne;
using testing::SeriesRange;

constexpr uint64_t kSeries = testing::kMany / 1000 * 500;  // several generations in each shard
constexpr uint64_t kBatch = 500;

class SeenSetRace : public ::testing::Test {
 protected:
  void InsertAll(uint64_t first, uint64_t last) {
    for (uint64_t at = first; at < last; at += kBatch) {
      seen_->Insert(SeriesRange(at, at + kBatch));
      inserted_.store(at + kBatch, std::memory_order_release);
    }
    done_ = true;
  }

  ManualClock clock_;
  std::unique_ptr<SeenSet> seen_ = std::make_unique<SeenSet>(SeenOptions{}, clock_);
  std::atomic<uint64_t> inserted_ = 0;
  std::atomic<bool> done_ = false;
};

TEST_F(SeenSetRace, AnInsertedSeriesIsKnownWhileTheTableGrows) {
  std::vector<std::jthread> readers;
  for (uint64_t reader = 0; reader < 2; ++reader) {
    readers.emplace_back([&, reader] {
      for (uint64_t round = reader; !done_; ++round) {
        const uint64_t known = inserted_.load(std::memory_order_acquire);
        if (known == 0) continue;
        const uint64_t at = round * 7919 % known / kBatch * kBatch;
        ASSERT_THAT(Look(*seen_, SeriesRange(at, at + kBatch)), Each(Seen::kKnown)) << at;
      }
    });
  }
  InsertAll(0, kSeries);
  readers.clear();
  EXPECT_EQ(seen_->stats().entries, kSeries);
  EXPECT_THAT(Look(*seen_, SeriesRange(0, kSeries)), Each(Seen::kKnown));
}

TEST_F(SeenSetRace, WritersOfTheSameSeriesInsertThemOnce) {
  std::vector<std::jthread> writers;
  for (int writer = 0; writer < 3; ++writer) writers.emplace_back([&] { InsertAll(0, kSeries / 4); });
  writers.clear();
  EXPECT_EQ(seen_->stats().entries, kSeries / 4);
}

TEST_F(SeenSetRace, MaxSeriesHoldsWithManyWriters) {
  seen_->Reconfigure({.max_series = 10'000});
  std::vector<std::jthread> writers;
  for (uint64_t writer = 0; writer < 3; ++writer) {
    writers.emplace_back([&, writer] { InsertAll(writer * 10'000, (writer + 1) * 10'000); });
  }
  writers.clear();
  EXPECT_EQ(seen_->stats().entries, 10'000);
  EXPECT_EQ(seen_->stats().refused_inserts, 20'000);
}

// Exactly one reader must be told about a window, also while the entry is being copied to the next generation.
TEST_F(SeenSetRace, EachWindowIsReportedOnceWhileReadersRaceAndTheTableGrows) {
  constexpr uint64_t kWatched = 20'000;
  constexpr int kWindows = 5;
  const auto watched = SeriesRange(0, kWatched);
  seen_->Insert(watched);
  for (int window = 1; window <= kWindows; ++window) {
    clock_.Advance(hours(1));
    std::vector<std::atomic<int>> told(kWatched);
    std::vector<std::jthread> threads;
    for (int reader = 0; reader < 2; ++reader) {
      threads.emplace_back([&] {
        for (int round = 0; round < 3; ++round) {
          const auto answers = Look(*seen_, watched);
          for (size_t index = 0; index < kWatched; ++index) told[index] += answers[index] == Seen::kKnownNewWindow;
        }
      });
    }
    threads.emplace_back([&] { InsertAll(kSeries * window, kSeries * window + kSeries / 4); });
    threads.clear();
    for (size_t index = 0; index < kWatched; ++index) ASSERT_EQ(told[index], 1) << index << " in window " << window;
  }
}

TEST_F(SeenSetRace, SweepsCopiesAndNewOptionsDoNotDisturbLookups) {
  seen_->Insert(SeriesRange(0, kBatch));
  std::jthread reader([&] {
    while (!done_) {
      ASSERT_THAT(Look(*seen_, SeriesRange(0, kBatch)), Each(Ne(Seen::kUnknown)));
      clock_.Advance(seconds(1));
    }
  });
  std::jthread sweeper([&] {
    while (!done_) {
      seen_->Sweep();
      seen_->Reconfigure({.confirm_after_s = seen_->stats().entries % 2 == 0 ? 1800U : 600U});
    }
  });
  std::jthread copier([&] {
    while (!done_) {
      uint64_t copied = 0;
      for (size_t shard = 0; shard < SeenSet::kShards; ++shard) copied += seen_->CopyShard(shard).keys.size();
      ASSERT_GE(copied, kBatch);
    }
  });
  InsertAll(kBatch, kSeries / 4);
}

TEST_F(SeenSetRace, AliasesAreRememberedAndSweptWhileTheyAreLookedUp) {
  seen_->Insert(SeriesRange(0, kSeries / 4));
  std::jthread reader([&] {
    while (!done_) {
      ASSERT_LE(CountKnownAliases(*seen_, 0, kBatch), kBatch);
      clock_.Advance(seconds(10));
    }
  });
  std::jthread sweeper([&] {
    while (!done_) seen_->Sweep();
  });
  for (uint64_t at = 0; at < kSeries / 4; at += kBatch) {
    seen_->RememberAliases(AliasRange(at, at + kBatch));
    seen_->RememberAliases(AliasRange(0, kBatch));
  }
  done_ = true;
  EXPECT_LE(seen_->stats().alias_entries, kSeries / 4);
}

// Whatever the order, a series that was forgotten has no alias in the end.
TEST_F(SeenSetRace, AliasesDoNotOutliveForgottenSeries) {
  for (int round = 0; round < 200; ++round) {
    seen_->Insert(SeriesRange(0, 50));
    std::jthread forgetter([&] { seen_->Forget(SeriesRange(0, 50)); });
    seen_->RememberAliases(AliasRange(0, 50));
    forgetter.join();
    ASSERT_EQ(CountKnownAliases(*seen_, 0, 50), 0U);
  }
  done_ = true;
}

}  // namespace
}  // namespace mi::dedupe
