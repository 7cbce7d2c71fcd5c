#include "net/body_buffer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/output_queue.h"

namespace mi::net {
namespace {

TEST(BodyBuffer, GrowsAndKeepsWhatItHas) {
  BlockPool pool;
  MemoryBudget budget(2000);
  BodyBuffer body(pool, budget);
  ASSERT_TRUE(body.Reserve(4));
  body.Append("abcd");
  EXPECT_EQ(body.room(), 0);
  ASSERT_TRUE(body.Reserve(900));
  body.Append("efg");
  EXPECT_EQ(body.view(), "abcdefg");
  EXPECT_EQ(body.room(), 893);
  EXPECT_EQ(budget.used(), 1024) << "what is in memory counts, not what was asked for";
}

TEST(BodyBuffer, ShrinksToWhatHasArrived) {
  BlockPool pool;
  MemoryBudget budget(1 << 20);
  BodyBuffer body(pool, budget);
  ASSERT_TRUE(body.Reserve(100'000));
  body.Shrink();
  EXPECT_EQ(budget.used(), 0);
  ASSERT_TRUE(body.Reserve(100'000));
  body.Append("abc");
  body.Shrink();
  EXPECT_EQ(budget.used(), 4);
  EXPECT_EQ(body.room(), 1);
  body.Append("d");
  body.Shrink();
  EXPECT_EQ(body.room(), 0);
  ASSERT_TRUE(body.Reserve(100'000));
  body.Append("e");
  EXPECT_EQ(body.view(), "abcde");
  body.Clear();
  EXPECT_EQ(budget.used(), 0);
}

TEST(BodyBuffer, NeverOffersMoreRoomThanWasAskedFor) {
  BlockPool pool;
  MemoryBudget budget(1 << 20);
  BodyBuffer body(pool, budget);
  ASSERT_TRUE(body.Reserve(5));  // the block has 8: what follows the body belongs to the next request
  EXPECT_EQ(body.room(), 5);
  body.Append("abcde");
  body.Shrink();
  EXPECT_EQ(body.room(), 0);
}

TEST(BodyBuffer, IsRefusedWhatTheBudgetDoesNotHave) {
  BlockPool pool;
  MemoryBudget budget(96);
  BodyBuffer first(pool, budget);
  ASSERT_TRUE(first.Reserve(60));
  {
    BodyBuffer second(pool, budget);
    EXPECT_FALSE(second.Reserve(33));
    EXPECT_TRUE(second.Reserve(32));
    EXPECT_EQ(budget.used(), 96);
  }
  EXPECT_EQ(budget.used(), 64);
  EXPECT_FALSE(first.Reserve(101));
  EXPECT_EQ(first.reserved(), 60);
  first.Clear();
  EXPECT_EQ(budget.used(), 0);
}

TEST(BlockPool, HandsOutWhatWasUsedLast) {
  BlockPool pool;
  Block block = pool.Take(60'000);
  EXPECT_EQ(block.capacity(), 65'536);
  const char* const bytes = block.data();
  pool.Return(std::move(block));
  EXPECT_EQ(pool.kept_bytes(), 65'536);
  EXPECT_NE(pool.Take(70'000).data(), bytes);
  EXPECT_NE(pool.Take(100).data(), bytes) << "a small body must not sit in a large block";
  EXPECT_EQ(pool.Take(65'536).data(), bytes);
  EXPECT_EQ(pool.kept_bytes(), 0);
}

TEST(BlockPool, FreesWhatNobodyHasNeededForATime) {
  BlockPool pool;
  std::vector<Block> burst;
  for (int i = 0; i < 10; ++i) burst.push_back(pool.Take(1 << 20));
  for (Block& block : burst) pool.Return(std::move(block));
  pool.Trim();  // all were needed since the last call
  EXPECT_EQ(pool.kept_bytes(), 10 << 20);
  pool.Return(pool.Take(1 << 20));  // one is in use from time to time
  pool.Trim();
  EXPECT_EQ(pool.kept_bytes(), 1 << 20);
  pool.Trim();
  EXPECT_EQ(pool.kept_bytes(), 0);
}

TEST(BlockPool, KeepsABoundedAmount) {
  BlockPool pool;
  for (int i = 0; i < 3; ++i) {
    std::vector<Block> blocks;
    for (int j = 0; j < 5; ++j) blocks.push_back(pool.Take(32 << 20));
    for (Block& block : blocks) pool.Return(std::move(block));
  }
  EXPECT_EQ(pool.kept_bytes(), 64 << 20);
  BlockPool small(1 << 20);
  small.Return(small.Take(2 << 20));
  EXPECT_EQ(small.kept_bytes(), 0);
  small.Return(small.Take(1 << 20));
  EXPECT_EQ(small.kept_bytes(), 1 << 20);
  small.Return(small.Take(1 << 19));
  EXPECT_EQ(small.kept_bytes(), 1 << 20) << "the larger one was needed lately";
  small.Return(small.Take(1 << 19));
  EXPECT_EQ(small.kept_bytes(), 1 << 19) << "and now no more";
}

std::string Joined(const OutputQueue& queue) {
  std::string all;
  for (const std::string_view piece : queue.Front()) all += piece;
  return all;
}

TEST(OutputQueue, KeepsTheOrderOfSmallAndLarge) {
  OutputQueue queue;
  EXPECT_TRUE(queue.empty());
  queue.Append("a");
  queue.Take(std::string(OutputQueue::kJoinBytes, 'B'));
  queue.Append("c");
  queue.Take("d");
  EXPECT_EQ(Joined(queue), "a" + std::string(OutputQueue::kJoinBytes, 'B') + "cd");
}

TEST(OutputQueue, TakesNoticeOfPartialWrites) {
  OutputQueue queue;
  queue.Append("abc");
  queue.Take(std::string(OutputQueue::kJoinBytes, 'x'));
  queue.Append("yz");
  queue.Written(2);
  EXPECT_EQ(Joined(queue).substr(0, 3), "cxx");
  queue.Written(OutputQueue::kJoinBytes);
  EXPECT_EQ(Joined(queue), "xyz");
  queue.Append("!");
  EXPECT_EQ(queue.bytes(), 4);
  queue.Written(4);
  EXPECT_TRUE(queue.empty());
  queue.Append("again");
  EXPECT_EQ(Joined(queue), "again");
}

TEST(OutputQueue, HoldsAPieceUntilAllOfItIsWritten) {
  OutputQueue queue;
  queue.Take(std::string(100'000, 'x'));
  EXPECT_GE(queue.held_bytes(), 100'000);
  queue.Written(99'999);
  EXPECT_GE(queue.held_bytes(), 100'000);
  queue.Written(1);
  EXPECT_EQ(queue.held_bytes(), 0);
  // A stream that never lets the queue become empty.
  queue.Append("a");
  for (int i = 0; i < 10'000; ++i) {
    queue.Take(std::string(5'000, static_cast<char>('a' + i % 26)));
    queue.Written(queue.bytes() - 1);
    ASSERT_LT(queue.held_bytes(), 20'000);
    ASSERT_EQ(Joined(queue), std::string(1, static_cast<char>('a' + i % 26)));
  }
}

TEST(OutputQueue, TakesEmptyPieces) {
  OutputQueue queue;
  queue.Append("");
  queue.Take("");
  EXPECT_TRUE(queue.empty());
  queue.Append("x");
  queue.Written(1);
  EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace mi::net
