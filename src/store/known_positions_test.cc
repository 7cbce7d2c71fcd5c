#include "store/known_positions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "store/testing/fatal_log.h"

namespace mi::store {
namespace {

using model::StreamPosition;
using testing::ElementsAre;
using testing::HasSubstr;

const StreamPosition kNext = {"topic", 3, 90};

TEST(KnownPositions, AcceptsAnythingForAPartitionThatItDoesNotKnow) {
  const KnownPositions known("db", IgnoreFatal);
  EXPECT_TRUE(known.empty());
  EXPECT_TRUE(known.Check({}));
  EXPECT_TRUE(known.Check(std::vector<StreamPosition>{kNext}));
  EXPECT_EQ(known.Merge(kNext, 95), 90);
  EXPECT_EQ(known.Merge(kNext, std::nullopt), 90);
}

TEST(KnownPositions, RefusesADatabaseThatIsBehindWhatWasRead) {
  FatalLog fatal;
  KnownPositions known("db", fatal.Handler());
  EXPECT_TRUE(known.Read(std::vector<StreamPosition>{{"topic", 3, 70}}, "topic", 3));
  const auto stored = [](int64_t next_offset) { return std::vector<StreamPosition>{{"topic", 3, next_offset}}; };
  EXPECT_TRUE(known.Check(stored(70)));
  EXPECT_TRUE(known.Check(stored(71))) << "another worker moved it";
  const Status behind = known.Check(stored(69));
  ASSERT_FALSE(behind);
  EXPECT_EQ(behind.error().code(), Errc::kCorrupt);
  EXPECT_THAT(behind.error().message(), HasSubstr("topic, partition 3, was 70 and is 69"));
  EXPECT_THAT(known.Check({}).error().message(), HasSubstr("was 70 and is missing"));
  EXPECT_THAT(fatal.messages(), ElementsAre(HasSubstr("db: the database went back"), HasSubstr("is missing")));
}

TEST(KnownPositions, ComparesAllThatItKnowsWithTheRowsOfTheDatabase) {
  KnownPositions known("db", IgnoreFatal);
  known.NoteCommitted(std::vector<StreamPosition>{kNext, {"topic", 4, 1}});
  const auto stored = [](int64_t third, int64_t fourth) {
    return std::vector<StreamPosition>{{"other", 3, 1}, {"topic", 4, fourth}, {"topic", 3, third}};
  };
  EXPECT_TRUE(known.Check(stored(90, 1)));
  EXPECT_TRUE(known.Check(stored(91, 2)));
  EXPECT_FALSE(known.Check(stored(90, 0)));
  EXPECT_FALSE(known.Check(stored(89, 1)));
  EXPECT_FALSE(known.Check({}));
}

TEST(KnownPositions, KeepsTheGreaterPositionOnlyIfAnotherWriterMovedIt) {
  KnownPositions known("db", IgnoreFatal);
  EXPECT_TRUE(known.Read(std::vector<StreamPosition>{{"topic", 3, 100}}, "topic", 3));
  EXPECT_EQ(known.Merge(kNext, 100), 90) << "a topic that was made anew begins at 0 again";
  EXPECT_EQ(known.Merge(kNext, 120), 120);
  EXPECT_EQ(known.Merge({"topic", 3, 130}, 120), 130);
}

}  // namespace
}  // namespace mi::store
