#include "catalog/series_log.h"

#include <random>

namespace mi::catalog {
namespace {

std::vector<PairId> PairsOf(const SeriesLog& log, Ordinal ordinal) {
  std::vector<PairId> pairs;
  log.Read(ordinal, [&](PairId pair) { pairs.push_back(pair); });
  return pairs;
}

TEST(SeriesLog, ReturnsIdsAndPairsAcrossGapsBlocksAndChunks) {
  SeriesLog log;
  std::vector<uint64_t> ids;
  std::vector<std::vector<PairId>> pairs;
  uint64_t id = 0;
  for (uint32_t i = 0; i < 5000; ++i) {
    id += i % 7 == 0 ? uint64_t{1} << (i % 50) : 1;
    std::vector<PairId> one = {i % 3};
    // Some records are larger than a chunk of the arena.
    for (uint32_t k = 0; k < (i % 1000 == 17 ? 60'000 : i % 20); ++k) one.push_back(one.back() + 1 + k % 300);
    if (i % 11 == 0) one.push_back(UINT32_MAX - 1);
    log.Append(id, one, {});
    ids.push_back(id);
    pairs.push_back(std::move(one));
  }
  for (uint32_t i = 0; i < ids.size(); ++i) {
    ASSERT_EQ(log.Read(i, [](PairId) {}), ids[i]);
    ASSERT_EQ(PairsOf(log, i), pairs[i]);
    ASSERT_EQ(log.Find(ids[i]), i);
    const bool next_is_known = i + 1 < ids.size() && ids[i + 1] == ids[i] + 1;
    if (!next_is_known) {
      ASSERT_EQ(log.Find(ids[i] + 1), std::nullopt);
    }
  }
}

TEST(SeriesLog, DoesNotFindUnknownIds) {
  SeriesLog log;
  EXPECT_EQ(log.Find(1), std::nullopt);
  const PairId pair = 0;
  for (uint64_t id = 10; id < 60; ++id) log.Append(id, {&pair, 1}, {});
  EXPECT_EQ(log.Find(0), std::nullopt);
  EXPECT_EQ(log.Find(9), std::nullopt);
  EXPECT_EQ(log.Find(10), 0);
  EXPECT_EQ(log.Find(59), 49);
  EXPECT_EQ(log.Find(60), std::nullopt);
}

TEST(SeriesLog, FindsLateIds) {
  SeriesLog log;
  std::vector<uint64_t> ids;
  // Of every 40 ids, some come 30 ids late, in descending order, across the ends of blocks.
  for (uint64_t base = 1; base < 4000; base += 40) {
    for (uint64_t i = 0; i < 40; ++i) {
      if (i % 3 != 1) ids.push_back(base + i);
    }
    for (uint64_t i = 40; i-- > 0;) {
      if (i % 3 == 1 && i % 5 != 0) ids.push_back(base + i);
    }
  }
  for (uint32_t i = 0; i < ids.size(); ++i) {
    const PairId pair = i;
    log.Append(ids[i], {&pair, 1}, {});
  }
  std::vector<bool> known(4001, false);
  for (uint32_t i = 0; i < ids.size(); ++i) {
    known[ids[i]] = true;
    ASSERT_EQ(log.Read(i, [](PairId) {}), ids[i]);
    ASSERT_EQ(log.Find(ids[i]), i);
    ASSERT_THAT(PairsOf(log, i), testing::ElementsAre(i));
  }
  for (uint64_t id = 0; id < known.size(); ++id) ASSERT_EQ(log.Find(id).has_value(), known[id]) << id;
}

TEST(SeriesLog, ALateBlockTakesLittleMemory) {
  constexpr uint64_t kBlock = 10'000;
  SeriesLog late;
  SeriesLog in_order;
  const PairId pair = 0;
  for (uint64_t block = 20; block-- > 0;) {
    for (uint64_t id = block * kBlock + 1; id <= (block + 1) * kBlock; ++id) late.Append(id, {&pair, 1}, {});
  }
  for (uint64_t id = 1; id <= 20 * kBlock; ++id) in_order.Append(id, {&pair, 1}, {});
  // A record stores the step from the highest id, about three bytes.
  EXPECT_LT(late.bytes(), in_order.bytes() + 20 * kBlock * 5);
  for (uint64_t id = 1; id <= 20 * kBlock; ++id) {
    ASSERT_EQ(late.Find(id), (19 - (id - 1) / kBlock) * kBlock + (id - 1) % kBlock);
  }
  EXPECT_EQ(late.Find(20 * kBlock + 1), std::nullopt);
}

// Compares with a plain walk while series arrive and their times move in both directions, alone and in runs.
TEST(SeriesLog, SelectsBySeenTimesLikeAPlainWalk) {
  std::mt19937 random(1);
  SeriesLog log;
  std::vector<SeenTimes> times;
  const PairId pair = 0;
  const auto draw = [&]() -> SeenTimes {
    const auto first = static_cast<uint32_t>(random() % 100);
    return {.first = first, .last = first + static_cast<uint32_t>(random() % 100)};
  };
  SeenTimes common = draw();
  for (int round = 0; round < 400; ++round) {
    if (random() % 4 == 0) common = draw();
    for (size_t left = random() % 120; left > 0; --left) {
      times.push_back(random() % 16 == 0 ? draw() : common);
      log.Append(times.size(), {&pair, 1}, times.back());
    }
    for (size_t left = random() % 40; left > 0 && !times.empty(); --left) {
      const auto at = static_cast<Ordinal>(random() % times.size());
      const auto end = std::min<size_t>(times.size(), random() % 4 == 0 ? at + 100 : at + 1);
      const SeenTimes moved = draw();
      for (Ordinal i = at; i < end; ++i) log.SetTimes(i, times[i] = moved);
    }
    const SeenCondition condition = {.latest_first = static_cast<uint32_t>(random() % 120),
                                     .earliest_last = static_cast<uint32_t>(random() % 220)};
    for (uint32_t word = 0; word * SeriesLog::kWordSeries < times.size(); ++word) {
      const uint64_t seen = log.SeenWord(word, condition);
      for (uint32_t i = 0; i < SeriesLog::kWordSeries; ++i) {
        const size_t at = word * SeriesLog::kWordSeries + i;
        if (at < times.size()) ASSERT_EQ(seen >> i & 1, condition(times[at]) ? 1 : 0) << at;
      }
    }
    if (times.empty()) continue;
    for (uint32_t window = 0; window * kWindow < times.size(); ++window) {
      const auto begin = times.begin() + window * kWindow;
      const auto end = times.begin() + static_cast<ptrdiff_t>(std::min<size_t>(times.size(), (window + 1) * kWindow));
      const Coverage coverage = log.SeenWindow(window, condition);
      if (coverage == Coverage::kAll) ASSERT_TRUE(std::all_of(begin, end, condition));
      if (coverage == Coverage::kNone) ASSERT_TRUE(std::none_of(begin, end, condition));
    }
    const auto first = static_cast<Ordinal>(random() % times.size());
    const auto end = static_cast<Ordinal>(first + random() % (times.size() - first) + 1);
    const auto wanted = std::ranges::any_of(times.begin() + first, times.begin() + end, condition);
    ASSERT_EQ(log.AnySeen(first, end - first, condition), wanted) << first << ' ' << end;
  }
}

TEST(SeriesLog, BoundsFollowTheTimesInBothDirections) {
  constexpr uint32_t kSeries = kWindow + 100;
  SeriesLog log;
  const PairId pair = 0;
  for (uint32_t i = 0; i < kSeries; ++i) log.Append(i + 1, {&pair, 1}, {.first = 100, .last = 100});
  const auto expect = [&](SeenCondition condition, Coverage coverage) {
    EXPECT_EQ(log.SeenWindow(0, condition), coverage);
    EXPECT_EQ(log.SeenWindow(1, condition), coverage);
  };
  const auto move_all = [&](SeenTimes times) {
    for (uint32_t i = 0; i < kSeries; ++i) log.SetTimes((i * 7919) % kSeries, times);
  };
  expect({.latest_first = 100, .earliest_last = 100}, Coverage::kAll);
  expect({.latest_first = 100, .earliest_last = 101}, Coverage::kNone);
  expect({.latest_first = 99, .earliest_last = 100}, Coverage::kNone);
  log.SetTimes(5, {.first = 50, .last = 200});
  log.SetTimes(kWindow, {.first = 50, .last = 200});
  expect({.latest_first = 60, .earliest_last = 0}, Coverage::kSome);
  expect({.latest_first = 100, .earliest_last = 150}, Coverage::kSome);
  move_all({.first = 50, .last = 200});
  expect({.latest_first = 60, .earliest_last = 150}, Coverage::kAll);
  move_all({.first = 40, .last = 120});
  expect({.latest_first = 60, .earliest_last = 150}, Coverage::kNone);
  move_all({.first = 70, .last = 160});
  expect({.latest_first = 60, .earliest_last = 150}, Coverage::kNone);
  expect({.latest_first = 70, .earliest_last = 150}, Coverage::kAll);
}

TEST(SeenTimes, AreRoundedOutwards) {
  auto f = [](int64_t first_ms, int64_t last_ms, uint32_t first, uint32_t last) {
    const SeenTimes times = SeenTimes::FromMs(first_ms, last_ms);
    EXPECT_EQ(times.first, first) << first_ms;
    EXPECT_EQ(times.last, last) << last_ms;
  };
  f(0, 0, 0, 0);
  f(1, 1, 0, 1);
  f(999, 1000, 0, 1);
  f(1000, 1001, 1, 2);
  f(-1, -1, 0, 0);
  f(INT64_MIN, INT64_MIN, 0, 0);
  f(INT64_MAX, INT64_MAX, UINT32_MAX, UINT32_MAX);
}

}  // namespace
}  // namespace mi::catalog
