#include "catalog/series_set.h"

#include "catalog/testing/naive_catalog.h"

namespace mi::catalog {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

SeriesSet Of(std::initializer_list<Ordinal> ordinals) {
  SeriesSet set;
  for (const Ordinal at : ordinals) set.Add(at);
  return set;
}

TEST(SeriesSet, CombinesLikeASet) {
  const SeriesSet a = Of({1, 2, 70'000, UINT32_MAX - 1});
  const SeriesSet b = Of({2, 3, 70'000});
  EXPECT_THAT(Ordinals(SeriesSet(a) &= b), ElementsAre(2, 70'000));
  EXPECT_THAT(Ordinals(SeriesSet(a) |= b), ElementsAre(1, 2, 3, 70'000, UINT32_MAX - 1));
  EXPECT_THAT(Ordinals(SeriesSet(a) -= b), ElementsAre(1, UINT32_MAX - 1));
  EXPECT_EQ(a.CountIn(b), 2);
  EXPECT_TRUE(a.Intersects(b));
  EXPECT_FALSE(a.Intersects(Of({3})));
  EXPECT_EQ(a.CountInRange(2, 70'001), 2);
  EXPECT_EQ(a.CountInRange(0, uint64_t{1} << 32), 4);
  auto f = [&](uint64_t begin, uint64_t end, bool wanted) {
    EXPECT_EQ(a.IntersectsRange(begin, end), wanted) << begin << ' ' << end;
  };
  f(0, 1, false), f(0, 2, true), f(2, 3, true), f(3, 70'000, false), f(3, 70'001, true), f(5, 5, false);
  f(70'001, uint64_t{1} << 32, true), f(UINT32_MAX, uint64_t{1} << 32, false);
}

TEST(SeriesSet, CombinesWithItself) {
  SeriesSet a = Of({1, 9});
  EXPECT_THAT(Ordinals(a &= a), ElementsAre(1, 9));
  EXPECT_THAT(Ordinals(a |= a), ElementsAre(1, 9));
  EXPECT_THAT(Ordinals(a -= a), IsEmpty());
}

TEST(SeriesSet, CopiesAreDeep) {
  SeriesSet a = Of({1});
  SeriesSet b = a;
  b.Add(2);
  EXPECT_THAT(Ordinals(a), ElementsAre(1));
  a = b;
  b -= b;
  EXPECT_THAT(Ordinals(a), ElementsAre(1, 2));
  EXPECT_TRUE(b.empty());
}

TEST(SeriesSet, RangesMayBeEmptyAndReachTheEnd) {
  EXPECT_TRUE(SeriesSet::Range(0, 0).empty());
  EXPECT_TRUE(SeriesSet::Range(5, 4).empty());
  EXPECT_THAT(Ordinals(SeriesSet::Range(UINT32_MAX - 2, UINT32_MAX)), ElementsAre(UINT32_MAX - 2, UINT32_MAX - 1));
}

TEST(SeriesSet, AVisitorThatReturnsFalseEndsTheVisit) {
  int visits = 0;
  SeriesSet::Range(0, 1000).ForEach([&](Ordinal) { return ++visits < 300; });
  EXPECT_EQ(visits, 300);
}

TEST(SetBuilder, BuildsArraysBitsAndFullBlocks) {
  constexpr uint32_t kBlock = 1U << 16;
  SetBuilder builder(6 * kBlock);
  std::vector<Ordinal> wanted;
  auto add = [&](Ordinal at) {
    builder.Add(at);
    wanted.push_back(at);
  };
  for (Ordinal i = 0; i < 4096; ++i) add(i * 3);             // the longest array
  for (Ordinal i = 0; i < 4097; ++i) add(kBlock + i * 7);    // the shortest bits
  for (Ordinal i = 0; i < kBlock; ++i) add(2 * kBlock + i);  // a full block
  builder.Window(12);                                        // requested, but no bit is set
  add(6 * kBlock - 1);
  EXPECT_EQ(Ordinals(builder.Build()), wanted);
}

TEST(SetBuilder, BuildsAnEmptySet) {
  EXPECT_TRUE(SetBuilder(0).Build().empty());
  EXPECT_TRUE(SetBuilder(1).Build().empty());
}

TEST(SetBits, SetsTheGivenBits) {
  auto f = [](uint32_t begin, uint32_t count) {
    std::array<uint64_t, 4> words{};
    SetBits(words.data(), begin, count);
    for (uint32_t bit = 0; bit < 256; ++bit) {
      ASSERT_EQ((words[bit / 64] >> bit % 64 & 1) != 0, bit >= begin && bit < begin + count) << begin << ' ' << count;
    }
  };
  f(0, 0);
  f(0, 1);
  f(63, 1);
  f(63, 2);
  f(0, 64);
  f(1, 64);
  f(64, 64);
  f(5, 200);
  f(0, 256);
  f(255, 1);
}

}  // namespace
}  // namespace mi::catalog
