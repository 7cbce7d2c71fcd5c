// Memory for bodies while they arrive: buffers that a thread reuses, charged to a budget over all connections.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/memory_budget.h"

namespace mi::net {

// Uninitialised memory.
struct Block {
  std::unique_ptr<char[]> bytes;
  size_t capacity = 0;
};

// Keeps blocks for reuse, and gives out the one that was used last, so that a steady stream of requests stays in the
// same cache lines. Threads: confined to one.
class BlockPool {
 public:
  // At least `capacity` bytes.
  Block Take(size_t capacity);
  void Return(Block block);
  size_t kept_bytes() const { return kept_bytes_; }

 private:
  static constexpr size_t kMaxKeptBytes = 64 << 20;
  std::vector<Block> free_;
  size_t kept_bytes_ = 0;
};

// A body that grows as it arrives, so that an announced length costs nothing. The destructor gives everything back.
// Threads: confined to one.
class BodyBuffer {
 public:
  BodyBuffer(BlockPool& pool, MemoryBudget& budget) : pool_(pool), budget_(budget) {}
  BodyBuffer(const BodyBuffer&) = delete;
  BodyBuffer& operator=(const BodyBuffer&) = delete;
  ~BodyBuffer() { Clear(); }

  // Makes room for `size` bytes in total. Returns false if the budget does not allow it.
  bool Reserve(size_t size);
  // Requires: bytes.size() <= room().
  void Append(std::string_view bytes);
  char* end() { return block_.bytes.get() + size_; }
  size_t room() const { return reserved_ - size_; }
  // Bytes were written at end(). Requires: by <= room().
  void Grew(size_t by) {
    assert(by <= room());
    size_ += by;
  }
  void Clear();

  size_t size() const { return size_; }
  size_t reserved() const { return reserved_; }
  std::string_view view() const { return {block_.bytes.get(), size_}; }

 private:
  BlockPool& pool_;
  MemoryBudget& budget_;
  Block block_;
  size_t reserved_ = 0;  // taken from the budget; never more than the block's capacity
  size_t size_ = 0;
};

}  // namespace mi::net
