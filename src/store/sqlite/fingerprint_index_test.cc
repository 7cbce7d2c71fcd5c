#include "store/sqlite/fingerprint_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace mi::store {
namespace {

std::vector<uint64_t> Candidates(const FingerprintIndex& index, const model::Fingerprint& fingerprint) {
  std::vector<uint64_t> ids;
  EXPECT_FALSE(index
                   .Find(fingerprint,
                         [&](uint64_t id) -> Result<bool> {
                           ids.push_back(id);
                           return false;
                         })
                   .value());
  return ids;
}

TEST(FingerprintIndex, NamesTheRowOfEachFingerprintInFewBytes) {
  std::mt19937_64 random(1);
  std::vector<model::Fingerprint> fingerprints;
  FingerprintIndex index;
  for (uint64_t id = 1; id <= 200'000; ++id) {
    fingerprints.push_back({random(), random()});
    index.Add(fingerprints.back(), id);
  }
  EXPECT_EQ(index.size(), 200'000u);
  EXPECT_LE(index.bytes(), 13 * index.size());
  size_t candidates = 0;
  for (uint64_t id = 1; id <= 200'000; ++id) {
    const std::vector<uint64_t> found = Candidates(index, fingerprints[id - 1]);
    EXPECT_THAT(found, testing::Contains(id));
    candidates += found.size();
  }
  EXPECT_LE(candidates, 200'010u);
  size_t strangers = 0;
  for (int i = 0; i < 200'000; ++i) strangers += Candidates(index, {random(), random()}).size();
  EXPECT_LE(strangers, 10u);
}

TEST(FingerprintIndex, KeepsEveryRowOfATagAndStopsAtTheOneThatIsRight) {
  FingerprintIndex index;
  const model::Fingerprint last{~uint64_t{0}, 1};  // at the end of its shard, so that entries wrap around
  EXPECT_THAT(Candidates(index, last), testing::IsEmpty());
  for (uint64_t id = 1; id <= 20; ++id) index.Add({~uint64_t{0}, id}, id);
  EXPECT_THAT(Candidates(index, last), testing::SizeIs(20));
  EXPECT_TRUE(index.Find(last, [](uint64_t id) -> Result<bool> { return id == 13; }).value());
  const auto failed = index.Find(last, [](uint64_t) -> Result<bool> { return Fail(Errc::kUnavailable, "no"); });
  EXPECT_EQ(failed.error().code(), Errc::kUnavailable);
  index.Clear();
  EXPECT_EQ(index.size(), 0u);
  EXPECT_THAT(Candidates(index, last), testing::IsEmpty());
}

}  // namespace
}  // namespace mi::store
