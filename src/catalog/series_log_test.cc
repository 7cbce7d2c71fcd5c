#include "catalog/series_log.h"

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
