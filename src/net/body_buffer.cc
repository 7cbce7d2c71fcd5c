#include "net/body_buffer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace mi::net {

// One shelf for each power of two, so taking a block costs no search, and a small body never sits in a large block.
BlockPool::Shelf* BlockPool::ShelfOf(size_t capacity) {
  if (capacity < kMinBlockBytes || capacity > kLargestShelf) return nullptr;
  return &shelves_[static_cast<size_t>(std::bit_width(capacity) - std::bit_width(kMinBlockBytes))];
}

Block BlockPool::Take(size_t capacity) {
  const size_t rounded = std::bit_ceil(capacity);
  Shelf* const shelf = ShelfOf(rounded);
  if (shelf == nullptr || shelf->free.empty()) return {std::make_unique_for_overwrite<char[]>(rounded), rounded};
  Block block = std::move(shelf->free.back());
  shelf->free.pop_back();
  shelf->unneeded = std::min(shelf->unneeded, shelf->free.size());
  kept_bytes_ -= rounded;
  return block;
}

void BlockPool::Return(Block block) {
  if (block.bytes == nullptr || kept_bytes_ + block.capacity > max_kept_bytes_) return;
  Shelf* const shelf = ShelfOf(block.capacity);
  if (shelf == nullptr) return;
  kept_bytes_ += block.capacity;
  shelf->free.push_back(std::move(block));
}

// The blocks at the front have been free the longest.
void BlockPool::Trim() {
  for (Shelf& shelf : shelves_) {
    for (size_t i = 0; i < shelf.unneeded; ++i) kept_bytes_ -= shelf.free[i].capacity;
    shelf.free.erase(shelf.free.begin(), shelf.free.begin() + static_cast<ptrdiff_t>(shelf.unneeded));
    shelf.unneeded = shelf.free.size();
  }
}

// Takes from the budget first, so a refusal changes nothing. A larger block costs one copy; callers double the size, so
// a body of n bytes copies at most 2n bytes in total.
bool BodyBuffer::Reserve(size_t size) {
  if (size <= block_.capacity) {
    reserved_ = std::max(reserved_, size);
    return true;
  }
  if (!budget_.TryTake(std::bit_ceil(size) - block_.capacity)) return false;
  reserved_ = size;
  MoveTo(pool_.Take(size));
  return true;
}

void BodyBuffer::Shrink() {
  const size_t enough = size_ == 0 ? 0 : std::bit_ceil(size_);
  if (enough >= block_.capacity) return;
  budget_.GiveBack(block_.capacity - enough);
  reserved_ = std::min(reserved_, enough);
  MoveTo(enough == 0 ? Block() : pool_.Take(enough));
}

void BodyBuffer::MoveTo(Block block) {
  if (size_ > 0) std::memcpy(block.bytes.get(), block_.bytes.get(), size_);
  pool_.Return(std::exchange(block_, std::move(block)));
}

void BodyBuffer::Append(std::string_view bytes) {
  assert(bytes.size() <= room());
  if (bytes.empty()) return;
  std::memcpy(end(), bytes.data(), bytes.size());
  size_ += bytes.size();
}

void BodyBuffer::Clear() {
  budget_.GiveBack(block_.capacity);
  pool_.Return(std::exchange(block_, {}));
  reserved_ = size_ = 0;
}

}  // namespace mi::net
