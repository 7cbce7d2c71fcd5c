#include "net/body_buffer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/output_queue.h"

namespace mi::net {
namespace {

TEST(BodyBuffer, GrowsAndKeepsWhatItHas) {
  BlockPool pool;
  MemoryBudget budget(1000);
  BodyBuffer body(pool, budget);
  ASSERT_TRUE(body.Reserve(4));
  body.Append("abcd");
  EXPECT_EQ(body.room(), 0);
  ASSERT_TRUE(body.Reserve(900));
  body.Append("efg");
  EXPECT_EQ(body.view(), "abcdefg");
  EXPECT_EQ(budget.used(), 900);
}

TEST(BodyBuffer, IsRefusedWhatTheBudgetDoesNotHave) {
  BlockPool pool;
  MemoryBudget budget(100);
  BodyBuffer first(pool, budget);
  ASSERT_TRUE(first.Reserve(60));
  {
    BodyBuffer second(pool, budget);
    EXPECT_FALSE(second.Reserve(41));
    EXPECT_TRUE(second.Reserve(40));
    EXPECT_EQ(budget.used(), 100);
  }
  EXPECT_EQ(budget.used(), 60);
  EXPECT_FALSE(first.Reserve(101));
  EXPECT_EQ(first.reserved(), 60);
  first.Clear();
  EXPECT_EQ(budget.used(), 0);
}

TEST(BlockPool, HandsOutWhatWasUsedLast) {
  BlockPool pool;
  Block block = pool.Take(1000);
  EXPECT_EQ(block.capacity, 1024);
  const char* const bytes = block.bytes.get();
  pool.Return(std::move(block));
  EXPECT_EQ(pool.kept_bytes(), 1024);
  EXPECT_NE(pool.Take(2000).bytes.get(), bytes);
  EXPECT_EQ(pool.Take(1024).bytes.get(), bytes);
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
