// Memory for bodies while they arrive: buffers that a thread reuses, charged to a budget over all connections.
#pragma once

#include <array>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/block.h"
#include "base/memory_budget.h"

namespace mi::net {

// Keeps blocks for reuse, and gives out the one that was used last, so that a steady stream of requests stays in the
// same cache lines. Threads: confined to one.
class BlockPool {
 public:
  // Keeps at most `max_kept_bytes` of free blocks: no budget counts them.
  explicit BlockPool(size_t max_kept_bytes = kLargestShelf) : max_kept_bytes_(max_kept_bytes) {}

  static size_t Rounded(size_t capacity) { return std::bit_ceil(capacity); }

  // Rounded(capacity) bytes.
  Block Take(size_t capacity);
  // Keeps the block if there is room for it, if need be after a Trim(). Otherwise frees it.
  void Return(Block block);
  // Frees the blocks that nobody has needed since the last call.
  void Trim();
  size_t kept_bytes() const { return kept_bytes_; }

 private:
  static constexpr size_t kMinBlockBytes = 16 << 10;  // smaller blocks are left to the allocator
  static constexpr size_t kLargestShelf = 64 << 20;
  // The free blocks of one size.
  struct Shelf {
    std::vector<Block> free;
    size_t unneeded = 0;  // the fewest that were free since the last Trim()
  };

  // Null if blocks of that size are not kept.
  Shelf* ShelfOf(size_t capacity);

  std::array<Shelf, 13> shelves_;  // 16 KiB, 32 KiB, … kLargestShelf
  const size_t max_kept_bytes_;
  size_t kept_bytes_ = 0;
};

// A body that grows as it arrives, so that an announced length costs nothing. The budget counts whole blocks. The
// destructor gives everything back.
// Threads: confined to one.
class BodyBuffer {
 public:
  BodyBuffer(BlockPool& pool, MemoryBudget& budget) : pool_(pool), budget_(budget) {}
  BodyBuffer(const BodyBuffer&) = delete;
  BodyBuffer& operator=(const BodyBuffer&) = delete;
  ~BodyBuffer() { Clear(); }

  // Makes room for `size` bytes in total. Returns false if the budget does not allow it.
  bool Reserve(size_t size);
  // Keeps only as much as what has arrived needs. A slow body thus costs what has arrived.
  void Shrink();
  // Requires: bytes.size() <= room().
  void Append(std::string_view bytes);
  char* end() { return block_.data() + size_; }
  size_t room() const { return reserved_ - size_; }
  // Bytes were written at end(). Requires: by <= room().
  void Grew(size_t by) {
    assert(by <= room());
    size_ += by;
  }
  void Clear();

  size_t size() const { return size_; }
  size_t reserved() const { return reserved_; }
  size_t held_bytes() const { return block_.capacity(); }
  std::string_view view() const { return {block_.data(), size_}; }

 private:
  // Requires: capacity >= size().
  void ResizeTo(size_t capacity);

  BlockPool& pool_;
  MemoryBudget& budget_;
  Block block_;
  size_t reserved_ = 0;  // never more than the block's capacity, which is what the budget counts
  size_t size_ = 0;
};

}  // namespace mi::net
