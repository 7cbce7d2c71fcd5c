#include "net/body_buffer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace mi::net {

// Searches from the most recently returned block, and takes the first that is large enough. It costs a scan of the
// list; the block that fits is usually near its end. New blocks have a power of two as their size, so that blocks of
// similar requests fit each other.
Block BlockPool::Take(size_t capacity) {
  const auto found =
      std::find_if(free_.rbegin(), free_.rend(), [capacity](const Block& block) { return block.capacity >= capacity; });
  if (found != free_.rend()) {
    Block block = std::move(*found);
    free_.erase(std::next(found).base());
    kept_bytes_ -= block.capacity;
    return block;
  }
  const size_t rounded = std::bit_ceil(capacity);
  return {std::make_unique_for_overwrite<char[]>(rounded), rounded};
}

void BlockPool::Return(Block block) {
  if (block.bytes == nullptr || kept_bytes_ + block.capacity > kMaxKeptBytes) return;
  kept_bytes_ += block.capacity;
  free_.push_back(std::move(block));
}

// Takes from the budget first, so a refusal changes nothing. The budget counts what was asked for, not the capacity of
// the block, which may be larger. A larger block costs one copy; callers double the size, so a body of n bytes copies
// at most 2n bytes in total.
bool BodyBuffer::Reserve(size_t size) {
  if (size <= reserved_) return true;
  if (!budget_.TryTake(size - reserved_)) return false;
  reserved_ = size;
  if (size <= block_.capacity) return true;
  Block larger = pool_.Take(size);
  if (size_ > 0) std::memcpy(larger.bytes.get(), block_.bytes.get(), size_);
  pool_.Return(std::exchange(block_, std::move(larger)));
  return true;
}

void BodyBuffer::Append(std::string_view bytes) {
  assert(bytes.size() <= room());
  if (bytes.empty()) return;
  std::memcpy(end(), bytes.data(), bytes.size());
  size_ += bytes.size();
}

void BodyBuffer::Clear() {
  budget_.GiveBack(std::exchange(reserved_, 0));
  pool_.Return(std::exchange(block_, {}));
  size_ = 0;
}

}  // namespace mi::net
