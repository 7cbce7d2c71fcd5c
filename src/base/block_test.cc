#include "base/block.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

namespace mi {
namespace {

// Of the pages from `data` on.
size_t ResidentPages(const char* data, size_t bytes) {
  std::vector<unsigned char> pages(bytes / static_cast<size_t>(sysconf(_SC_PAGESIZE)));
  EXPECT_EQ(mincore(const_cast<char*>(data), bytes, pages.data()), 0);
  size_t resident = 0;
  for (const unsigned char page : pages) resident += page & 1;
  return resident;
}

TEST(Block, KeepsItsBytesWhenItGrowsAndShrinks) {
  Block block(Block::kMappedBytes);
  block.data()[0] = 'a';
  block.data()[Block::kMappedBytes - 1] = 'b';
  block.Resize(Block::kMappedBytes * 64);
  EXPECT_EQ(block.capacity(), Block::kMappedBytes * 64);
  EXPECT_EQ(block.data()[0], 'a');
  EXPECT_EQ(block.data()[Block::kMappedBytes - 1], 'b');
  block.data()[block.capacity() - 1] = 'c';
  block.Resize(Block::kMappedBytes);
  EXPECT_EQ(block.data()[Block::kMappedBytes - 1], 'b');
}

TEST(Block, TakesMemoryOnlyForWhatIsWritten) {
  const Block block(Block::kMappedBytes * 64);
  EXPECT_EQ(ResidentPages(block.data(), block.capacity()), 0);
  block.data()[0] = 'a';
  EXPECT_EQ(ResidentPages(block.data(), Block::kMappedBytes), 1);
}

TEST(Block, GoesBackToTheSystemAtOnce) {
  const char* data = nullptr;
  {
    const Block block(Block::kMappedBytes);
    data = block.data();
  }
  unsigned char page = 0;
  EXPECT_EQ(mincore(const_cast<char*>(data), 1, &page), -1) << "still mapped";
}

// Nothing but the kernel orders the threads: an address that one of them gives back may be the other's next.
TEST(Block, IsOfOneThreadEvenIfAnotherHadItsAddressBefore) {
  std::atomic<int> running = 2;
  const auto grow_and_shrink = [&running] {
    running.fetch_sub(1, std::memory_order_relaxed);
    while (running.load(std::memory_order_relaxed) > 0) std::this_thread::yield();
    for (int i = 0; i < 30; ++i) {
      Block block(Block::kMappedBytes);
      block.Resize(Block::kMappedBytes * 4);
      std::memset(block.data(), i, block.capacity());
      block.Resize(Block::kMappedBytes * 2);
      block.data()[0] = 'a';
    }
  };
  std::thread one(grow_and_shrink);
  std::thread other(grow_and_shrink);
  one.join();
  other.join();
}

TEST(Block, CopiesAndMoves) {
  for (const size_t size : {size_t{0}, size_t{3}, Block::kMappedBytes + 5}) {
    const std::string bytes(size, 'x');
    Block block = Block::CopyOf(bytes);
    EXPECT_EQ(std::string_view(block.data(), block.capacity()), bytes);
    Block moved = std::move(block);
    EXPECT_EQ(std::string_view(moved.data(), moved.capacity()), bytes);
    moved = Block();
    EXPECT_EQ(moved.data(), nullptr);
  }
}

}  // namespace
}  // namespace mi
