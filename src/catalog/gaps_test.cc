#include "catalog/gaps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mi::catalog {
namespace {

using std::chrono::seconds;
using store::IdRange;
using testing::ElementsAre;

TEST(Gaps, RemovesWhatWasFound) {
  Gaps gaps(100);
  gaps.Add(std::vector<IdRange>{{2, 9}, {11, 11}, {20, 29}}, {});
  gaps.Found({});
  EXPECT_THAT(gaps.Ranges(), ElementsAre(IdRange{2, 9}, IdRange{11, 11}, IdRange{20, 29}));
  gaps.Found(std::vector<IdRange>{{2, 2}, {5, 6}, {9, 9}});
  EXPECT_THAT(gaps.Ranges(), ElementsAre(IdRange{3, 4}, IdRange{7, 8}, IdRange{11, 11}, IdRange{20, 29}));
  gaps.Found(std::vector<IdRange>{{8, 24}});
  EXPECT_THAT(gaps.Ranges(), ElementsAre(IdRange{3, 4}, IdRange{7, 7}, IdRange{25, 29}));
  gaps.Found(std::vector<IdRange>{{1, 1}, {5, 5}, {24, 24}, {30, 40}});
  EXPECT_THAT(gaps.Ranges(), ElementsAre(IdRange{3, 4}, IdRange{7, 7}, IdRange{25, 29}));
  gaps.Found(std::vector<IdRange>{{1, UINT64_MAX}});
  EXPECT_TRUE(gaps.empty());
}

TEST(Gaps, KeepsTheHighestRanges) {
  Gaps gaps(2);
  gaps.Add(std::vector<IdRange>{{1, 1}, {3, 9}}, {});
  gaps.Found(std::vector<IdRange>{{5, 5}});
  EXPECT_THAT(gaps.Ranges(), ElementsAre(IdRange{3, 4}, IdRange{6, 9}));
  gaps.Add(std::vector<IdRange>{{11, 11}}, {});
  EXPECT_THAT(gaps.Ranges(), ElementsAre(IdRange{6, 9}, IdRange{11, 11}));
}

TEST(Gaps, TheRestOfAGapIsAsOldAsTheGap) {
  const Gaps::Time start{};
  Gaps gaps(100);
  gaps.Add(std::vector<IdRange>{{1, 9}}, start);
  gaps.Add(std::vector<IdRange>{{11, 12}}, start + seconds(60));
  gaps.Found(std::vector<IdRange>{{4, 4}});
  gaps.DropOlderThan(start);
  EXPECT_THAT(gaps.Ranges(), ElementsAre(IdRange{1, 3}, IdRange{5, 9}, IdRange{11, 12}));
  gaps.DropOlderThan(start + seconds(1));
  EXPECT_THAT(gaps.Ranges(), ElementsAre(IdRange{11, 12}));
}

}  // namespace
}  // namespace mi::catalog
