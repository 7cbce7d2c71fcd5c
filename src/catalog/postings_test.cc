#include "catalog/postings.h"

#include "catalog/testing/naive_catalog.h"

namespace mi::catalog {
namespace {

// Pairs, each with its own rule for which series have it, over a bit more than two windows.
class PostingsTest : public testing::Test {
 protected:
  static constexpr uint32_t kCount = 2 * kWindow + 1000;
  static constexpr uint32_t kPairs = 7;
  static bool Stands(uint32_t pair, Ordinal at) {
    switch (pair) {
      case 0: return true;                                  // one run per window
      case 1: return at % 2 == 0;                           // bits
      case 2: return at % 50 == 0;                          // gaps
      case 3: return at % 100 < 10;                         // runs
      case 4: return at == kWindow - 1 || at == kWindow;    // both sides of a seal
      case 5: return at % 3 != 2;                           // runs of two
      default: return at / kWindow == 1 && at % 1000 == 1;  // the middle window only
    }
  }

  void Grow(uint32_t to) {
    for (; size_ < to; ++size_) {
      std::vector<PairId> pairs;
      for (uint32_t pair = 0; pair < kPairs; ++pair) {
        if (Stands(pair, size_)) pairs.push_back(pairs_[pair]);
      }
      postings_.Add(dictionary_, size_, pairs);
    }
  }

  void Check(const PostingsView& view, uint32_t count) {
    for (uint32_t pair = 0; pair < kPairs; ++pair) {
      std::vector<Ordinal> wanted;
      for (Ordinal at = 0; at < count; ++at) {
        if (Stands(pair, at)) wanted.push_back(at);
      }
      const Pair& entry = dictionary_.pair(pairs_[pair]);
      ASSERT_EQ(view.Count(entry), wanted.size()) << pair << " of " << count;
      SetBuilder builder(count);
      view.AddTo(entry, builder);
      ASSERT_EQ(Ordinals(builder.Build()), wanted) << pair << " of " << count;
      std::vector<Ordinal> runs;
      EXPECT_TRUE(view.ForEachRun(entry, [&](uint32_t first, uint32_t run) {
        for (uint32_t i = 0; i < run; ++i) runs.push_back(first + i);
        return true;
      }));
      std::ranges::sort(runs);
      ASSERT_EQ(runs, wanted) << pair << " of " << count;
    }
  }

  Dictionary dictionary_;
  Postings postings_;
  std::vector<PairId> pairs_ = [this] {
    std::vector<PairId> pairs;
    const NameId name = dictionary_.InternName("n");
    for (uint32_t pair = 0; pair < kPairs; ++pair) pairs.push_back(dictionary_.InternPair(name, std::to_string(pair)));
    return pairs;
  }();
  uint32_t size_ = 0;
};

TEST_F(PostingsTest, ContainWhatWasAddedBeforeAndAfterASeal) {
  for (const uint32_t count : {0U, 1U, 70U, kWindow - 1, kWindow, kWindow + 1, 2 * kWindow, kCount}) {
    Grow(count);
    Check(postings_.View(), count);
  }
}

TEST_F(PostingsTest, ViewsDoNotChange) {
  std::vector<std::pair<uint32_t, PostingsView>> views;
  for (const uint32_t count :
       {0U, 1U, 70U, 64U * 100, kWindow - 1, kWindow, kWindow + 1, kWindow + 640, 2 * kWindow, kCount}) {
    Grow(std::max(count, size_));
    views.emplace_back(size_, postings_.View());
    for (const auto& [at, view] : views) Check(view, at);
  }
}

TEST_F(PostingsTest, AVisitorThatReturnsFalseEndsTheVisit) {
  Grow(kCount);
  for (uint32_t pair = 0; pair < kPairs; ++pair) {
    int visits = 0;
    EXPECT_FALSE(postings_.View().ForEachRun(dictionary_.pair(pairs_[pair]), [&](uint32_t, uint32_t) {
      ++visits;
      return false;
    }));
    EXPECT_EQ(visits, 1);
  }
}

TEST_F(PostingsTest, DensePairsTakeTwoKilobytesPerWindowAndRunsAFewBytes) {
  Grow(kWindow);
  auto payload = [&](uint32_t pair) { return PostingNode::At(dictionary_.pair(pairs_[pair]).sealed.load()); };
  EXPECT_FALSE(payload(0).is_bits);
  EXPECT_TRUE(payload(1).is_bits);
  EXPECT_FALSE(payload(2).is_bits);
  EXPECT_FALSE(payload(3).is_bits);
}

}  // namespace
}  // namespace mi::catalog
