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
  const size_t rounded = Rounded(capacity);
  Shelf* const shelf = ShelfOf(rounded);
  if (shelf == nullptr || shelf->free.empty()) return Block(rounded);
  Block block = std::move(shelf->free.back());
  shelf->free.pop_back();
  shelf->unneeded = std::min(shelf->unneeded, shelf->free.size());
  kept_bytes_ -= rounded;
  return block;
}

void BlockPool::Return(Block block) {
  Shelf* const shelf = ShelfOf(block.capacity());
  if (block.data() == nullptr || shelf == nullptr) return;
  if (kept_bytes_ + block.capacity() > max_kept_bytes_) Trim();
  if (kept_bytes_ + block.capacity() > max_kept_bytes_) return;
  kept_bytes_ += block.capacity();
  shelf->free.push_back(std::move(block));
}

// The blocks at the front have been free the longest.
void BlockPool::Trim() {
  for (Shelf& shelf : shelves_) {
    for (size_t i = 0; i < shelf.unneeded; ++i) kept_bytes_ -= shelf.free[i].capacity();
    shelf.free.erase(shelf.free.begin(), shelf.free.begin() + static_cast<ptrdiff_t>(shelf.unneeded));
    shelf.unneeded = shelf.free.size();
  }
}

// Takes from the budget first, so a refusal changes nothing. A large block grows in place; a small one is replaced by a
// larger one, which costs a copy.
bool BodyBuffer::Reserve(size_t size) {
  if (size <= block_.capacity()) {
    reserved_ = std::max(reserved_, size);
    return true;
  }
  if (!budget_.TryTake(std::bit_ceil(size) - block_.capacity())) return false;
  reserved_ = size;
  ResizeTo(std::bit_ceil(size));
  return true;
}

void BodyBuffer::Shrink() {
  const size_t enough = size_ == 0 ? 0 : std::bit_ceil(size_);
  if (enough >= block_.capacity()) return;
  const size_t unused = block_.capacity() - enough;
  ResizeTo(enough);
  budget_.GiveBack(unused);
  reserved_ = std::min(reserved_, enough);
}

void BodyBuffer::ResizeTo(size_t capacity) {
  if (block_.is_mapped() && capacity >= Block::kMappedBytes) return block_.Resize(capacity);
  Block block = capacity == 0 ? Block() : pool_.Take(capacity);
  if (size_ > 0) std::memcpy(block.data(), block_.data(), size_);
  pool_.Return(std::exchange(block_, std::move(block)));
}

void BodyBuffer::Append(std::string_view bytes) {
  assert(bytes.size() <= room());
  if (bytes.empty()) return;
  std::memcpy(end(), bytes.data(), bytes.size());
  size_ += bytes.size();
}

void BodyBuffer::Clear() {
  const size_t held = block_.capacity();
  pool_.Return(std::exchange(block_, {}));
  budget_.GiveBack(held);
  reserved_ = size_ = 0;
}

}  // namespace mi::net
