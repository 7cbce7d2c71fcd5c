#include "store/last_positions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <vector>

namespace mi::store {
namespace {

const StreamPosition kNext = {"topic", 3, 90};

TEST(LastPositions, WhatWasNeitherReadNorCommittedIsNotJudged) {
  const LastPositions last;
  EXPECT_FALSE(last.Knows(kNext));
  EXPECT_TRUE(last.Check(kNext, std::nullopt).has_value());
}

TEST(LastPositions, ADatabaseThatIsBehindWhatWasReadIsOutdated) {
  LastPositions last;
  last.Read("topic", 3, 70);
  EXPECT_TRUE(last.Knows(kNext));
  EXPECT_TRUE(last.Check(kNext, 70).has_value());
  EXPECT_TRUE(last.Check(kNext, 71).has_value()) << "another worker went on";
  const Status behind = last.Check(kNext, 69);
  ASSERT_FALSE(behind.has_value());
  EXPECT_EQ(behind.error().code(), Errc::kOutdated);
  EXPECT_THAT(behind.error().message(), testing::HasSubstr("topic, partition 3 was at 70 and is at 69"));
  EXPECT_FALSE(last.Check(kNext, std::nullopt).has_value()) << "the row is gone";
}

TEST(LastPositions, WhatWasCommittedCountsAndReadingAnewBeginsAnew) {
  LastPositions last;
  last.Committed(std::vector<StreamPosition>{kNext, {"topic", 4, 1}});
  EXPECT_FALSE(last.Check(kNext, 89).has_value());
  last.Read("topic", 3, 12);
  EXPECT_TRUE(last.Check(kNext, 12).has_value());
  last.Read("topic", 3, std::nullopt);
  EXPECT_FALSE(last.Knows(kNext));
  EXPECT_FALSE(last.Check({"topic", 4, 2}, 0).has_value()) << "the other partition's stays";
}

}  // namespace
}  // namespace mi::store
