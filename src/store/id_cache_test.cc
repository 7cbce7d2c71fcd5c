#include "store/id_cache.h"

namespace mi::store {
namespace {

TEST(IdCache, KeepsIdsInUseAndDropsOthersToStayWithinItsBound) {
  IdCache cache(100'000);
  cache.Put("asked for", 7);
  for (uint64_t i = 0; i < 100'000; ++i) {
    cache.Put("value " + std::to_string(i), i);
    ASSERT_EQ(cache.Find("asked for"), 7u) << i;
    ASSERT_EQ(cache.Find("value " + std::to_string(i)), i);
  }
  EXPECT_EQ(cache.Find("value 0"), std::nullopt);
  EXPECT_LT(cache.size(), 1'100u);
}

TEST(IdCache, TellsExactBytesApart) {
  IdCache cache(1'000);
  cache.Put("a", 1);
  cache.Put("a ", 2);
  cache.Put(std::string_view("a\0", 2), 3);
  EXPECT_EQ(cache.Find("a"), 1u);
  EXPECT_EQ(cache.Find("a "), 2u);
  EXPECT_EQ(cache.Find(std::string_view("a\0", 2)), 3u);
  EXPECT_EQ(cache.Find(""), std::nullopt);
  cache.Clear();
  EXPECT_EQ(cache.Find("a"), std::nullopt);
}

}  // namespace
}  // namespace mi::store
